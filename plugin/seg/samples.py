"""Samples as mmsegmentation's data sets give them, made of nothing but numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from plugin.spec import SampleSpec

IGNORED = 255


def samples(cfg: Config, spec: SampleSpec) -> list[dict[str, Any]]:
    """Return two samples with the fields that a model of mmseg takes, not yet collated.

    Args:
        cfg: The config.
        spec: Their size, their classes and the seed.
    """
    rng = np.random.default_rng(spec.seed)
    made = []
    for index in range(2):
        image = rng.integers(0, 256, (spec.channels, *spec.size), dtype=np.uint8)
        made.append(
            dict(inputs=torch.from_numpy(image), data_samples=_sample(spec, rng, index))
        )
    return made


def _sample(spec: SampleSpec, rng: np.random.Generator, index: int) -> SegDataSample:
    height, width = spec.size
    sample = SegDataSample(
        metainfo=dict(
            img_path=f'{index}.png',
            seg_map_path=f'{index}.png',
            img_shape=(height, width),
            ori_shape=(height, width),
            pad_shape=(height, width),
            scale_factor=(1.0, 1.0),
            flip=False,
            flip_direction=None,
            reduce_zero_label=False,
            category_id=0,
        )
    )
    # Blocks of an eighth of the image: several classes in every part of it.
    blocks = rng.integers(0, spec.classes, (8, 8))
    blocks[0, :2] = 0, spec.classes - 1
    semantic = np.kron(blocks, np.ones((-(-height // 8), -(-width // 8)), int))
    semantic = semantic[:height, :width]
    edges = np.zeros_like(semantic)
    edges[:, 1:] = semantic[:, 1:] != semantic[:, :-1]
    semantic[:2, :2] = IGNORED
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(semantic[None].copy()))
    sample.gt_edge_map = PixelData(data=torch.from_numpy(edges[None]))
    depth = rng.uniform(1, 5, (1, height, width)).astype(np.float32)
    sample.gt_depth_map = PixelData(data=torch.from_numpy(depth))
    return sample
