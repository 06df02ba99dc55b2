"""Samples as mmpretrain's data sets give them, made of nothing but numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from plugin.spec import NoSamples, SampleSpec, type_name


def samples(cfg: Config, spec: SampleSpec) -> list[dict[str, Any]]:
    """Return two images with a class each, not yet collated.

    Args:
        cfg: The config.
        spec: Their size, their classes and the seed.

    Raises:
        NoSamples: It is no classifier.
    """
    name = type_name(cfg.model)
    if not name.endswith('Classifier'):
        raise NoSamples(f'{name} takes more than an image and its class')
    rng = np.random.default_rng(spec.seed)
    made = []
    for index in range(2):
        image = rng.integers(0, 256, (spec.channels, *spec.size), dtype=np.uint8)
        sample = DataSample(
            metainfo=dict(
                img_path=f'{index}.png',
                img_shape=spec.size,
                ori_shape=spec.size,
                num_classes=spec.classes,
            )
        )
        sample.set_gt_label(0 if index else spec.classes - 1)
        made.append(dict(inputs=torch.from_numpy(image), data_samples=sample))
    return made
