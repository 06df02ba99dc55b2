"""Drawing marks over one image: masks, boxes and labels that can be read.

Not by DetLocalVisualizer and SegLocalVisualizer, which were tried on the same pictures:
on images this small their labels lie over the objects and over each other, the masks of
a class have a random shade each, and the background of a semantic mask is darkened.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from plugin.demo.contact_sheet.examples import Marks
from plugin.demo.shapes import PALETTE

Color = tuple[int, int, int]

_MORE_COLORS = (
    (96, 220, 90),
    (170, 130, 255),
    (255, 240, 80),
    (255, 110, 60),
    (60, 230, 200),
    (230, 170, 210),
    (150, 180, 60),
    (110, 150, 255),
)
_FILL = 0.45
_LABEL_SIZE = 13
_PAD = 3


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and so with mmengine."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', name)), size
    )


def class_colors(metainfo: dict) -> list[Color]:
    """RGB of each class: the data set's own palette, if it is one for its classes."""
    classes, palette = metainfo['classes'], metainfo.get('palette') or ()
    if len(palette) == len(classes):
        return [tuple(int(c) for c in color) for color in palette]
    ours = (*PALETTE, *_MORE_COLORS)
    first = int(classes[0] == 'background')
    return [ours[(i - first) % len(ours)] for i in range(len(classes))]


def ink_on(color: Color) -> Color:
    """Black or white, whichever can be read on ``color``."""
    red, green, blue = color
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 130
    return (0, 0, 0) if bright else (255, 255, 255)


def draw_panel(
    image: np.ndarray,
    marks: Marks,
    classes: tuple[str, ...],
    colors: list[Color],
    width: int,
) -> np.ndarray:
    """Draw one image with its marks.

    Args:
        image: (H, W, 3) RGB uint8.
        marks: In pixels of ``image``.
        classes: Names to write on the labels.
        colors: RGB of each class.
        width: Width of the panel in pixels; the height follows.

    Returns:
        (H * width / W, width, 3) RGB uint8.
    """
    scale = width / image.shape[1]
    height = round(image.shape[0] * scale)
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    panel = cv2.resize(image, (width, height), interpolation=way)
    if marks.semantic is not None:
        for label in np.unique(marks.semantic):
            # 255 marks pixels that no class claims.
            if label < len(classes) and classes[label] != 'background':
                _fill(panel, marks.semantic == label, colors[label])
        return panel
    if marks.masks is not None:
        for mask, label in zip(marks.masks, marks.labels, strict=True):
            _fill(panel, mask, colors[label])
    boxes = np.rint(marks.boxes * scale).astype(int)
    # Weak predictions first, so that the strong ones lie over them.
    order = range(len(boxes))
    if marks.scores is not None:
        order = np.argsort(marks.scores, kind='stable')
    for i in order:
        _outline(panel, boxes[i], colors[marks.labels[i]])
    texts = []
    for i, label in enumerate(marks.labels):
        score = '' if marks.scores is None else f' {marks.scores[i]:.2f}'
        texts.append(classes[label] + score)
    return _write_labels(panel, boxes, texts, [colors[n] for n in marks.labels])


def _fill(panel: np.ndarray, mask: np.ndarray, color: Color) -> None:
    fine = cv2.resize(
        mask.astype(np.float32), panel.shape[1::-1], interpolation=cv2.INTER_LINEAR
    )
    inside = fine >= 0.5
    panel[inside] = np.rint(panel[inside] * (1 - _FILL) + np.array(color) * _FILL)
    contours, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(panel, contours, -1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.drawContours(panel, contours, -1, color, 1, cv2.LINE_AA)


def _outline(panel: np.ndarray, box: np.ndarray, color: Color) -> None:
    """A rectangle with a dark rim, which shows on any texture."""
    height, width = panel.shape[:2]
    left, top = max(box[0], 1), max(box[1], 1)
    right, bottom = min(box[2], width - 2), min(box[3], height - 2)
    cv2.rectangle(panel, (left, top), (right, bottom), (0, 0, 0), 4)
    cv2.rectangle(panel, (left, top), (right, bottom), color, 2)


def _write_labels(
    panel: np.ndarray, boxes: np.ndarray, texts: list[str], colors: list[Color]
) -> np.ndarray:
    canvas = Image.fromarray(panel)
    pen = ImageDraw.Draw(canvas)
    taken: list[tuple[int, int, int, int]] = []
    for box, text, color in zip(boxes, texts, colors, strict=True):
        size = (
            round(pen.textlength(text, font(_LABEL_SIZE))) + 2 * _PAD,
            _LABEL_SIZE + _PAD + 1,
        )
        spot = _label_spot(box, size, canvas.size, taken)
        taken.append(spot)
        pen.rectangle(spot, fill=color, outline=(0, 0, 0))
        middle = (spot[0] + _PAD, (spot[1] + spot[3]) / 2)
        pen.text(middle, text, ink_on(color), font(_LABEL_SIZE), anchor='lm')
    return np.array(canvas)


def _label_spot(
    box: np.ndarray,
    size: tuple[int, int],
    canvas: tuple[int, int],
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Above the box, or else where the label hides the least of other labels."""
    left, top, right, bottom = (int(side) for side in box)
    wide, high = size
    best, least = None, None
    for y in (top - high, bottom, top, bottom - high):
        for x in (left - 1, right - wide + 1):
            x0 = min(max(x, 0), canvas[0] - wide - 1)
            y0 = min(max(y, 0), canvas[1] - high - 1)
            spot = (x0, y0, x0 + wide, y0 + high)
            moved = abs(x0 - x) + abs(y0 - y)
            cost = sum(_overlap(spot, other) for other in taken) + moved
            if least is None or cost < least:
                best, least = spot, cost
    return best


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    wide = min(one[2], other[2]) - max(one[0], other[0]) + 1
    high = min(one[3], other[3]) - max(one[1], other[1]) + 1
    return max(wide, 0) * max(high, 0)
