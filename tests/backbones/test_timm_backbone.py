"""plugin.TIMMBackbone over timm's families, with random weights and small images."""

import copy
import math
import os
import subprocess
import sys

import pytest
import timm
import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from plugin.measure.features import measure
from plugin.registry import MODELS

# The smallest model of a family each: one for each way in which timm takes features
# and for each kind of trouble with image sizes.
MODELS_OF_THE_SUITE = [
    'resnet10t',  # plain; its feature list begins with the stem's own map
    'efficientnet_b0',  # a class of its own, never cut short by out_indices
    'mobilenetv3_small_050',  # another
    'convnext_zepto_rms',  # floors odd sizes
    'hrnet_w18_small',  # another class; parallel branches
    'swin_tiny_patch4_window7_224',  # NHWC, windows
    'vit_tiny_patch16_224',  # one stride, position embeddings
    'test_maxvit',  # windows and grids that must divide
]
MODELS_OF_THE_MATRIX = [
    'resnest14d',
    'regnetx_002',
    'convnextv2_atto',
    'tf_efficientnetv2_b0',
    'mobilenetv4_conv_small_035',
    'ghostnet_050',
    'repvgg_a0',
    'cspresnext50',
    'cs3darknet_focus_s',
    'darknet17',
    'swinv2_tiny_window8_256',
    'maxvit_pico_rw_256',
    'pvt_v2_b0',
    'efficientformer_l1',
    'efficientformerv2_s0',
    'hgnetv2_b0',
    'fastvit_t8',
    'dla46_c',
    'eva02_tiny_patch14_224',
    'deit_tiny_patch16_224',
    'beitv2_base_patch16_224',
    'swinv2_cr_tiny_224',
    'coat_tiny',
    'davit_tiny',
    'densenet121',
    'dpn48b',
    'edgenext_xx_small',
    'focalnet_tiny_srf',
    'gcvit_xxtiny',
    'hiera_tiny_224',
    'inception_next_atto',
    'levit_128s',
    'mambaout_femto',
    'mobilevit_xxs',
    'mvitv2_tiny',
    'nest_tiny',
    'nextvit_small',
    'poolformerv2_s12',
    'rdnet_tiny',
    'repvit_m1',
    'res2next50',
    'rexnet_100',
    'sam2_hiera_tiny',
    'starnet_s050',
    'tiny_vit_5m_224',
    'tresnet_m',
    'twins_svt_small',
    'vgg11',
    'vit_tiny_r_s16_p8_224',
    'volo_d1_224',
    'xception41p',
    'xcit_nano_12_p8_224',
]
ALL_MODELS = [
    *MODELS_OF_THE_SUITE,
    *(pytest.param(name, marks=pytest.mark.wide) for name in MODELS_OF_THE_MATRIX),
]
each = pytest.mark.parametrize('model_name', ALL_MODELS)


def build(model_name, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(
        dict(type='plugin.TIMMBackbone', model_name=model_name, **kwargs)
    )


def all_stages(model_name, **kwargs):
    """With every map that the model has."""
    backbone = build(model_name, **kwargs)
    # TResNet counts the map of its stem and does not give it.
    first = 1 if model_name.startswith('tresnet') else 0
    return build(
        model_name, out_indices=tuple(range(first, backbone.num_stages)), **kwargs
    )


def frozen(backbone):
    return {n for n, p in backbone.named_parameters() if not p.requires_grad}


def gradient_of(x, backbone):
    """Names of the parameters that get a gradient from a map."""
    backbone.zero_grad()
    x.mean().backward(retain_graph=True)
    return {n for n, p in backbone.named_parameters() if p.grad is not None}


@each
@pytest.mark.parametrize('size', [(65, 101), (96, 64)], ids=str)
def test_maps_are_nchw_of_the_declared_channels_and_strides(model_name, size):
    backbone = build(model_name).eval()
    spec = backbone.feature_spec()
    info = backbone.timm_model.feature_info
    assert [info[i]['num_chs'] for i in backbone.out_indices] == list(spec.channels)
    assert [info[i]['reduction'] for i in backbone.out_indices] == list(spec.strides)
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, *size))
    assert isinstance(maps, tuple)
    assert [tuple(x.shape) for x in maps] == [
        (1, c, math.ceil(size[0] / s), math.ceil(size[1] / s))
        for c, s in zip(spec.channels, spec.strides, strict=True)
    ]
    assert all(x.is_contiguous() for x in maps)


