import pytest

from plugin.measure import normalization as preprocessing
from plugin.measure.normalization import (
    IMAGENET,
    Normalization,
    normalization_of,
    normalization_of_checkpoint,
)

RGB_MEAN, RGB_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
HALF = Normalization((127.5,) * 3, (127.5,) * 3)
ONES = (1.0, 1.0, 1.0)
OPENMMLAB = 'https://download.openmmlab.com'


def timm(name, **more):
    return dict(type='plugin.TIMMBackbone', model_name=name, **more)


def test_imagenet_is_on_the_scale_of_0_to_255():
    assert IMAGENET == Normalization(RGB_MEAN, RGB_STD, 'RGB')


@pytest.mark.parametrize(
    ('model_name', 'expected'),
    [
        ('resnet18', IMAGENET),
        ('vit_tiny_patch16_224', HALF),
        # Two tags of one model that were trained on different statistics.
        ('vit_base_patch16_224.augreg_in1k', HALF),
        ('vit_base_patch16_224.dino', IMAGENET),
        (
            'vit_base_patch16_clip_224.openai',
            Normalization((122.7709, 116.746, 104.0937), (68.5005, 66.6322, 70.3232)),
        ),
        ('no_such_model', None),
        ('resnet18.no_such_tag', None),
        ('hf-hub:someone/something', None),
    ],
)
def test_a_timm_model_wants_what_its_tag_was_trained_on(model_name, expected):
    assert normalization_of(timm(model_name)) == expected
    other = dict(type='TIMMBackbone', model_name=model_name, pretrained=True)
    assert normalization_of(other) == expected


def test_a_named_checkpoint_counts_before_the_model():
    init = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    assert normalization_of(timm('vit_tiny_patch16_224', init_cfg=init)) == IMAGENET
    init['checkpoint'] = 'work_dirs/epoch_12.pth'
    assert normalization_of(timm('vit_tiny_patch16_224', init_cfg=init)) is None


@pytest.mark.parametrize(
    'cfg',
    [
        dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
        dict(
            init_cfg=[
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Pretrained', checkpoint='torchvision://resnet50'),
            ]
        ),
        dict(pretrained='torchvision://resnet50'),
    ],
)
def test_the_checkpoint_is_found_wherever_a_config_names_it(cfg):
    assert normalization_of(dict(type='mmdet.ResNet', depth=50, **cfg)) == IMAGENET


def test_of_two_checkpoints_the_later_one_is_what_the_backbone_ends_up_with():
    names = ('torchvision://resnet50', 'timm://vit_tiny_patch16_224')
    inits = [dict(type='Pretrained', checkpoint=name) for name in names]
    assert normalization_of(dict(type='mmdet.ResNet', init_cfg=inits)) == HALF


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmdet.ResNet', depth=50),
        dict(type='mmdet.ResNet', init_cfg=dict(type='Kaiming', layer='Conv2d')),
        dict(type='ResNet', init_cfg=dict(type='Pretrained', checkpoint='a/b.pth')),
    ],
)
def test_nothing_is_known_of_random_and_of_private_weights(cfg):
    assert normalization_of(cfg) is None


@pytest.mark.parametrize(
    ('address', 'mean', 'std', 'order'),
    [
        ('torchvision://resnet50', RGB_MEAN, RGB_STD, 'RGB'),
        (
            'https://download.pytorch.org/models/resnet50-0676ba61.pth',
            *(RGB_MEAN, RGB_STD, 'RGB'),
        ),
        ('torchvision://efficientnet_v2_l', (127.5,) * 3, (127.5,) * 3, 'RGB'),
        (
            'https://download.pytorch.org/models/efficientnet_v2_l-59c71312.pth',
            (127.5,) * 3,
            (127.5,) * 3,
            'RGB',
        ),
        ('open-mmlab://detectron2/resnet50_caffe', RGB_MEAN, ONES, 'BGR'),
        ('open-mmlab://detectron2/resnet101_caffe', RGB_MEAN, ONES, 'BGR'),
        ('open-mmlab://detectron/resnet50_gn', RGB_MEAN, ONES, 'BGR'),
        (
            'open-mmlab://detectron/resnet50_caffe',
            *((122.7717, 115.9465, 102.9801), ONES, 'BGR'),
        ),
        ('open-mmlab://detectron2/resnext101_32x8d', RGB_MEAN, RGB_STD, 'BGR'),
        ('open-mmlab://regnetx_3.2gf', RGB_MEAN, RGB_STD, 'BGR'),
        ('open-mmlab://vgg16_caffe', RGB_MEAN, ONES, 'RGB'),
        ('open-mmlab://darknet53', (0.0,) * 3, (255.0,) * 3, 'RGB'),
        ('open-mmlab://msra/hrnetv2_w32', RGB_MEAN, RGB_STD, 'RGB'),
        ('open-mmlab://resnet50_v1c', RGB_MEAN, RGB_STD, 'RGB'),
        ('timm://vit_tiny_patch16_224', (127.5,) * 3, (127.5,) * 3, 'RGB'),
        ('mmcls://vit_base_p16', (127.5,) * 3, (127.5,) * 3, 'RGB'),
        (
            'hf-hub:timm/vit_tiny_patch16_224.augreg_in21k',
            (127.5,) * 3,
            (127.5,) * 3,
            'RGB',
        ),
        (
            f'{OPENMMLAB}/pretrain/third_party/resnet50_msra-5891d200.pth',
            *(RGB_MEAN, ONES, 'BGR'),
        ),
        ('checkpoints/resnet50_msra-5891d200.pth', RGB_MEAN, ONES, 'BGR'),
        (
            f'{OPENMMLAB}/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/'
            'cspnext-s_imagenet_600e.pth',
            *(RGB_MEAN, RGB_STD, 'BGR'),
        ),
        (
            f'{OPENMMLAB}/mmsegmentation/v0.5/pretrain/segmenter/'
            'vit_tiny_p16_384_20220308-cce8c795.pth',
            (127.5,) * 3,
            (127.5,) * 3,
            'RGB',
        ),
        (
            f'{OPENMMLAB}/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b0_20220624-7e0fe6dd.pth',
            *(RGB_MEAN, RGB_STD, 'RGB'),
        ),
        (
            'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth',
            *(RGB_MEAN, RGB_STD, 'RGB'),
        ),
    ],
)
def test_what_a_known_checkpoint_wants(address, mean, std, order):
    found = normalization_of_checkpoint(address)
    assert found == Normalization(mean, std, order)


