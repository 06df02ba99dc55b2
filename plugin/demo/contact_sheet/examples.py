"""Held-out images with their ground truth and what a trained model says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from pycocotools import mask as rle

from plugin.weights.files.safe_loading import allow_mmengine_checkpoints


@dataclass(frozen=True)
class Marks:
    """The marks to be drawn over one image, in its own pixels.

    Attributes:
        boxes: (n, 4) left, top, right, bottom; empty for semantic segmentation.
        labels: (n,) index into the classes.
        scores: (n,), or None for ground truth.
        masks: (n, H, W) bool, or None where there are boxes alone.
        semantic: (H, W) class of each pixel, or None for detection.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: np.ndarray | None = None
    semantic: np.ndarray | None = None

    @classmethod
    def of_segmentation(cls, semantic: np.ndarray) -> Marks:
        return cls(np.zeros((0, 4)), np.zeros(0, int), semantic=semantic)


@dataclass(frozen=True)
class Example:
    """One held-out image.

    Attributes:
        name: The image's file name.
        image: (H, W, 3) BGR uint8.
        truth: As annotated.
        prediction: As the model has it.
    """

    name: str
    image: np.ndarray
    truth: Marks
    prediction: Marks


def load_model(cfg: Config, checkpoint: str) -> torch.nn.Module:
    """Build a config's model and give it the weights of a checkpoint.

    Raises:
        ValueError: The checkpoint's weights are not those of the config's model, or
            the file is none that may be loaded.
        FileNotFoundError: There is no such checkpoint.
    """
    allow_mmengine_checkpoints()
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    # SyncBN needs a process group; a lone process has none.
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    try:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(
            f'{checkpoint} does not fit the model of {cfg.filename}: '
            f'{" ".join(lines[:2])[:300]}; name the config that it was trained with'
        ) from error
    return model.to(get_device()).eval()


def held_out_dataset(cfg: Config) -> BaseDataset:
    """Build the data set of a config's test_dataloader.

    Raises:
        ValueError: The config has none.
        FileNotFoundError: The annotations are not there.
    """
    if not cfg.get('test_dataloader'):
        raise ValueError(
            f'{cfg.filename} has no test_dataloader: a contact sheet shows the images '
            'that it names; write test_dataloader = val_dataloader'
        )
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    dataset.full_init()
    return dataset


@torch.no_grad()
def example(
    model: torch.nn.Module, dataset: BaseDataset, index: int, threshold: float
) -> Example:
    """Run the model on one image of a data set, as testing would.

    Args:
        model: Detector or segmentor with its data preprocessor.
        dataset: Data set with a test pipeline.
        index: Which image.
        threshold: Predicted instances of a lower score are left out, [0, 1].

    Raises:
        ValueError: The model is neither detector nor segmentor, or the data set gives
            no ground truth.
        OSError: The image can't be read.
    """
    path = dataset.get_data_info(index)['img_path']
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f'{path} is not there or is not an image')
    sample = model.test_step(pseudo_collate([dataset[index]]))[0].cpu()
    size = image.shape[:2]
    if 'pred_sem_seg' in sample:
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                'the test pipeline loads no ground truth: '
                "add dict(type='LoadAnnotations') before PackSegInputs"
            )
        truth = Marks.of_segmentation(_semantic(sample.gt_sem_seg.data, size))
        prediction = Marks.of_segmentation(_semantic(sample.pred_sem_seg.data, size))
    elif 'pred_instances' in sample:
        found = sample.pred_instances
        found = found[found.scores >= threshold]
        masks = found.masks.numpy().astype(bool) if 'masks' in found else None
        prediction = Marks(
            found.bboxes.numpy(), found.labels.numpy(), found.scores.numpy(), masks
        )
        instances = dataset.get_data_info(index)['instances']
        truth = _annotated(instances, size, with_masks=masks is not None)
    else:
        raise ValueError(
            f'{type(model).__name__} predicts neither boxes nor a semantic mask: '
            'contact sheets are for detectors and segmentors'
        )
    return Example(Path(path).name, image, truth, prediction)


def _semantic(data: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """(1, h, w) classes to (H, W) of the image, whatever the pipeline has resized."""
    classes = data[0].numpy().astype(np.uint8)
    return cv2.resize(classes, size[::-1], interpolation=cv2.INTER_NEAREST)


def _annotated(
    instances: list[dict], size: tuple[int, int], *, with_masks: bool
) -> Marks:
    # From the data set and not from the sample: a pipeline may have resized those.
    kept = [instance for instance in instances if not instance.get('ignore_flag')]
    masks = None
    if with_masks:
        masks = [_decode(instance['mask'], size) for instance in kept]
        masks = np.reshape(masks, (-1, *size)).astype(bool)
    boxes = np.reshape([instance['bbox'] for instance in kept], (-1, 4))
    labels = np.array([instance['bbox_label'] for instance in kept], dtype=int)
    return Marks(boxes, labels, masks=masks)


def _decode(mask: list | dict, size: tuple[int, int]) -> np.ndarray:
    if isinstance(mask, list):
        mask = rle.merge(rle.frPyObjects(mask, *size))
    return rle.decode(mask)