@each
def test_an_image_of_four_native_sizes_passes_or_is_refused_with_advice(model_name):
    backbone = build(model_name, out_indices=(-1,))
    height, width = (
        2 * s for s in backbone.timm_model.pretrained_cfg['input_size'][1:]
    )
    # Shapes are all that matters here, and they cost nothing on the meta device.
    backbone = backbone.to('meta').eval()
    image = torch.empty(1, 3, height, width + 32, device='meta')
    if backbone.fixed_size:
        with pytest.raises(ValueError, match=rf'img_size=\({height}, {width + 32}\)'):
            backbone(image)
    else:
        (x,) = backbone(image)
        (stride,) = backbone.feature_spec().strides
        assert x.shape[2:] == (
            math.ceil(height / stride),
            math.ceil((width + 32) / stride),
        )


@each
def test_gradients_reach_every_trainable_parameter_also_of_inner_maps(model_name):
    num_stages = build(model_name).num_stages
    for out_indices in {(num_stages - 1,), (num_stages // 2,)}:
        backbone = build(model_name, out_indices=out_indices)
        sum(x.mean() for x in backbone(torch.rand(2, 3, 64, 96))).backward()
        assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


@each
def test_frozen_is_what_the_first_maps_depend_on_and_the_stem(model_name):
    backbone = all_stages(model_name)
    maps = backbone(torch.rand(2, 3, 64, 96))
    skipped = backbone.num_stages - len(maps)
    depends = [gradient_of(x, backbone) for x in maps]
    backbone.frozen_stages = 0
    backbone.train()
    stem = frozen(backbone)
    assert stem
    assert stem < set().union(*depends)
    for n in {1, 2, backbone.num_stages // 2, backbone.num_stages}:
        backbone.requires_grad_(True)
        backbone.frozen_stages = n
        backbone.train()
        first = depends[: max(n - skipped, 0)]
        assert frozen(backbone) == stem.union(*first)


@each
def test_frozen_batch_norms_are_in_eval_and_the_others_are_not(model_name):
    backbone = build(model_name, frozen_stages=2)
    names = frozen(backbone)
    for name, module in backbone.named_modules():
        if isinstance(module, _BatchNorm):
            inside = {f'{name}.{n}' for n, _ in module.named_parameters()}
            if inside:
                assert module.training == (not inside <= names), name


@each
def test_weights_and_maps_are_those_of_timm_from_the_same_seed(model_name):
    backbone = build(model_name)
    torch.manual_seed(0)
    expected = timm.create_model(
        model_name,
        features_only=True,
        out_indices=backbone.out_indices,
        **backbone.timm_kwargs,
    )
    state = expected.state_dict()
    for name, value in backbone.timm_model.state_dict().items():
        assert torch.equal(value, state[name]), name
    size = expected.pretrained_cfg['input_size'][1:]
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        ours, theirs = backbone.eval()(image), expected.eval()(image)
    nhwc = getattr(expected, 'output_fmt', 'NCHW') == 'NHWC'
    for x, y in zip(ours, theirs, strict=True):
        assert torch.equal(x, y.permute(0, 3, 1, 2) if nhwc else y)


@each
def test_init_weights_of_a_model_leaves_timms_weights(model_name):
    class Detector(BaseModule):
        def __init__(self):
            super().__init__()
            self.backbone = build(
                model_name, init_cfg=dict(type='Constant', layer='NoSuchLayer', val=7)
            )

    detector = Detector()
    before = copy.deepcopy(detector.state_dict())
    detector.init_weights()
    after = detector.state_dict()
    assert [k for k, v in before.items() if not torch.equal(v, after[k])] == []


@pytest.mark.parametrize(
    ('model_name', 'out_indices', 'channels', 'strides'),
    [
        ('efficientnet_b1', (1, 2, 3, 4), (24, 40, 112, 320), (4, 8, 16, 32)),
        ('efficientnet_b1', (2, 3, 4), (40, 112, 320), (8, 16, 32)),
        ('tf_efficientnetv2_s', (2, 3, 4), (64, 160, 256), (8, 16, 32)),
        ('resnet18', (1, 2, 3, 4), (64, 128, 256, 512), (4, 8, 16, 32)),
    ],
)
def test_channels_of_the_tutorials_models(model_name, out_indices, channels, strides):
    backbone = build(model_name, out_indices=out_indices, features_only=True)
    spec = backbone.feature_spec()
    assert (spec.channels, spec.strides) == (channels, strides)
    assert measure(backbone, 64) == spec


@pytest.mark.parametrize(
    ('out_indices', 'resolved'),
    [(None, (0, 1, 2, 3, 4)), ((-2, -1), (3, 4)), ((1, -1), (1, 4)), (2, (3, 4))],
    ids=str,
)
def test_out_indices_mean_what_they_mean_in_timm(out_indices, resolved):
    backbone = build('resnet10t', out_indices=out_indices)
    kwargs = {} if out_indices is None else dict(out_indices=out_indices)
    theirs = timm.create_model('resnet10t', features_only=True, **kwargs)
    assert backbone.out_indices == resolved
    assert list(backbone.feature_spec().channels) == theirs.feature_info.channels()


def test_the_default_maps_of_a_plain_vit_are_timms():
    assert build('vit_tiny_patch16_224').out_indices == (9, 10, 11)


def test_stages_of_a_resnet_are_the_entries_of_its_feature_list():
    def modules(n):
        names = frozen(build('resnet10t', frozen_stages=n))
        return {name.split('.')[1] for name in names}

    assert modules(0) == modules(1) == {'conv1', 'bn1'}
    assert modules(2) == {'conv1', 'bn1', 'layer1'}
    assert modules(3) == {'conv1', 'bn1', 'layer1', 'layer2'}


def test_a_stage_of_a_plain_vit_is_a_block():
    names = frozen(build('vit_tiny_patch16_224', frozen_stages=0))
    assert names == {
        f'timm_model.model.{n}'
        for n in ('cls_token', 'pos_embed', 'patch_embed.proj.weight')
    } | {'timm_model.model.patch_embed.proj.bias'}
    three = frozen(build('vit_tiny_patch16_224', frozen_stages=3)) - names
    assert {name.split('.')[3] for name in three} == {'0', '1', '2'}


def test_frozen_stages_count_entries_also_when_their_maps_are_not_wanted():
    all_maps = build('resnet10t', frozen_stages=3)
    last = build('resnet10t', frozen_stages=3, out_indices=(4,))
    assert frozen(last) == frozen(all_maps)


def test_drop_path_of_a_frozen_stage_is_off():
    backbone = build(
        'swin_tiny_patch4_window7_224', frozen_stages=2, drop_path_rate=0.5
    )
    drops = {
        name.split('.')[1]: module.training
        for name, module in backbone.named_modules()
        if name.endswith('drop_path1') and not isinstance(module, nn.Identity)
    }
    assert drops == {
        'layers_0': False,
        'layers_1': False,
        'layers_2': True,
        'layers_3': True,
    }


def test_norm_eval_keeps_every_batch_norm_in_eval_and_trainable():
    backbone = build('resnet10t', norm_eval=True)
    before = copy.deepcopy(backbone.state_dict())
    backbone.eval()
    backbone.train()
    backbone(torch.rand(2, 3, 64, 64))
    after = backbone.state_dict()
    assert [k for k in before if not torch.equal(before[k], after[k])] == []
    assert frozen(backbone) == set()
    assert backbone.timm_model.layer1.training


def test_blocks_after_the_last_map_are_not_run():
    assert len(build('efficientnet_b0', out_indices=(1, 2)).timm_model.blocks) == 3
    assert len(build('efficientnet_b0').timm_model.blocks) == 7


def test_parameters_without_a_map_become_buffers_and_stay_in_the_state_dict():
    whole = build('hrnet_w18_small')
    backbone = build('hrnet_w18_small', out_indices=(2, 3))
    assert backbone.state_dict().keys() == whole.state_dict().keys()
    left = {n for n, _ in whole.named_parameters()} - {
        n for n, _ in backbone.named_parameters()
    }
    assert 'timm_model.incre_modules.0.0.conv1.weight' in left
    assert 'timm_model.incre_modules.1.0.conv1.weight' not in left
    assert left <= {n for n, _ in backbone.named_buffers()}


def test_padding_does_not_reach_maps_that_fit():
    # 64x96 is a multiple of all strides, so nothing is padded and timm's own map comes.
    backbone = build('convnext_zepto_rms').eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for x, y in zip(backbone(image), backbone.timm_model(image), strict=True):
            assert torch.equal(x, y)


def test_an_image_is_padded_with_zeros_at_the_right_and_below():
    backbone = build('vit_tiny_patch16_224', out_indices=(0,)).eval()
    image = torch.rand(1, 3, 40, 50)
    padded = torch.zeros(1, 3, 48, 64)
    padded[:, :, :40, :50] = image
    with torch.no_grad():
        assert torch.equal(backbone(image)[0], backbone(padded)[0])


def test_swin_shifts_its_windows_in_the_last_stage_too():
    last = build('swin_tiny_patch4_window7_224').timm_model.layers_3.blocks
    assert [block.shift_size for block in last] == [(0, 0), (3, 3)]
    small = build('swin_tiny_patch4_window7_224', img_size=64).timm_model.layers_0
    assert small.blocks[0].window_size == (7, 7)


def test_img_size_sets_the_windows_of_maxvit():
    backbone = build('test_maxvit', img_size=64).eval()
    assert backbone.timm_model.stages_0.blocks[0].attn_block.partition_size == (2, 2)
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 65, 64))
    assert maps[-1].shape[2:] == (3, 2)


def test_a_model_of_one_size_is_built_for_img_size():
    backbone = build('levit_128s', img_size=(64, 128))
    assert backbone.fixed_size == (64, 128)
    assert backbone(torch.rand(2, 3, 60, 128))[0].shape == (2, 128, 4, 8)
    with pytest.raises(ValueError, match=r'up to 64x128 and was given 65x128'):
        backbone(torch.rand(2, 3, 65, 128))


def test_a_model_of_one_size_is_not_taken_for_one_of_its_multiples():
    # Small images all fit one native square, whatever the model does beyond it.
    with torch.device('meta'):
        assert build('efficientformer_l1').fixed_size == (224, 224)
        assert build('test_maxvit').fixed_size is None


def test_in_channels_drop_path_and_timm_kwargs_reach_timm():
    backbone = build(
        'resnet10t',
        in_channels=1,
        drop_path_rate=0.25,
        timm_kwargs=dict(output_stride=8, act_layer='gelu'),
    )
    assert backbone(torch.rand(2, 1, 64, 64))[-1].shape == (2, 512, 8, 8)
    assert backbone.feature_spec().strides == (2, 4, 8, 8, 8)
    assert backbone.timm_model.layer4[0].drop_path.drop_prob == 0.25
    assert type(backbone.timm_model.act1).__name__ == 'GELU'


def test_it_builds_without_gradients_and_on_the_meta_device():
    expected = {n for n, _ in build('hrnet_w18_small').named_parameters()}
    with torch.no_grad():
        assert {n for n, _ in build('hrnet_w18_small').named_parameters()} == expected
    with torch.inference_mode():
        assert {n for n, _ in build('hrnet_w18_small').named_parameters()} == expected
    with torch.device('meta'):
        backbone = build('hrnet_w18_small', pretrained=True, frozen_stages=1)
    assert all(p.is_meta for p in backbone.parameters())
    assert {n for n, _ in backbone.named_parameters()} == expected
    assert frozen(backbone) == frozen(build('hrnet_w18_small', frozen_stages=1))


def test_importing_our_backbones_does_not_import_timm(repo_root, lighter):
    code = (
        'import sys, plugin.backbones, plugin.registry\n'
        "plugin.registry.MODELS.get('plugin.TIMMBackbone')\n"
        "print('timm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=repo_root,
        env={**os.environ, 'PYTHONPATH': lighter},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == 'False'


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(model_name='resnet_50'), 'nearest names are resnet50, '),
        (dict(model_name='resnet18.a9_in1k'), r'it has resnet18\.a1_in1k, '),
        (dict(out_indices=(1, 5)), r'resnet10t has stages 0 to 4'),
        (dict(out_indices=(3, 1)), r'write out_indices=\(1, 3\)'),
        (dict(out_indices=6), r'write 1 to 5'),
        (dict(out_indices=0), r'write 1 to 5'),
        (dict(frozen_stages=6), r'1 to 5'),
        (dict(img_size=64), 'leave img_size out'),
        (
            dict(model_name='densenet121', drop_path_rate=0.1),
            'leave drop_path_rate out',
        ),
        (dict(timm_kwargs=dict(drop_pat=0.1)), r"'drop_pat'.*mean.*drop_path_rate"),
        (dict(timm_kwargs=dict(in_chans=1)), 'write in_channels=1 beside'),
        (dict(features_only=False), 'leave features_only out'),
        (dict(pretrained='weights.pth'), 'a file goes into checkpoint_path'),
        (
            dict(pretrained=True, checkpoint_path='a.pth'),
            'pretrained and checkpoint_path each say',
        ),
        (
            dict(pretrained=True, init_cfg=dict(type='Pretrained', checkpoint='a')),
            'pretrained and init_cfg each say',
        ),
        (
            dict(model_name='tresnet_m', out_indices=(0, 1)),
            'map 0, which tresnet_m counts but does not give',
        ),
        (
            dict(model_name='inception_v3'),
            r'299x299 its map of stride 2 is 147x147\. Choose',
        ),
        (
            dict(model_name='efficientformer_l1', img_size=448),
            r'448x448 it fails with .*another model',
        ),
    ],
    ids=str,
)
def test_a_mistake_is_answered_with_what_to_write(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**{'model_name': 'resnet10t', **kwargs})


