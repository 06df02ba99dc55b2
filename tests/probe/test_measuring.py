"""Measurements of a backbone: upstream's figures, and classes made for the test."""

import pytest
import torch
from torch import nn

from plugin.measure.forward import Maps, MeasuredBackbone, multiply_adds
from plugin.probe import probe
from plugin.registry import MODELS
from plugin.spec import FeatureSpec

pytestmark = pytest.mark.slow


def resnet(**more):
    return dict(type='mmdet.ResNet', depth=50, **more)


def timm(model_name, **more):
    return dict(type='plugin.TIMMBackbone', model_name=model_name, **more)


@pytest.fixture
def register():
    """Puts classes into the registry of the project until the test is over."""
    names = []

    def put(cls):
        MODELS.register_module(module=cls)
        names.append(cls.__name__)
        return cls

    yield put
    for name in names:
        del MODELS.module_dict[name]


# The table of the design: type, arguments, out_indices, channels, strides.
TABLE = {
    'mobilenet_v3': (
        dict(type='mmpretrain.MobileNetV3', arch='small', out_indices=(3, 8, 11)),
        (24, 48, 96),
        (8, 16, 32),
    ),
    'efficientnet_b1': (
        timm('efficientnet_b1', out_indices=(1, 2, 3, 4)),
        (24, 40, 112, 320),
        (4, 8, 16, 32),
    ),
    'efficientnet_v2_s': (
        timm('tf_efficientnetv2_s', out_indices=(2, 3, 4)),
        (64, 160, 256),
        (8, 16, 32),
    ),
    'cspresnext': (
        dict(type='mmpretrain.CSPResNeXt', depth=50, out_indices=(1, 2, 3)),
        (512, 1024, 2048),
        (8, 16, 32),
    ),
    'regnet': (
        dict(type='mmpretrain.RegNet', arch='regnetx_4.0gf', out_indices=(0, 1, 2, 3)),
        (80, 240, 560, 1360),
        (4, 8, 16, 32),
    ),
    'convnext_tiny': (
        dict(type='plugin.ConvNeXt', arch='tiny', out_indices=(1, 2, 3)),
        (192, 384, 768),
        (8, 16, 32),
    ),
    'mmpretrain_convnext_tiny': (
        dict(
            type='mmpretrain.ConvNeXt',
            arch='tiny',
            out_indices=(1, 2, 3),
            gap_before_final_norm=False,
        ),
        (192, 384, 768),
        (8, 16, 32),
    ),
    'convnext_base': (
        dict(type='plugin.ConvNeXt', arch='base', out_indices=(0, 1, 2, 3)),
        (128, 256, 512, 1024),
        (4, 8, 16, 32),
    ),
    'swin_tiny': (
        dict(type='mmdet.SwinTransformer', out_indices=(1, 2, 3)),
        (192, 384, 768),
        (8, 16, 32),
    ),
    'resnet_50': (
        resnet(out_indices=(1, 2, 3)),
        (512, 1024, 2048),
        (8, 16, 32),
    ),
    'yolov6': (
        dict(type='mmyolo.YOLOv6EfficientRep', deepen_factor=0.33, widen_factor=0.5),
        (128, 256, 512),
        (8, 16, 32),
    ),
    'swin_base': (
        dict(type='mmpretrain.SwinTransformer', arch='base', out_indices=(0, 1, 2, 3)),
        (128, 256, 512, 1024),
        (4, 8, 16, 32),
    ),
}


