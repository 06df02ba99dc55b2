"""The name of each ready config agrees with what it holds.

``{algorithm}_{backbone}_{neck}_{GPUs}xb{batch}-{schedule}_{dataset}.py``; a segmentor
and one of the DETR family name no neck, and a classifier neither that nor an algorithm.
"""

import re
from pathlib import Path

import pytest
from ready_configs import READY, change, innermost, load, task

BATCH = re.compile(r'(?P<gpus>\d+)xb(?P<batch>\d+)(?:-(?P<schedule>.+))?')
LENGTH = re.compile(r'(\d+)(e|x|k|i)$')


def squeezed(words):
    return re.sub(r'[^a-z0-9.]', '', words.lower())


def fields(name):
    """Algorithm, backbone, neck, match of the batch field, data set; '' if none."""
    before, batch, after = re.fullmatch(
        r'(.*?)_?(\d+xb[^_]+)_(.+)', Path(name).stem
    ).groups()
    words = before.split('_')
    algorithm = '' if task(name) == 'cls' else words.pop(0)
    if algorithm.startswith(('yolo', 'rtmdet')):
        algorithm += f'_{words.pop(0)}'
    backbone = words.pop(0)
    return algorithm, backbone, '_'.join(words), BATCH.fullmatch(batch), after


@pytest.fixture(params=READY)
def named(request):
    return request.param, load(request.param), fields(request.param)


def test_algorithm(named):
    _, cfg, (algorithm, *_) = named
    algorithm, _, variant = algorithm.partition('_')
    if algorithm.endswith('-4scale'):
        algorithm = algorithm.removesuffix('-4scale')
        assert cfg.model.neck.num_outs == 4
    types = {squeezed(cfg.model.type)} | {
        squeezed(cfg.model[head].type).removesuffix('head')
        for head in ('bbox_head', 'decode_head')
        if head in cfg.model
    }
    wanted = squeezed(algorithm)
    if wanted:
        assert {wanted, wanted.removesuffix('net')} & types
    else:
        assert types == {'imageclassifier'}
    if variant == 's':
        # A third of the three blocks in each stage of the neck.
        neck = cfg.model.neck
        assert round(neck.get('num_csp_blocks', 3) * neck.get('deepen_factor', 1)) == 1


# What a model of timm is called by those who know it: its pretraining comes first.
TIMM_WORDS = [
    (r'vit_(\w+)_patch\d+_(dinov\d)\..*', r'\2-vit-\1'),
    (r'vit_(\w+)_patch\d+_224\..*', r'vit-\1'),
    (r'vit_(\w+)_patch\d+_224', r'timm-vit-\1'),
    (r'(convnext_\w+)\.(dinov\d)_.*', r'\2-\1'),
]


def backbone_words(backbone):
    """How a file name may call this backbone."""
    kind = backbone.type.rpartition('.')[2]
    if kind == 'TIMMBackbone':
        for pattern, words in TIMM_WORDS:
            if re.fullmatch(pattern, backbone.model_name):
                return re.sub(pattern, words, backbone.model_name)
        return 'timm' + backbone.model_name.partition('.')[0].removeprefix('tf_')
    if kind == 'ResNet':
        return f'r{backbone.depth}'
    if kind == 'RegNet':
        return backbone.arch
    if kind == 'SwinTransformer':
        return (
            'swin'
            + {(96, (2, 2, 6, 2)): 'tiny'}[backbone.embed_dims, tuple(backbone.depths)]
        )
    return kind + str(backbone.get('arch', backbone.get('depth', '')))


def test_backbone(named):
    _, cfg, (_, backbone, *_) = named
    words = squeezed(backbone_words(innermost(cfg.model.backbone)))
    assert squeezed(backbone).startswith(words)
    weights = squeezed(backbone).removeprefix(words)
    if weights:
        assert f'/{weights}/' in cfg.model.backbone.init_cfg.checkpoint


def test_neck(named):
    name, cfg, (_, _, neck, *_) = named
    given = cfg.model.get('neck', {}).get('type')
    if task(name) in ('seg', 'cls'):
        # All maps of a plain ViT have one stride, and mmseg's heads want several.
        assert neck == '' and given in (None, 'Feature2Pyramid')
    elif given == 'ChannelMapper':
        assert neck == ''
    elif given == 'plugin.SimpleFeaturePyramid':
        assert neck == 'sfp'
    else:
        type_ = cfg.model.neck.type.lower()
        assert neck == ('pafpn' if type_.endswith('pafpn') else type_)


