"""The shapes data set on disk: written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from plugin.demo.shapes.annotation import coco_categories, coco_instance, crops
from plugin.demo.shapes.atomic import sweep, whole_folder
from plugin.demo.shapes.scene import CLASSES, draw_scene

MANIFEST = 'shapes.json'

_FORMAT = 2
"""Raised whenever the same parameters would give other bytes than before."""

_SPLITS = ('train', 'val')
_MIN_SIDE, _MAX_SIDE = 32, 4096


@dataclass(frozen=True)
class _Parameters:
    format: int
    train: int
    val: int
    height: int
    width: int
    seed: int

    def __post_init__(self) -> None:
        for name in _SPLITS:
            if getattr(self, name) < 1:
                raise ValueError(
                    f'{name}={getattr(self, name)} images: give at least 1, '
                    'for a split without images can be neither trained nor tested on'
                )
        if not all(_MIN_SIDE <= s <= _MAX_SIDE for s in (self.height, self.width)):
            raise ValueError(
                f'size {self.height}x{self.width} (height x width) is out of range: '
                f'each side must be {_MIN_SIDE} to {_MAX_SIDE} pixels, as in 128x160'
            )
        if self.seed < 0:
            raise ValueError(f'seed={self.seed} is negative: give 0 or more')


def generate(
    out_dir: str | os.PathLike,
    train: int = 512,
    val: int = 64,
    size: tuple[int, int] = (128, 160),
    seed: int = 0,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Generate the shapes data set, unless it is there already.

    The same arguments give the same bytes, and image i of a split is the same
    whatever the number of images. The folder appears under its name only when it is
    complete. It holds::

        train/000001.png ...                 images
        val/000001.png ...
        annotations/instances_train.json     COCO: boxes, polygons of what shows
        annotations/instances_val.json
        masks/train/000001.png ...           0 background, 1 circle, 2 square, ...
        masks/val/000001.png ...
        classification/train/circle/...      64 x 64 crops, one shape in each
        classification/val/circle/...
        shapes.json                          the parameters

    Args:
        out_dir: The folder to write. Its parents are made.
        train: Number of training images, at least 1.
        val: Number of held-out images, at least 1.
        size: Height and width of the images in pixels, each 32 to 4096.
        seed: 0 or more.
        force: Replace a shapes data set of other parameters. No other folder is
            ever replaced.
        progress: Called with (images done, images in all) after each image.

    Returns:
        True if it was generated, False if it was there with the same parameters.

    Raises:
        ValueError: An argument is out of range.
        FileExistsError: ``out_dir`` holds something else.
        OSError: The folder can't be written.
    """
    height, width = size
    parameters = _Parameters(_FORMAT, train, val, height, width, seed)
    # A link to a folder on another disk stays a link: the folder itself is made.
    out_dir = Path(out_dir).expanduser().resolve()
    sweep(out_dir)
    if _already_there(out_dir, parameters, force):
        return False
    with whole_folder(out_dir) as partial:
        _write(partial, parameters, progress or (lambda done, total: None))
    return True


def _already_there(out_dir: Path, parameters: _Parameters, force: bool) -> bool:
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return False
    try:
        found = json.loads((out_dir / MANIFEST).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise FileExistsError(
            f'{out_dir} exists and is not a shapes data set (it has no readable '
            f'{MANIFEST}): choose another folder'
        )
    if force:
        return False
    remedy = 'choose another folder, or replace this one with --force (force=True)'
    wanted = asdict(parameters)
    differences = [
        f'{key} {found.get(key)}, not {value}'
        for key, value in wanted.items()
        if found.get(key) != value
    ]
    if differences:
        raise FileExistsError(
            f'{out_dir} already holds a shapes data set with '
            f'{"; ".join(differences)}: {remedy}'
        )
    for split in _SPLITS:
        have = len(list((out_dir / split).glob('*.png')))
        if have != wanted[split]:
            raise FileExistsError(
                f'{out_dir / split} has {have} of {wanted[split]} images, some were '
                f'added or removed after it was generated: {remedy}'
            )
    return True


def _write(root: Path, parameters: _Parameters, progress: Callable) -> None:
    total = parameters.train + parameters.val
    done = 0
    (root / 'annotations').mkdir()
    for number, split in enumerate(_SPLITS):
        folders = [root / split, root / 'masks' / split]
        classified = root / 'classification' / split
        for folder in [*folders, *(classified / name for name in CLASSES)]:
            folder.mkdir(parents=True)
        images, annotations = [], []
        for image_id in range(1, getattr(parameters, split) + 1):
            rng = np.random.default_rng([parameters.seed, number, image_id])
            scene = draw_scene(rng, parameters.height, parameters.width)
            name = f'{image_id:06d}.png'
            _write_png(root / split / name, scene.image)
            _write_png(root / 'masks' / split / name, scene.semantic_mask())
            for index, (label, crop) in enumerate(crops(scene), start=1):
                stem = f'{image_id:06d}_{index}.png'
                _write_png(classified / CLASSES[label] / stem, crop)
            images.append(
                dict(
                    id=image_id,
                    file_name=name,
                    width=parameters.width,
                    height=parameters.height,
                )
            )
            for instance in scene.instances:
                # Ids from 1: COCOeval takes a ground truth of id 0 for unmatched.
                ids = dict(id=len(annotations) + 1, image_id=image_id)
                annotations.append(ids | coco_instance(instance))
            done += 1
            progress(done, total)
        coco = dict(
            info=dict(description=f'Generated shapes, {split}, {asdict(parameters)}'),
            images=images,
            annotations=annotations,
            categories=coco_categories(),
        )
        _write_json(root / 'annotations' / f'instances_{split}.json', coco)
    _write_json(root / MANIFEST, asdict(parameters))


def _write_png(path: Path, image: np.ndarray) -> None:
    # cv2.imwrite answers a full disk with False and half a file; write_bytes raises.
    encoded, data = cv2.imencode('.png', image)
    assert encoded
    path.write_bytes(data.tobytes())


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content) + '\n')