def test_an_unknown_model_name_gets_the_three_nearest():
    with pytest.raises(ValueError) as caught:
        build('efficientnetb1')
    nearest = str(caught.value).rpartition(' are ')[2].split(', ')
    assert len(nearest) == 3
    assert 'efficientnet_b1' in nearest
    assert set(nearest) <= set(timm.list_models())


@pytest.mark.parametrize(
    'init_cfg', [None, dict(type='Constant', layer='Conv2d', val=7)]
)
def test_the_init_cfg_of_a_model_around_it_leaves_timms_weights_alone(init_cfg):
    class Detector(BaseModule):
        def __init__(self):
            super().__init__(dict(type='Kaiming', layer='Conv2d'))
            self.backbone = MODELS.build(
                dict(type='TIMMBackbone', model_name='resnet10t', init_cfg=init_cfg)
            )
            self.neck = torch.nn.Conv2d(1, 1, 1)

    model = Detector()
    backbone, neck = (
        copy.deepcopy(model.backbone.state_dict()),
        model.neck.weight.clone(),
    )
    model.init_weights()
    assert not torch.equal(model.neck.weight, neck)
    for name, after in model.backbone.state_dict().items():
        if init_cfg is None:
            assert torch.equal(after, backbone[name]), name
        elif 'conv' in name and name.endswith('weight') and after.dim() == 4:
            # Its own init_cfg still holds.
            assert (after == 7).all(), name
