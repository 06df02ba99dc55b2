"""Samples as mmdetection's data sets give them, made of nothing but numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData

from plugin.spec import NoSamples, SampleSpec, dicts, type_name

# Centre and sides of each object as shares of the image's: small and large ones, so
# that every level of a pyramid has some.
_BOXES = (
    (0.50, 0.50, 0.80, 0.70),
    (0.25, 0.30, 0.12, 0.12),
    (0.75, 0.25, 0.25, 0.20),
    (0.70, 0.75, 0.40, 0.40),
    (0.20, 0.80, 0.06, 0.08),
    (0.45, 0.15, 0.50, 0.25),
)
_BRANCHES = ('sup', 'unsup_teacher', 'unsup_student')


def samples(cfg: Config, spec: SampleSpec) -> list[dict[str, Any]]:
    """Return two samples with the fields that a model of mmdet takes, not yet collated.

    Args:
        cfg: The config.
        spec: Their size, their classes and the seed.

    Raises:
        NoSamples: The model takes something else than images with objects.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    if preprocessor is not None and 'ReID' in type_name(preprocessor):
        raise NoSamples('it learns identities, not objects')
    if 'language_model' in cfg.model:
        raise NoSamples('it takes text, through a language model that is downloaded')
    rng = np.random.default_rng(spec.seed)
    video = preprocessor is not None and 'Track' in type_name(preprocessor)
    if video and not preprocessor.get('use_det_processor'):
        # Trackers follow objects through one video at a time.
        return [_video(cfg, spec, rng, i) for i in range(2 if spec.training else 1)]
    branches = _branches(cfg, preprocessor) if spec.training else ()
    masks = _loads_masks(cfg)
    made = []
    for i in range(2):
        image = rng.integers(0, 256, (spec.channels, *spec.size), dtype=np.uint8)
        inputs, sample = torch.from_numpy(image), det_sample(cfg, spec, rng, i)
        if not masks:
            del sample.gt_instances.masks, sample.ignored_instances.masks
        if branches:
            # The branches are views of one image.
            made.append(
                dict(
                    inputs={name: inputs.clone() for name in branches},
                    data_samples={name: sample.clone() for name in branches},
                )
            )
        else:
            made.append(dict(inputs=inputs, data_samples=sample))
    return made


def det_sample(
    cfg: Config, spec: SampleSpec, rng: np.random.Generator, index: int
) -> DetDataSample:
    """Return the annotation of one image: boxes, masks and a semantic map."""
    height, width = spec.size
    sample = DetDataSample(
        metainfo=dict(
            img_id=index,
            img_path=f'{index}.jpg',
            img_shape=(height, width),
            ori_shape=(height, width),
            pad_shape=(height, width),
            scale_factor=(1.0, 1.0),
            flip=False,
            flip_direction=None,
            homography_matrix=np.eye(3, dtype=np.float32),
            # CenterNet and CornerNet crop with a border around the image.
            border=np.array([0, height, 0, width], dtype=np.float32),
            pad_param=np.zeros(4, dtype=np.float32),
            batch_input_shape=(height, width),
        )
    )
    boxes = _boxes(rng, height, width)
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.from_numpy(boxes)),
        labels=_labels(rng, spec.classes, len(boxes)),
        masks=_masks(boxes, height, width),
        instances_ids=torch.arange(len(boxes)),
    )
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)),
        labels=torch.zeros(0, dtype=torch.long),
        masks=_masks(boxes[:0], height, width),
        instances_ids=torch.zeros(0, dtype=torch.long),
    )
    sample.gt_sem_seg = PixelData(sem_seg=_semantic(cfg, spec, rng, boxes, sample))
    if not any('rpn_head' in node for node in dicts(cfg.get('model'))):
        # They would be taken instead of those that the model itself proposes.
        sample.proposals = InstanceData(
            bboxes=HorizontalBoxes(torch.from_numpy(_boxes(rng, height, width))),
            scores=torch.ones(len(_BOXES)),
        )
    return sample


def _loads_masks(cfg: Config) -> bool:
    """Return whether masks come with the boxes, also where no pipeline says so.

    RTMDet assigns by masks where it is given some.
    """
    nodes = list(dicts(cfg.get('train_dataloader')))
    panoptic = (str(node.get('type')).endswith('PanopticAnnotations') for node in nodes)
    return not nodes or any(node.get('with_mask') for node in nodes) or any(panoptic)


