"""Random surfaces: what the backgrounds and the shapes are painted with.

Everything stays in uint8 and integers as far as it can, because OpenCV's uint8
resize is fixed-point arithmetic: the same bytes on every CPU.
"""

from __future__ import annotations

import cv2
import numpy as np

_MARKS = ('bar', 'cross', 'arc', 'zigzag')


def _noise(rng: np.random.Generator, h: int, w: int, cell: float) -> np.ndarray:
    """Smooth noise whose bumps are about ``cell`` pixels wide, (h, w) uint8."""
    rows, cols = max(2, round(h / cell) + 1), max(2, round(w / cell) + 1)
    grid = rng.integers(0, 256, (rows, cols), dtype=np.uint8)
    return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)


def _stripes(rng: np.random.Generator, h: int, w: int, period: float) -> np.ndarray:
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:h, :w]
    wave = (x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period) + phase
    return np.rint(127.5 + 127.5 * np.sin(wave)).astype(np.uint8)


def _checks(rng: np.random.Generator, h: int, w: int, period: float) -> np.ndarray:
    first = _stripes(rng, h, w, period) > 127
    second = _stripes(rng, h, w, period) > 127
    return cv2.blur(((first ^ second) * 255).astype(np.uint8), (3, 3))


def _ramp(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    corners = rng.integers(0, 256, (2, 2), dtype=np.uint8)
    return cv2.resize(corners, (w, h), interpolation=cv2.INTER_LINEAR)


def vivid_color(rng: np.random.Generator) -> np.ndarray:
    """A BGR colour of any hue that is never grey, (3,) uint8."""
    return _color(rng, saturation=(140, 256), value=(90, 256))


def muted_color(rng: np.random.Generator) -> np.ndarray:
    """A BGR colour of any hue that is close to grey, (3,) uint8."""
    return _color(rng, saturation=(10, 110), value=(70, 200))


def _color(
    rng: np.random.Generator, saturation: tuple[int, int], value: tuple[int, int]
) -> np.ndarray:
    hsv = [rng.integers(180), rng.integers(*saturation), rng.integers(*value)]
    return cv2.cvtColor(np.uint8([[hsv]]), cv2.COLOR_HSV2BGR)[0, 0]


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blend two colours or images; ``weight`` 255 (h, w) is all ``second``."""
    weight = weight.astype(np.int32)[..., None]
    mixed = first.astype(np.int32) * (255 - weight) + second.astype(np.int32) * weight
    return ((mixed + 127) // 255).astype(np.uint8)


def _scatter_marks(rng: np.random.Generator, image: np.ndarray, unit: float) -> None:
    """Draw strokes that share edges, corners and curves with the shapes."""
    h, w = image.shape[:2]
    for _ in range(rng.integers(0, 5)):
        kind = _MARKS[rng.integers(len(_MARKS))]
        color = vivid_color(rng) if rng.random() < 0.5 else muted_color(rng)
        color = tuple(int(c) for c in color)
        center = rng.uniform((0, 0), (w, h))
        length = unit * rng.uniform(8, 22)
        # Thin, or a cross would be a small square.
        thick = max(1, round(length * rng.uniform(0.06, 0.18)))
        angle = rng.uniform(0, 2 * np.pi)
        along = length * np.array([np.cos(angle), np.sin(angle)])
        across = 0.5 * np.array([-along[1], along[0]])
        if kind == 'arc':
            axes = (max(1, int(length)), max(1, int(length * rng.uniform(0.4, 1))))
            start, span = int(rng.integers(360)), int(rng.integers(60, 160))
            place = tuple(int(c) for c in center)
            cv2.ellipse(
                image, place, axes, 0, start, start + span, color, thick, cv2.LINE_AA
            )
            continue
        if kind == 'bar':
            strokes = [[center - along, center + along]]
        elif kind == 'cross':
            strokes = [
                [center - along / 2, center + along / 2],
                [center - across, center + across],
            ]
        else:
            steps = np.linspace(-1, 1, 6)
            bends = [(-1) ** i * across / 2 for i in range(6)]
            offsets = zip(steps, bends, strict=True)
            strokes = [[center + step * along + bend for step, bend in offsets]]
        points = [np.rint(np.array(stroke)).astype(np.int32) for stroke in strokes]
        cv2.polylines(image, points, False, color, thick, cv2.LINE_AA)


def background(rng: np.random.Generator, h: int, w: int, unit: float) -> np.ndarray:
    """Paint a textured background with stray marks on it.

    Args:
        rng: Source of every choice.
        h: Height in pixels.
        w: Width in pixels.
        unit: Length in pixels that the texture scales with.

    Returns:
        (h, w, 3) BGR uint8.
    """
    kind = rng.integers(4)
    if kind == 0:
        weight = _noise(rng, h, w, unit * rng.uniform(12, 40))
    elif kind == 1:
        weight = _stripes(rng, h, w, unit * rng.uniform(6, 24))
    elif kind == 2:
        weight = _checks(rng, h, w, unit * rng.uniform(12, 40))
    else:
        weight = _ramp(rng, h, w)
    image = _mix(muted_color(rng), muted_color(rng), weight)
    grain = _noise(rng, h, w, max(1.0, unit * rng.uniform(1.5, 6)))
    image = _mix(image, muted_color(rng), grain // int(rng.integers(3, 8)))
    _scatter_marks(rng, image, unit)
    return image


def surface(
    rng: np.random.Generator, h: int, w: int, unit: float, color: np.ndarray
) -> np.ndarray:
    """Paint one shape's own surface: shaded, sometimes striped or mottled.

    Args:
        rng: Source of every choice.
        h: Height in pixels.
        w: Width in pixels.
        unit: Length in pixels that the texture scales with.
        color: BGR, (3,) uint8, the colour that prevails.

    Returns:
        (h, w, 3) BGR uint8.
    """
    shade = np.uint8(color // 2) if rng.random() < 0.5 else np.uint8(color // 2 + 127)
    image = _mix(color, shade, _ramp(rng, h, w) // 3)
    kind = rng.integers(8)
    if kind == 0:
        stripes = _stripes(rng, h, w, unit * rng.uniform(5, 12))
        image = _mix(image, vivid_color(rng), stripes // 4)
    elif kind == 1:
        image = _mix(image, vivid_color(rng), _noise(rng, h, w, unit * 5) // 4)
    return image