def test_batch(named):
    _, cfg, (_, _, _, match, _) = named
    assert cfg.train_dataloader.batch_size == int(match['batch'])
    total = int(match['gpus']) * int(match['batch'])
    if cfg.get('auto_scale_lr'):
        assert cfg.auto_scale_lr.base_batch_size == total


def test_length_of_training(named):
    name, cfg, (_, _, _, match, _) = named
    if task(name) == 'cls':
        assert match['schedule'] is None and cfg.train_cfg.max_epochs == 300
        return
    number, unit = LENGTH.search(match['schedule']).groups()
    if unit in ('k', 'i'):
        assert cfg.train_cfg.max_iters == int(number) * (1000 if unit == 'k' else 1)
    else:
        # 1x is 12 epochs; e and x are the only other units.
        times = cfg.train_dataloader.dataset.get('times', 1)
        epochs = int(number) * (12 if unit == 'x' else 1)
        assert cfg.train_cfg.max_epochs * times == epochs


def steps(cfg):
    """The types of all augmentations for training."""
    found = set()
    change(cfg.train_dataloader, lambda node: found.add(node.get('type')))
    return found


# The words of a schedule, and how a config shows each.
TRICKS = {
    'amp': lambda cfg: cfg.optim_wrapper.get('type') == 'AmpOptimWrapper',
    # The DETR family and Mask2Former know no other way.
    'ms': lambda cfg: (
        'RandomChoiceResize' in steps(cfg)
        and cfg.model.type != 'DINO'
        and cfg.model.get('decode_head', {}).get('type') != 'Mask2FormerHead'
    ),
    'crop': lambda cfg: (
        'RandomCrop' in steps(cfg)
        and 'RandomResize' not in steps(cfg)
        and cfg.default_scope == 'mmdet'
        # The DETR family crops before it resizes, as all of it does.
        and cfg.model.type != 'DINO'
    ),
    'lsj': lambda cfg: (
        {'RandomResize', 'RandomCrop'} <= steps(cfg) and cfg.default_scope == 'mmdet'
    ),
    'frozen': lambda cfg: (
        innermost(cfg.model.backbone).get('frozen_stages', -1)
        > max(innermost(cfg.model.backbone).get('out_indices') or [0])
        and not any('Unfreeze' in hook.type for hook in cfg.get('custom_hooks', []))
    ),
    'lora': lambda cfg: (
        cfg.model.backbone.get('peft_config', {}).get('peft_type') == 'LORA'
    ),
    'unfreeze': lambda cfg: any(
        'Unfreeze' in hook.type for hook in cfg.get('custom_hooks', [])
    ),
    'mosaic': lambda cfg: (
        'Mosaic' in steps(cfg) and not cfg.model.type.startswith('YOLO')
    ),
    'finetune': lambda cfg: (
        (innermost(cfg.model.backbone).get('init_cfg') or {})
        .get('checkpoint', '')
        .startswith('package://')
    ),
    # Where it is what a config shows, and not a part of its published recipe.
    'decay': lambda cfg: (
        'shapes' in cfg.train_dataloader.dataset.get('data_root', '')
        and 'LayerDecay' in cfg.optim_wrapper.get('constructor', '')
    ),
    'scratch': lambda cfg: (
        'init_cfg' in cfg.model.backbone and cfg.model.backbone.init_cfg is None
    ),
}


def test_every_trick_is_in_the_name_and_no_other(named):
    name, cfg, (_, _, _, match, _) = named
    words = LENGTH.sub('', match['schedule'] or '').split('-')
    shown = {trick for trick, has in TRICKS.items() if has(cfg)}
    assert {word for word in words if word} == shown


def test_data_set(named):
    _, cfg, (*_, data_set) = named
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.get('dataset', dataset)
    root = dataset.data_root.rstrip('/')
    if data_set.startswith('ade20k'):
        assert root == 'data/ade/ADEChallengeData2016'
        height, width = cfg.model.data_preprocessor.size
        assert data_set == f'ade20k-{height}x{width}'
    else:
        assert {'coco': 'data/coco', 'in1k': 'data/imagenet', 'shapes': 'data/shapes'}[
            data_set
        ] == root
