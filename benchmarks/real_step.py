"""Find whether a config trains: mmengine's and the libraries' own code, none of ours.

The judge of ``agreement.py``. Nothing is imported from the plugin but the config and
what it names. Batches come from mmdet's own ``demo_mm_inputs``, and for segmentation
are drawn here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

# Height and width of the images. What fails is tried again on larger ones: DINO wants
# more proposals than a small image has.
SIZES = (128, 256, 512)
# As torch says that a layer is given other channels than it takes, at any size.
_OF_ANY_SIZE = re.compile(r'to have \d+ channels, but got \d+ channels')


@dataclass(frozen=True)
class Verdict:
    """The findings of a training step.

    Attributes:
        trains: Whether it ran to its end, and used all that it was given.
        reason: What was wrong otherwise.
        known: Whether it could be tried: not where a package is missing.
    """

    trains: bool
    reason: str = ''
    known: bool = True


def verdict(path: str, classes: int) -> Verdict:
    """Train the config at ``path`` for one step.

    Args:
        path: A config file.
        classes: How many classes its data set has.
    """
    cfg = Config.fromfile(path)
    import_module(f'{cfg.default_scope}.models')
    for name, number in _class_counts(cfg.model, 'model'):
        if number != classes:
            return Verdict(False, f'{name}={number} of {classes} classes')
    hub = MessageHub.get_current_instance()
    for name, value in dict(epoch=0, iter=0, max_epochs=12, max_iters=1000).items():
        hub.update_info(name, value)
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        entry = copy.deepcopy(cfg.model)
        if 'data_preprocessor' in cfg:
            entry.setdefault('data_preprocessor', cfg.data_preprocessor)
        _strip(entry)
        try:
            model = revert_sync_batchnorm(MODELS.build(entry))
            model.init_weights()
        except Exception as error:
            return Verdict(False, _in_short(error))
        for size in SIZES:
            try:
                reason = _step(model, cfg, classes, size)
            except ImportError as error:
                return Verdict(False, _in_short(error), known=False)
            except Exception as error:
                reason = _in_short(error)
            if not reason or _OF_ANY_SIZE.search(reason):
                break
    return Verdict(not reason, reason)


def _in_short(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'


def _step(model: nn.Module, cfg: Config, classes: int, size: int) -> str:
    """Return what is wrong with a step on ``size`` pixels; empty if nothing is."""
    preprocessor = copy.deepcopy(
        cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    )
    _set_sizes(preprocessor, size)
    model.data_preprocessor = MODELS.build(preprocessor)
    batch = _batch(cfg, classes, size)
    with _maps_of_necks(model) as maps:
        wrapper = OptimWrapper(
            torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-6)
        )
        model.train()
        model.train_step(batch, wrapper)
    for name, given in maps.items():
        for level, one in enumerate(given):
            if one.grad is None and one.requires_grad:
                return f'map {level} of {name} is not used'
    return _wrong_strides(model, maps, size)


def _strip(node: Any) -> None:
    """Take out what would download weights."""
    if isinstance(node, dict):
        init = node.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            node['init_cfg'] = None
        if isinstance(node.get('pretrained'), str):
            node['pretrained'] = None
        for child in node.values():
            _strip(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            _strip(child)


def _set_sizes(node: Any, size: int) -> None:
    if isinstance(node, dict):
        for name in ('size', 'random_size_range'):
            if node.get(name) is not None:
                node[name] = (size, size)
        for child in node.values():
            _set_sizes(child, size)
    elif isinstance(node, (list, tuple)):
        for child in node:
            _set_sizes(child, size)


def _batch(cfg: Config, classes: int, size: int) -> Mapping[str, Any]:
    if cfg.default_scope == 'mmseg':
        return _segmentation(classes, size)
    from mmdet.testing import demo_mm_inputs

    text = str(cfg.model)
    panoptic = 'semantic_head' in text or 'num_stuff_classes' in text
    data = demo_mm_inputs(
        2,
        (3, size, size),
        num_items=[8, 8],
        num_classes=classes,
        sem_seg_output_strides=8 if 'FusedSemanticHead' in text else 1,
        with_mask=cfg.default_scope == 'mmdet' and _loads_masks(cfg),
        with_semantic=panoptic,
        use_box_type=True,
    )
    for sample in data['data_samples']:
        sample.gt_instances.labels[0] = classes - 1
        sample.set_metainfo(
            dict(pad_param=None, homography_matrix=np.eye(3, dtype=np.float32))
        )
    if cfg.model.type == 'SoftTeacher':
        names = ('sup', 'unsup_teacher', 'unsup_student')
        return {
            key: {name: copy.deepcopy(value) for name in names}
            for key, value in data.items()
        }
    collate = (cfg.train_dataloader.get('collate_fn') or {}).get('type')
    if collate == 'yolov5_collate':
        from mmyolo.datasets.utils import yolov5_collate

        pairs = zip(data['inputs'], data['data_samples'], strict=True)
        several = 'use_ms_training' in cfg.train_dataloader.collate_fn
        return yolov5_collate(
            [dict(inputs=i, data_samples=s) for i, s in pairs], several
        )
    return data


def _loads_masks(cfg: Config) -> bool:
    text = str(cfg.train_dataloader)
    return "'with_mask': True" in text or 'LoadPanopticAnnotations' in text


def _segmentation(classes: int, size: int) -> Mapping[str, Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    made = []
    for _ in range(2):
        sample = SegDataSample(
            metainfo=dict(
                img_shape=(size, size), ori_shape=(size, size), pad_shape=(size, size)
            )
        )
        rough = torch.randint(0, classes, (1, 1, size // 32, size // 32))
        rough[0, 0, 0, 0] = classes - 1
        labels = nn.functional.interpolate(rough.float(), (size, size)).long()[0]
        sample.gt_sem_seg = PixelData(data=labels)
        image = torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
        made.append(dict(inputs=image, data_samples=sample))
    return pseudo_collate(made)


@contextmanager
def _maps_of_necks(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Return what each neck of the model gives in the step within, with gradients."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, outputs: Any) -> None:
            if name in found or not torch.is_grad_enabled():
                return
            given = outputs if isinstance(outputs, (tuple, list)) else [outputs]
            found[name] = [o for o in given if isinstance(o, Tensor)]
            for one in found[name]:
                if one.requires_grad:
                    one.retain_grad()

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if name.rpartition('.')[2] == 'neck'
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _wrong_strides(
    model: nn.Module, maps: Mapping[str, list[Tensor]], size: int
) -> str:
    """Priors that a head lays on its maps in other strides than the maps have."""
    for name, given in maps.items():
        holder = model.get_submodule(name.rpartition('.')[0])
        for head in ('rpn_head', 'bbox_head'):
            generator = getattr(getattr(holder, head, None), 'prior_generator', None)
            strides = getattr(generator, 'strides', None)
            if not strides or len(strides) != len(given):
                continue
            for stride, map_ in zip(strides, given, strict=True):
                if map_.shape[-1] == 1:
                    break  # It tells no stride.
                written = stride[0] if isinstance(stride, (tuple, list)) else stride
                real = size / map_.shape[-1]
                if not 0.7 < written / real < 1.4:
                    return f'{head}: strides {strides}, map of stride {real:g}'
    return ''


def _class_counts(node: Any, key: str) -> Iterator[tuple[str, int]]:
    """Numbers of classes of heads; not those of an RPN, or of semantic maps."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            if name == 'num_classes' and isinstance(child, int):
                yield f'{key}.{name}', child
            elif name not in ('rpn_head', 'semantic_head', 'backbone', 'neck'):
                yield from _class_counts(child, f'{key}.{name}')
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _class_counts(child, f'{key}[{index}]')
