"""Annotations of a scene for COCO and for an image classifier."""

from __future__ import annotations

import cv2
import numpy as np

from plugin.demo.shapes.scene import CLASSES, SUPERSAMPLING, Instance, Scene

CROP_SIZE = 64
"""Side of a classification crop in pixels."""

_CROP_MARGIN = 0.15
_MIN_CROP_FRACTION = 0.75
_MAX_CROP_INTRUSION = 0.1


def polygons(visible: np.ndarray) -> list[list[float]]:
    """Outlines of the pieces of one visible part.

    Args:
        visible: (H * SUPERSAMPLING, W * SUPERSAMPLING) bool, without holes.

    Returns:
        One flat ``[x0, y0, x1, y1, ...]`` per piece, image pixels, where a pixel is
        the square from its index to its index + 1.
    """
    # OpenCV's contour runs through the centres of the outermost pixels. With each
    # pixel doubled, the halves tell which of its edges is the outer one.
    doubled = cv2.resize(
        visible.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST
    )
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    flat = []
    for contour in contours:
        edge = (contour + 1) // 2
        points = cv2.approxPolyDP(edge, 1.0, True) / SUPERSAMPLING
        flat.append([float(c) for c in points.ravel()])
    return flat


def box(visible: np.ndarray) -> list[float]:
    """Bounds of one visible part: left, top, width, height in image pixels."""
    rows = np.flatnonzero(visible.any(axis=1))
    cols = np.flatnonzero(visible.any(axis=0))
    bounds = cols[0], rows[0], cols[-1] + 1 - cols[0], rows[-1] + 1 - rows[0]
    return [float(bound) / SUPERSAMPLING for bound in bounds]


def coco_instance(instance: Instance) -> dict:
    """Box, outline and area of one shape's visible part, as COCO writes them."""
    return dict(
        category_id=instance.label + 1,
        bbox=box(instance.visible),
        segmentation=polygons(instance.visible),
        area=float(instance.visible.sum()) / SUPERSAMPLING**2,
        iscrowd=0,
    )


def coco_categories() -> list[dict]:
    """The categories of the data set, ids from 1 in the order of ``CLASSES``."""
    return [
        dict(id=i, name=name, supercategory='shape')
        for i, name in enumerate(CLASSES, start=1)
    ]


def crops(scene: Scene) -> list[tuple[int, np.ndarray]]:
    """Cut out the shapes that show nearly whole and nearly alone.

    Returns:
        Pairs of label and (CROP_SIZE, CROP_SIZE, 3) BGR uint8.
    """
    found = []
    for index, instance in enumerate(scene.instances):
        if instance.fraction < _MIN_CROP_FRACTION:
            continue
        x, y, w, h = box(instance.visible)
        side = round(max(w, h) * (1 + 2 * _CROP_MARGIN))
        left, top = round(x + (w - side) / 2), round(y + (h - side) / 2)
        window = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
        fine = tuple(
            slice(s.start * SUPERSAMPLING, s.stop * SUPERSAMPLING) for s in window
        )
        shares = [other.visible[fine].mean() for other in scene.instances]
        if sum(shares) - shares[index] > _MAX_CROP_INTRUSION:
            continue
        crop = scene.image[window]
        pad_top, pad_left = max(-top, 0), max(-left, 0)
        crop = cv2.copyMakeBorder(
            crop,
            pad_top,
            side - pad_top - crop.shape[0],
            pad_left,
            side - pad_left - crop.shape[1],
            cv2.BORDER_REPLICATE,
        )
        crop = cv2.resize(crop, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
        found.append((instance.label, crop))
    return found