@pytest.mark.parametrize(
    'address',
    ['open-mmlab://kin400/i3d_r50_f32s2_k400', 'https://a.org/b-1234.pth', '', 'a.pth'],
)
def test_what_an_unknown_checkpoint_wants_is_not_guessed(address):
    assert normalization_of_checkpoint(address) is None


VAN = 'van-tiny_8xb128_in1k_20220501-385941af.pth'
REGNET = 'regnetx-400mf_8xb128_in1k_20211213-89bfc226.pth'
CIFAR = 'resnet50_b16x8_cifar10_20210528-f54bfad9.pth'


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        (VAN, HALF),
        (REGNET, Normalization(RGB_MEAN, RGB_STD, 'BGR')),
        (
            CIFAR,
            Normalization((125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)),
        ),
    ],
)
def test_mmpretrains_own_index_leads_to_the_config_of_its_weights(name, expected):
    pytest.importorskip('mmpretrain')
    folder = name.partition('-')[0]
    address = f'{OPENMMLAB}/mmclassification/v0/{folder}/{name}'
    assert normalization_of_checkpoint(address) == expected


def test_the_families_are_known_without_mmpretrain(monkeypatch):
    monkeypatch.setattr(preprocessing, 'listed', lambda *_: ())
    preprocessing._of_config.cache_clear()
    place = f'{OPENMMLAB}/mmclassification/v0'
    convnext = f'{place}/convnext/downstream/convnext-tiny_3rdparty_in1k-1.pth'
    assert normalization_of_checkpoint(convnext) == IMAGENET
    assert normalization_of_checkpoint(f'{place}/regnet/{REGNET}').order == 'BGR'
    assert normalization_of_checkpoint(f'{place}/van/{VAN}') is None
    preprocessing._of_config.cache_clear()


# What the shipped configs feed to weights that want something else, or that say so in
# figures of their own (resnest in mmdet, yolact).
EXCEPTIONS = {
    # timm's default weights were others when mmdet's config was written.
    'efficientnet_b1',
    'msra/hrnetv2_w18',
    'msra/hrnetv2_w32',
    'msra/hrnetv2_w40',
    'torchvision://resnet50',
    'torchvision://resnet101',
    'resnest50',
    'resnest101',
    'regnetx_1.6gf',
    'regnetx_4.0gf',
    'regnetx_400mf',
    'regnetx_800mf',
    'detectron/resnet50_caffe',
    'detectron2/resnet50_caffe',
    'detectron2/resnet101_caffe',
    'resnet101_8xb32_in1k_20210831-539c63f8.pth',
}


@pytest.mark.wide
@pytest.mark.parametrize('library', ['mmdet', 'mmseg', 'mmyolo', 'mmpretrain'])
def test_the_shipped_configs_feed_their_backbones_what_is_said_here(library):
    package = pytest.importorskip(library)
    from pathlib import Path

    from mmengine.config import Config

    from plugin.config.backbone import backbone_place

    compared, wrong = 0, set()
    folder = Path(package.__file__).parent / '.mim/configs'
    for path in sorted(folder.rglob('*.py')):
        if '_base_' in path.parts:
            continue
        try:
            cfg = Config.fromfile(str(path), import_custom_modules=False)
            place = backbone_place(cfg)
        except Exception:
            continue  # They need a package that is not there, or are out of date.
        found = normalization_of(place[1]) if place else None
        fed = cfg.get('data_preprocessor') or (cfg.get('model') or {}).get(
            'data_preprocessor'
        )
        if not found or not fed or len(fed.get('mean') or ()) != 3:
            continue
        rgb = fed.get('bgr_to_rgb', fed.get('to_rgb', False))
        step = 1 if rgb else -1
        theirs = [*fed['mean'][::step], *fed['std'][::step]]
        ours = [*found.mean, *found.std]
        compared += 1
        close = all(abs(a - b) < 0.01 for a, b in zip(ours, theirs, strict=True))
        if not close or found.order != ('RGB' if rgb else 'BGR'):
            own = place[1].get('model_name', '')
            *_, checkpoint = own, *preprocessing._checkpoints(place[1])
            if not any(checkpoint.endswith(known) for known in EXCEPTIONS):
                wrong.add((path.name, checkpoint))
    assert not wrong
    assert (
        compared >= {'mmdet': 500, 'mmseg': 70, 'mmyolo': 5, 'mmpretrain': 1}[library]
    )
