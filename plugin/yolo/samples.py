"""Samples as mmyolo's data sets give them, made of nothing but numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import PixelData

from plugin.libraries import wiring
from plugin.spec import SampleSpec, dicts, type_name


def samples(cfg: Config, spec: SampleSpec) -> list[dict[str, Any]]:
    """Return two samples as mmdet's, with masks as mmyolo's fast collate wants them.

    Args:
        cfg: The config.
        spec: Their size, their classes and the seed.
    """
    # mmyolo is built on mmdet, so that is there.
    made = wiring('mmdet').samples(cfg, spec)
    for one in made:
        _replace_masks(one['data_samples'], cfg)
    return made


def _replace_masks(sample: DetDataSample, cfg: Config) -> None:
    """Replace masks by smaller tensors, by one map of all objects, or by none.

    ``yolov5_collate`` puts masks one behind the other, which only tensors allow.
    """
    instances = sample.gt_instances
    if 'masks' not in instances:
        return
    masks = np.array(instances.masks.masks)
    del instances.masks
    step = next(
        (
            node
            for node in dicts(cfg.get('train_dataloader'))
            if 'type' in node and type_name(node) == 'Polygon2Mask'
        ),
        None,
    )
    if step is None:
        return
    ratio = step.get('downsample_ratio', 4)
    masks = masks[:, ::ratio, ::ratio]
    if step.get('mask_overlap', True):
        overlaid = np.zeros(masks.shape[1:], np.uint8)
        for number, mask in enumerate(masks, start=1):
            overlaid[mask > 0] = number
        sample.gt_panoptic_seg = PixelData(pan_seg=torch.from_numpy(overlaid[None]))
    else:
        instances.masks = torch.from_numpy(masks.copy())