def _video(
    cfg: Config, spec: SampleSpec, rng: np.random.Generator, index: int
) -> dict[str, Any]:
    """Return a key frame and a reference frame with the same objects."""
    frames = [det_sample(cfg, spec, rng, index) for _ in range(2)]
    # mmdet 3.3.0: TrackDataPreprocessor leaves boxes what they are, and its
    # LoadTrackAnnotations loads plain numbers.
    for name in ('gt_instances', 'ignored_instances'):
        instances = getattr(frames[0], name)
        instances.bboxes = instances.bboxes.tensor
    for i, frame in enumerate(frames):
        frame.gt_instances = frames[0].gt_instances.clone()
        frame.ignored_instances = frames[0].ignored_instances.clone()
        frame.set_metainfo(dict(frame_id=i, is_video_data=True))
    images = rng.integers(0, 256, (2, spec.channels, *spec.size), dtype=np.uint8)
    sample = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
    sample.video_data_samples = frames
    return dict(inputs=torch.from_numpy(images), data_samples=sample)


def _branches(cfg: Config, preprocessor: Mapping | None) -> tuple[str, ...]:
    """Return the branches of semi-supervised learning; none for other models."""
    if preprocessor is None or 'MultiBranch' not in type_name(preprocessor):
        return ()
    written = (
        node['branch_field']
        for node in dicts(cfg.get('train_dataloader'))
        if node.get('branch_field')
    )
    return tuple(next(written, _BRANCHES))


def _boxes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return boxes (n, 4) as x1, y1, x2, y2 in pixels, each at least 3 pixels wide."""
    boxes = np.array(_BOXES) * rng.uniform(0.9, 1.1, (len(_BOXES), 4))
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1).clip(0, 1)
    corners *= np.array([width, height, width, height])
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 3)
    return corners.astype(np.float32)


def _labels(rng: np.random.Generator, classes: int, count: int) -> torch.Tensor:
    """Return the first class, the last, and others."""
    labels = rng.integers(0, classes, count)
    labels[:2] = 0, classes - 1
    return torch.from_numpy(labels)


def _masks(boxes: np.ndarray, height: int, width: int) -> BitmapMasks:
    """Return each box as an ellipse."""
    y, x = np.mgrid[:height, :width] + 0.5
    masks = np.zeros((len(boxes), height, width), dtype=np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        right, down = (x2 - x1) / 2, (y2 - y1) / 2
        mask[((x - x1) / right - 1) ** 2 + ((y - y1) / down - 1) ** 2 <= 1] = 1
    return BitmapMasks(masks, height, width)


def _semantic(
    cfg: Config,
    spec: SampleSpec,
    rng: np.random.Generator,
    boxes: np.ndarray,
    sample: DetDataSample,
) -> torch.Tensor:
    """Return a semantic map (1, H, W) of things and stuff, as the pipeline scales."""
    height, width = spec.size
    things, stuff = _semantic_classes(cfg, spec)
    blocks = rng.integers(things, things + stuff, (4, 4)) if stuff else None
    if blocks is None:
        semantic = np.full((height, width), 255)
    else:
        semantic = np.kron(blocks, np.ones((-(-height // 4), -(-width // 4))))
        semantic = semantic[:height, :width]
    labels = sample.gt_instances.labels.tolist()
    for mask, label in zip(sample.gt_instances.masks.masks, labels, strict=True):
        semantic[mask > 0] = label
    semantic[:2, :2] = 255
    # HTC reads a map that its pipeline has made smaller.
    scale = next(
        (
            node['scale_factor']
            for node in dicts(cfg.get('train_dataloader'))
            if 'type' in node and type_name(node) == 'SegRescale'
        ),
        1,
    )
    step = max(round(1 / scale), 1)
    return torch.from_numpy(semantic[None, ::step, ::step].astype(np.int64))


def _semantic_classes(cfg: Config, spec: SampleSpec) -> tuple[int, int]:
    """Return the numbers of classes of things and of stuff."""
    for node in dicts(cfg.model):
        if isinstance(node.get('num_stuff_classes'), int):
            return node.get('num_things_classes', spec.classes), node[
                'num_stuff_classes'
            ]
    roi_head = cfg.model.get('roi_head') or {}
    head = roi_head.get('semantic_head') or {}
    number = head.get('num_classes')
    if isinstance(number, int) and number > spec.classes:
        return spec.classes, number - spec.classes
    return spec.classes, 0