@pytest.mark.parametrize('name', TABLE)
def test_the_table_of_channels_and_strides(name):
    cfg, channels, strides = TABLE[name]
    found = probe(cfg, size=256)
    assert (found.channels, found.strides) == (channels, strides)
    assert found.layout == 'NCHW'
    assert found.out_indices == cfg.get('out_indices', (2, 3, 4))
    sizes = tuple((256 // s, 256 // s) for s in strides)
    assert found.sizes == sizes


def test_parameters_and_multiply_adds_of_resnet_50_are_torchvisions():
    # 25,557,032 parameters and 4.089 G, of which the classifier has 2048 x 1000 + 1000.
    found = probe(resnet())
    assert found.params == 25_557_032 - 2_049_000
    assert found.flops == 4_089_184_256 - 2_048_000


def test_multiply_adds_of_convnext_tiny_are_torchvisions():
    # 4.456 G with the classifier, of 768 x 1000.
    found = probe(dict(type='mmpretrain.ConvNeXt', gap_before_final_norm=False))
    assert round((found.flops + 768_000) / 1e9, 3) == 4.456


@pytest.mark.parametrize(
    'cfg',
    [
        timm('vit_tiny_patch16_224'),
        dict(type='mmpretrain.VisionTransformer', arch='deit-tiny'),
        dict(type='mmseg.VisionTransformer', embed_dims=192, num_heads=3),
    ],
    ids=['timm', 'mmpretrain', 'mmseg'],
)
def test_attention_is_counted_on_every_device_alike(cfg):
    # 197 tokens of 192 channels; a block is 12 products of 192 x 192 for each, and
    # twice 197 x 197 x 192; the patches are 196 x 768 x 192.
    tokens, width = 197, 192
    block = 12 * tokens * width**2 + 2 * tokens**2 * width
    expected = 12 * block + 196 * 768 * width
    assert probe(cfg).flops == expected
    measured = MeasuredBackbone(cfg)
    measured.backbone = measured.backbone.to_empty(device='cpu')
    flops, _ = multiply_adds(lambda: measured.forward((224, 224)))
    assert flops == expected


def test_the_input_sets_sizes_and_multiply_adds_and_nothing_else():
    small, large = probe(resnet(), size=64), probe(resnet(), size=128)
    assert small.sizes == ((16, 16), (8, 8), (4, 4), (2, 2))
    assert large.flops == 4 * small.flops
    assert (small.strides, small.params) == (large.strides, large.params)


@pytest.mark.parametrize(
    ('cfg', 'divisor'),
    [
        (resnet(), 1),
        (dict(type='mmdet.SwinTransformer'), 1),
        (dict(type='plugin.ConvNeXt', arch='atto'), 32),
        # Its stem of 6x6 at stride 2 is padded by 2.
        (dict(type='mmyolo.YOLOv5CSPDarknet', widen_factor=0.25), 2),
        (dict(type='mmyolo.YOLOv7Backbone', arch='Tiny'), 32),
        (dict(type='mmpretrain.VGG', depth=11), 32),
        (dict(type='mmpretrain.PoolFormer'), 4),
        (dict(type='mmpretrain.ConvMixer'), 7),
        (dict(type='mmdet.PyramidVisionTransformer', num_layers=[1, 1, 1, 1]), 32),
        # Its bias tables are of 224 pixels.
        (dict(type='mmseg.BEiT', num_layers=1, out_indices=0), None),
        # 6x6 of 224, 9x9 of 333 and 14x14 of 481: no stride of its own.
        (dict(type='mmpretrain.AlexNet'), None),
        (timm('levit_128'), None),
        # Padded by the wrapper.
        (timm('swin_tiny_patch4_window7_224'), 1),
    ],
    ids=lambda value: (
        value.get('model_name', value['type']) if isinstance(value, dict) else ''
    ),
)
def test_the_divisor_of_the_image(cfg, divisor):
    assert probe(cfg).size_divisor == divisor


@pytest.mark.parametrize('size', [224, 225, 250])
def test_divisor_and_strides_do_not_depend_on_the_input(size):
    found = probe(dict(type='mmpretrain.DenseNet'), size)
    assert (found.strides, found.size_divisor) == ((32,), 32)
    found = probe(resnet(), size)
    assert (found.strides, found.size_divisor) == ((4, 8, 16, 32), 1)


def test_num_layers_and_frozen_stages_are_the_backbones_own():
    found = probe(dict(type='plugin.ConvNeXt', arch='base', frozen_stages=2))
    assert (found.num_layers, found.frozen_stages) == (12, 2)
    found = probe(dict(type='mmdet.EfficientNet', arch='b0'))
    assert found.frozen_stages == 0
    found = probe(dict(type='mmseg.FastSCNN'))
    assert (found.num_layers, found.frozen_stages) == (None, None)


def test_mean_and_std_are_those_of_the_weights():
    found = probe(timm('vit_tiny_patch16_224'), 64)
    assert found.mean == found.std == (127.5, 127.5, 127.5)
    checkpoint = 'open-mmlab://detectron2/resnet50_caffe'
    init = dict(type='Pretrained', checkpoint=checkpoint)
    found = probe(resnet(init_cfg=init), 64)
    assert (found.mean, found.std) == ((123.675, 116.28, 103.53), (1.0, 1.0, 1.0))
    assert any('BGR' in note for note in found.notes)
    found = probe(resnet(), 64)
    assert (found.mean, found.std, found.notes) == (None, None, ())


@pytest.mark.parametrize(
    ('cfg', 'layout', 'channels', 'fix'),
    [
        ('ConvNeXt', 'NC', 768, 'gap_before_final_norm=False'),
        ('HorNet', 'NC', 512, 'gap_before_final_norm=False'),
        ('EdgeNeXt', 'NC', 168, 'gap_before_final_norm=False'),
        ('TinyViT', 'NC', 320, 'gap_before_final_norm=False'),
        ('VisionTransformer', 'NC', 768, 'out_type=featmap'),
        ('BEiTViT', 'NC', 768, 'out_type=featmap'),
        ('EfficientFormer', 'NCL', 448, 'reshape_last_feat=True'),
    ],
)
def test_what_is_no_map_is_named_with_the_argument_that_fixes_it(
    cfg, layout, channels, fix
):
    found = probe(dict(type=f'mmpretrain.{cfg}'))
    assert (found.layout, found.channels) == (layout, (channels,))
    assert (found.strides, found.sizes, found.size_divisor) == (None, None, None)
    assert [note.endswith(f'add --cfg-options {fix}') for note in found.notes] == [True]
    argument, _, value = fix.partition('=')
    value = {'False': False, 'True': True}.get(value, value)
    fixed = probe({'type': f'mmpretrain.{cfg}', argument: value})
    assert fixed.layout == 'NCHW'


def test_patches_before_channels_are_nlc():
    cfg = dict(type='mmpretrain.VisionTransformer', arch='deit-tiny', out_type='raw')
    found = probe(cfg)
    assert (found.layout, found.channels) == ('NLC', (192,))


def test_channels_last_has_strides_and_the_way_out():
    name = 'swin_tiny_patch4_window7_224'
    cfg = dict(type='mmpretrain.TIMMBackbone', model_name=name, features_only=True)
    found = probe(cfg)
    assert (found.layout, found.channels) == ('NHWC', (96, 192, 384, 768))
    assert found.strides == (4, 8, 16, 32)
    assert f'timm:{name}' in found.notes[0]


def test_an_output_that_is_no_tensor_has_no_channels():
    found = probe(dict(type='mmpretrain.InceptionV3'))
    assert (found.layout, found.channels) == ('NoneType and NC', (None, 1000))


def test_maps_of_one_stride_point_to_the_neck_for_them():
    (note,) = probe(timm('vit_tiny_patch16_224')).notes
    assert 'plugin.SimpleFeaturePyramid' in note
    assert probe(timm('vit_tiny_patch16_224', out_indices=(11,))).notes == ()
    dilated = dict(strides=(2, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(2, 3))
    assert probe(resnet(**dilated)).strides == (32, 32)
    dilated = dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    assert probe(resnet(**dilated)).notes == ()


def test_a_single_tensor_of_a_library_is_reported():
    found = probe(dict(type='mmseg.DDRNet', channels=8))
    assert (found.layout, found.strides) == ('NCHW', (8,))
    assert 'a single Tensor' in found.notes[0]


def test_out_indices_that_a_class_leaves_negative_are_resolved():
    assert probe(dict(type='mmseg.FastSCNN', out_indices=(-1,))).out_indices == (2,)


def test_a_class_without_out_indices_has_none():
    assert probe(dict(type='mmdet.HourglassNet'), 128).out_indices is None


# Classes of a user's own.


class Own(nn.Module):
    """Two maps; what a test wants changed is overridden."""

    in_channels = 3

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(self.in_channels, 8, 4, stride=4)
        self.stage = nn.Conv2d(8, 16, 2, stride=2)

    def forward(self, x):
        x = self.stem(x)
        return x, self.stage(x)


def test_a_class_of_the_users_own_is_measured(register):
    register(Own)
    found = probe(dict(type='plugin.Own'), 64)
    assert (found.channels, found.strides) == ((8, 16), (4, 8))
    assert found.params == 3 * 16 * 8 + 8 + 8 * 4 * 16 + 16
    assert found.flops == 16 * 16 * (3 * 16 * 8) + 8 * 8 * (8 * 4 * 16)
    assert found.size_divisor == 8


def test_what_asks_for_values_runs_for_real_and_is_counted_once(register):
    class AsksForValues(Own):
        def forward(self, x):
            maps = super().forward(x)
            self.seen = [m.mean().item() for m in maps]
            return maps

    register(Own)
    register(AsksForValues)
    found = probe(dict(type='plugin.AsksForValues'), 64)
    assert found == probe(dict(type='plugin.Own'), 64)


def test_the_attention_of_torchs_own_layers_is_counted(register):
    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 32, 16, stride=16)
            # It has a kernel of its own in eval mode, which is not counted.
            layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1)

        def forward(self, x):
            x = self.stem(x)
            float(x.mean())  # So that it is run on the CPU.
            y = self.encoder(x.flatten(2).transpose(1, 2))
            return (y.transpose(1, 2).reshape(x.shape),)

    register(Transformer)
    found = probe(dict(type='plugin.Transformer'), 64)
    # 16 tokens of 32 channels: stem, four products of the attention, two of its
    # matrices of 16 x 16, and 32 x 64 forth and back.
    stem = 16 * 32 * 3 * 16 * 16
    assert found.flops == stem + 16 * 4 * 32**2 + 2 * 16**2 * 32 + 2 * 16 * 32 * 64


def test_what_asks_for_values_in_its_constructor_runs_for_real(register):
    class BuildsWithValues(Own):
        def __init__(self):
            super().__init__()
            self.scale = float(self.stem.weight.abs().max())

    register(BuildsWithValues)
    found = probe(dict(type='plugin.BuildsWithValues'), 64)
    assert (found.channels, found.strides) == ((8, 16), (4, 8))


def test_the_channels_of_the_image_are_those_of_the_argument():
    found = probe(dict(type='plugin.ConvNeXt', arch='atto', in_channels=4), 64)
    assert 'image: 4' in found.notes[0]
    found = probe(timm('resnet10t', in_channels=1), 64)
    assert 'image: 1' in found.notes[0]


def test_the_channels_of_the_image_are_else_those_of_the_first_convolution(register):
    class Multispectral(Own):
        in_channels = 13

    register(Multispectral)
    found = probe(dict(type='plugin.Multispectral'), 64)
    assert found.channels == (8, 16)
    assert 'image: 13' in found.notes[0]


def test_a_single_tensor_of_the_users_own_is_a_mistake(register):
    class Single(Own):
        def forward(self, x):
            return self.stem(x)

    register(Single)
    with pytest.raises(ValueError, match=r'returned a Tensor; .* `return \(x,\)`'):
        probe(dict(type='plugin.Single'), 64)


def test_a_declared_spec_that_is_wrong_is_a_mistake(register):
    class Declares(Own):
        def feature_spec(self):
            return FeatureSpec((8, 32), (4, 8))

    register(Declares)
    with pytest.raises(ValueError, match=r'says channels \[8, 32\].* gives \[8, 16\]'):
        probe(dict(type='plugin.Declares'), 64)


def test_a_declared_stride_is_believed_where_the_map_leaves_a_choice(register):
    class Declares(Own):
        def feature_spec(self):
            return FeatureSpec((8, 16), (4, 9))

    register(Declares)
    # A map of 2x2 is of stride 8 at 16 pixels, and of any from 8 to 15.
    assert probe(dict(type='plugin.Declares'), 16).strides == (4, 9)
    with pytest.raises(ValueError, match='feature_spec'):
        probe(dict(type='plugin.Declares'), 128)


def test_the_mode_of_each_module_is_put_back():
    measured = MeasuredBackbone(resnet(norm_eval=False))
    measured.backbone.bn1.eval()
    measured.forward((64, 64))
    assert measured.backbone.training and not measured.backbone.bn1.training


@pytest.mark.parametrize(
    ('cells', 'stride'),
    [(56, 4), (14, 16), (16, 14), (7, 32), (4, 64), (6, 37), (32, 7), (224, 1)],
)
def test_the_stride_of_a_map_of_224_pixels(cells, stride):
    assert Maps(((1, 3, cells, cells),), (224, 224)).strides == (stride,)


def test_memory_for_weights_is_not_taken(monkeypatch):
    from plugin.measure import backbone as module

    built = module._build

    def on_meta(cfg):
        assert torch.empty(0).is_meta
        return built(cfg)

    monkeypatch.setattr(module, '_build', on_meta)
    assert probe(dict(type='mmdet.SwinTransformer')).channels == (96, 192, 384, 768)
