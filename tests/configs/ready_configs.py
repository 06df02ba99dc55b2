"""The ready configs, found by walking, and what makes one run on the shapes data set.

:func:`on_shapes` rewrites any of them by rules that know no config: file names of the
data set, three classes, and sizes in pixels divided by 8. Pipelines, losses, hooks,
optimizers and schedules stay the config's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = {'det': 'mmdet', 'seg': 'mmseg', 'yolo': 'mmyolo', 'cls': 'mmpretrain'}
READY = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').glob('*/*.py')
)
CLASSES = ('circle', 'square', 'triangle')

# Keys that hold pixels, in pipelines, dataloaders, data preprocessors and test_cfg.
PIXELS = {
    *('scale', 'scales', 'img_scale', 'crop_size', 'stride'),
    *('size', 'img_size', 'random_size_range'),
}


def task(name: str) -> str:
    return name.split('/')[1]


@cache
def load(name: str) -> Config:
    """Return the config as it is, for reading; :func:`offline` gives a copy."""
    return Config.fromfile(str(ROOT / name))


def change(node: Any, rule: Callable[[dict], None]) -> None:
    """Call ``rule`` on every dict in ``node``, the outer ones first."""
    if isinstance(node, dict):
        rule(node)
        for child in list(node.values()):
            change(child, rule)
    elif isinstance(node, (list, tuple)):
        for child in node:
            change(child, rule)


def innermost(backbone: ConfigDict) -> ConfigDict:
    """The backbone proper, without the wrappers around it."""
    while 'backbone' in backbone:
        backbone = backbone.backbone
    return backbone


def without_weights(node: dict) -> None:
    """Take out of one dict of a model what would load pretrained weights."""
    if (node.get('init_cfg') or {}).get('type') == 'Pretrained':
        node['init_cfg'] = None
    if node.get('pretrained'):
        node['pretrained'] = False if node['pretrained'] is True else None


def offline(cfg: Config) -> Config:
    """Return ``cfg`` with every pretrained weight off, and nothing else changed."""
    cfg = deepcopy(cfg)
    change(cfg.model, without_weights)
    return cfg


# Channels of the plain ViTs, and of the smallest of them, ViT-tiny.
WIDTHS = dict(small=384, base=768, large=1024)
TINY, TINY_HEADS = 192, 3


def with_tiny_vit(model: ConfigDict) -> None:
    """Give a plain ViT of timm the channels of ViT-tiny, and what reads it too."""
    vit = innermost(model.backbone)
    found = re.match(r'vit_([a-z]+)_patch', vit.get('model_name') or '')
    if found is None or found[1] == 'tiny':
        return
    own = vit.get('timm_kwargs') or {}
    vit.timm_kwargs = dict(own, embed_dim=TINY, num_heads=TINY_HEADS)
    width = WIDTHS[found[1]]

    def follow(node: dict) -> None:
        for key in {'in_channels', 'embed_dim', 'channels'} & set(node):
            if node[key] == width:
                node[key] = TINY
            elif isinstance(node[key], list):
                node[key] = [TINY if n == width else n for n in node[key]]

    change(model, follow)


def shrunk(pixels: Any) -> Any:
    """Return pixels by 8, in steps of 32; any other value stays as it is.

    COCO's (1333, 800) becomes (160, 96), YOLO's 640 becomes 96 and ImageNet's 224
    becomes 32.
    """
    if isinstance(pixels, (list, tuple)):
        return type(pixels)(shrunk(p) for p in pixels)
    if isinstance(pixels, int) and pixels >= 32:
        return max(32, (pixels // 8 + 16) // 32 * 32)
    return pixels


def _shrink(node: dict) -> None:
    for key in PIXELS & set(node):
        node[key] = shrunk(node[key])
    if 'border' in node:
        # Half of a size, taken away on both sides.
        node['border'] = tuple(-shrunk(-2 * side) // 2 for side in node['border'])


def _unfreeze_soon(node: dict) -> None:
    if 'unfreeze_epoch' in node:
        node['unfreeze_epoch'] = 1


def _only_what_a_cpu_has(node: dict) -> None:
    if node.get('type') == 'AmpOptimWrapper':
        node['type'] = 'OptimWrapper'
        node.pop('loss_scale', None)


def _three_classes(node: dict) -> None:
    if 'num_classes' in node:
        node['num_classes'] = len(CLASSES)
        loss = node.get('loss_cls') or {}
        if isinstance(loss.get('class_weight'), list):
            # One for each class, and the last one for none of them.
            loss.class_weight = [1.0] * len(CLASSES) + loss.class_weight[-1:]


def _without_missing_albumentations(node: dict) -> None:
    if 'pipeline' in node and find_spec('albumentations') is None:
        node['pipeline'] = [
            step for step in node['pipeline'] if step['type'] != 'mmdet.Albu'
        ]


def _inner(dataset: ConfigDict) -> ConfigDict:
    return dataset.dataset if 'dataset' in dataset else dataset


def _det_data(dataset: ConfigDict, split: str) -> None:
    dataset.update(
        metainfo=dict(classes=CLASSES),
        ann_file=f'annotations/instances_{split}.json',
        data_prefix=dict(img=f'{split}/'),
    )


def _seg_data(dataset: ConfigDict, split: str) -> None:
    # ADE20K's own class admits no other classes. Its 0 is nothing, as in shapes.
    reduce_zero_label = dataset.type == 'ADE20KDataset'
    dataset.update(
        type='BaseSegDataset',
        img_suffix='.png',
        data_prefix=dict(img_path=split, seg_map_path=f'masks/{split}'),
    )
    if reduce_zero_label:
        palette = [[255, 176, 0], [0, 190, 255], [255, 64, 150]]
        dataset.update(
            reduce_zero_label=True, metainfo=dict(classes=CLASSES, palette=palette)
        )


def _cls_data(dataset: ConfigDict, split: str) -> None:
    dataset.pop('split', None)
    dataset.update(type='CustomDataset', data_prefix=f'classification/{split}')


DATA = {'det': _det_data, 'seg': _seg_data, 'yolo': _det_data, 'cls': _cls_data}


def on_shapes(name: str, shapes: Path, work_dir: Path, device: str = 'cpu') -> Config:
    """Return the ready config ``name`` for ``shapes``; see :func:`put_on_shapes`."""
    made_for_them = 'shapes' in name
    return put_on_shapes(
        load(name), task(name), shapes, work_dir, made_for_them, device
    )


def put_on_shapes(
    cfg: Config,
    task: str,
    shapes: Path,
    work_dir: Path,
    made_for_them: bool = False,
    device: str = 'cpu',
) -> Config:
    """Return a copy of ``cfg`` for ``shapes``, validating after two iterations.

    Where it counts epochs, an epoch is one iteration of two images, so that what
    happens at the start of an epoch soon happens twice. It still trains to its end.
    """
    cfg = offline(cfg)
    with_tiny_vit(cfg.model)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[key]
        split = 'train' if key == 'train_dataloader' else 'val'
        if 'times' in loader.dataset:
            loader.dataset.times = 1
        dataset = _inner(loader.dataset)
        DATA[task](dataset, split)
        dataset.update(data_root=f'{shapes}/', indices=2)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.pop('pin_memory', None)
        change(loader, _without_missing_albumentations)
        if not made_for_them:
            change(loader, _shrink)
    if not made_for_them:
        for part in ('data_preprocessor', 'test_cfg'):
            change(cfg.model.get(part), _shrink)
        change(cfg.model, _three_classes)
        if 'num_queries' in cfg.model:
            # Small images have fewer proposals than the 900 that DINO takes.
            cfg.model.num_queries = cfg.model.test_cfg.max_per_img = 30
        change(cfg.get('data_preprocessor'), _three_classes)
    if device == 'cpu':
        change(cfg.optim_wrapper, _only_what_a_cpu_has)
    change(cfg.get('custom_hooks'), _shrink)
    change(cfg.get('custom_hooks'), _unfreeze_soon)
    for key in ('val_evaluator', 'test_evaluator'):
        if 'ann_file' in cfg[key]:
            cfg[key].ann_file = f'{shapes}/annotations/instances_val.json'
        if 'topk' in cfg[key]:
            cfg[key].topk = (1, len(CLASSES))
    cfg.train_cfg.val_interval = 2
    cfg.default_hooks.checkpoint.update(interval=2, save_best=None)
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = dict(seed=0)
    cfg.work_dir = str(work_dir)
    return cfg


def lightest() -> set[str]:
    """Return the ready config of each folder with the fewest parameters, no demos."""
    found = {}
    for folder in LIBRARIES:
        text = (ROOT / 'configs' / folder / 'metafile.yml').read_text()
        counts = re.findall(r'Config: (\S+)$.*?Parameters: (\d+)$', text, re.M | re.S)
        found[folder] = min(
            (int(n), name) for name, n in counts if '_shapes' not in name
        )
    return {name for _, name in found.values()}
