"""One picture of the data set: shapes placed, painted and told apart."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from plugin.demo.shapes.texture import background, surface, vivid_color

CLASSES = ('circle', 'square', 'triangle')

SUPERSAMPLING = 4
"""Shapes are drawn this many times finer than the image, for smooth edges and
outlines that are exact to a fraction of a pixel."""

_MAX_SHAPES = 4
_TRIES = 30
_MIN_INSIDE = 0.85
_MIN_VISIBLE = 0.5
_MIN_CONTRAST = 120
# With any turn allowed, a small network trained from scratch for 12 epochs finds the
# shapes and can't tell one class from another.
_MAX_TURN = np.pi / 12
_MIN_PIECE = 4  # Square pixels: a crumb behind an occluder would stretch the box.


@dataclass(frozen=True)
class Instance:
    """One shape as it shows in the picture.

    Attributes:
        label: Index into ``CLASSES``.
        visible: (H * SUPERSAMPLING, W * SUPERSAMPLING) bool, what no later shape
            covers. The instances of a scene don't overlap.
        fraction: Visible area over the whole shape's, image border included, (0, 1].
    """

    label: int
    visible: np.ndarray
    fraction: float


@dataclass(frozen=True)
class Scene:
    """A picture and the shapes in it, the hindmost first.

    Attributes:
        image: (H, W, 3) BGR uint8.
        instances: 1 to 4 shapes.
    """

    image: np.ndarray
    instances: tuple[Instance, ...]

    def semantic_mask(self) -> np.ndarray:
        """Class of each pixel, 0 background, (H, W) uint8, by the largest share."""
        shares = [coverage(instance.visible) for instance in self.instances]
        total = np.sum(shares, axis=0, dtype=np.int32)
        ids = np.array([0] + [i.label + 1 for i in self.instances], dtype=np.uint8)
        return ids[np.argmax([np.maximum(255 - total, 0), *shares], axis=0)]


def coverage(mask: np.ndarray) -> np.ndarray:
    """Share of each image pixel that a fine mask covers, (H, W) uint8, 255 = all."""
    h, w = (side // SUPERSAMPLING for side in mask.shape)
    return cv2.resize(mask.astype(np.uint8) * 255, (w, h), interpolation=cv2.INTER_AREA)


def _outline(rng: np.random.Generator, label: int, radius: float) -> np.ndarray:
    """Corner points around (0, 0), (n, 2), same unit as ``radius``."""
    turn = rng.uniform(-_MAX_TURN, _MAX_TURN)
    if CLASSES[label] == 'circle':
        # As large as the square of the same circumradius, or size tells the class.
        radius *= 0.8
        angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    elif CLASSES[label] == 'square':
        angles = turn + np.pi / 4 + np.arange(4) * (np.pi / 2)
    else:
        jitter = rng.uniform(-0.2, 0.2, 3)
        angles = turn - np.pi / 2 + np.arange(3) * (2 * np.pi / 3) + jitter
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _fill(points: np.ndarray, h: int, w: int) -> np.ndarray:
    """Rasterise an outline, given in fine pixels, (h, w) bool."""
    mask = np.zeros((h, w), dtype=np.uint8)
    # Edge coordinates to OpenCV's, where a pixel's centre is a whole number.
    fixed = np.rint((points - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 1, shift=4)
    return mask.astype(bool)


def _polygon_area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1)))


def _has_hole(mask: np.ndarray) -> bool:
    _, hierarchy = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    return hierarchy is not None and bool((hierarchy[0, :, 3] >= 0).any())


def _cover(mask: np.ndarray, occluder: np.ndarray) -> np.ndarray:
    """Return what still shows of ``mask`` behind ``occluder``, without crumbs."""
    if not (mask & occluder).any():
        return mask
    left = (mask & ~occluder).astype(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(left)
    large = stats[:, cv2.CC_STAT_AREA] >= _MIN_PIECE * SUPERSAMPLING**2
    large[0] = False  # Component 0 is all that is not in the mask.
    return large[pieces]


def _place(
    rng: np.random.Generator, h: int, w: int
) -> tuple[list[Instance], list[np.ndarray]]:
    """Choose shapes and places so that each one can be recognised and annotated.

    A place is tried again when it would hide an earlier shape too far, or punch a
    hole into it: a COCO polygon can't have one. Returns the instances, the hindmost
    first, and beside each the fine mask of the whole shape.
    """
    h, w = h * SUPERSAMPLING, w * SUPERSAMPLING
    labels, areas, wholes, masks = [], [], [], []
    count = int(rng.integers(1, _MAX_SHAPES + 1))
    for _ in range(count):
        label = int(rng.integers(len(CLASSES)))
        for _ in range(_TRIES):
            radius = min(h, w) * np.exp(rng.uniform(np.log(0.16), np.log(0.34)))
            center = rng.uniform((0, 0), (w, h))
            if masks and rng.random() < 0.25:
                y, x = np.argwhere(masks[-1])[rng.integers(int(masks[-1].sum()))]
                center = np.array([x, y]) + rng.uniform(-radius, radius, 2)
            points = _outline(rng, label, radius) + center
            area = _polygon_area(points)
            mask = _fill(points, h, w)
            if mask.sum() < _MIN_INSIDE * area:
                continue
            behind = [_cover(earlier, mask) for earlier in masks]
            if any(
                left.sum() < _MIN_VISIBLE * whole or _has_hole(left)
                for left, whole in zip(behind, areas, strict=True)
            ):
                continue
            labels.append(label)
            areas.append(area)
            wholes.append(mask)
            masks = [*behind, mask]
            break
    instances = [
        Instance(label, mask, min(1.0, float(mask.sum() / area)))
        for label, mask, area in zip(labels, masks, areas, strict=True)
    ]
    return instances, wholes


def _contrasting_color(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """A colour that stands out from the mean of ``behind``, (n, 3) BGR."""
    mean = behind.mean(axis=0)
    for _ in range(_TRIES):
        color = vivid_color(rng)
        if np.abs(color - mean).sum() >= _MIN_CONTRAST:
            break
    return color


def _blend(image: np.ndarray, layer: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    alpha = alpha.astype(np.int32)[..., None]
    mixed = image.astype(np.int32) * (255 - alpha) + layer.astype(np.int32) * alpha
    return ((mixed + 127) // 255).astype(np.uint8)


def draw_scene(rng: np.random.Generator, h: int, w: int) -> Scene:
    """Draw 1 to 4 shapes over a textured background.

    Class, colour, size, turn and place are chosen independently.

    Args:
        rng: Source of every choice; the same state gives the same scene.
        h: Height in pixels, at least 32.
        w: Width in pixels, at least 32.

    Returns:
        The picture and its instances.
    """
    unit = min(h, w) / 128
    instances, wholes = _place(rng, h, w)
    image = background(rng, h, w, unit)
    for whole in wholes:
        alpha = coverage(whole)
        color = _contrasting_color(rng, image[alpha > 0])
        if rng.random() < 0.4:
            shift = np.rint(rng.uniform(1, 4, 2) * unit).astype(int)
            shadow = np.roll(alpha, shift, axis=(0, 1)) // 2
            shadow[: shift[0]], shadow[:, : shift[1]] = 0, 0
            shadow = cv2.GaussianBlur(shadow, (0, 0), 2 * unit)
            image = _blend(image, np.zeros_like(image), shadow)
        image = _blend(image, surface(rng, h, w, unit, color), alpha)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), unit * rng.uniform(0.4, 1.0))
    sigma = rng.uniform(0, 5)
    grain = np.rint(rng.normal(0, sigma, image.shape)).astype(np.int16)
    image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return Scene(image, tuple(instances))
