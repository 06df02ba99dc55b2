"""One picture that shows what a trained model has learnt: ground truth | prediction."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from plugin.config.names import load_config
from plugin.demo.contact_sheet.examples import (
    Example,
    example,
    held_out_dataset,
    load_model,
)
from plugin.demo.contact_sheet.panel import Color, class_colors, draw_panel, font

__all__ = ['contact_sheet']

_PAIRS_IN_A_ROW = 2
_PAPER, _INK, _FAINT = (255, 255, 255), (25, 28, 34), (110, 116, 126)
_MARGIN, _GAP, _PAIR_GAP = 24, 4, 24
_HEADING, _HEADER, _CAPTION = 92, 24, 22


def contact_sheet(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    num: int = 12,
    threshold: float = 0.3,
) -> int:
    """Draw held-out images with ground truth beside predictions into one PNG.

    The model is run by its own library on the images of the config's test_dataloader,
    through its test pipeline. The file appears only when it is complete.

    Args:
        config: An mmdet, mmyolo or mmseg config: its path, or its name in an installed
            package (``mmdet::...``).
        checkpoint: Path of weights trained with it.
        out: The PNG to write. Its folder is made.
        num: Images to show, at least 1; they are spread evenly over the data set.
        threshold: Lowest score of a predicted instance that is drawn, [0, 1].

    Returns:
        The number of images shown: fewer than ``num`` if the data set has fewer.

    Raises:
        ValueError: An argument is out of range, or config and checkpoint don't fit.
        OSError: A file can't be read or written.
    """
    if num < 1:
        raise ValueError(f'num={num}: show at least 1 image')
    if not 0 <= threshold <= 1:
        raise ValueError(f'threshold={threshold} is no score: give 0 to 1')
    if Path(out).suffix.lower() != '.png':
        raise ValueError(f'{out} is not a PNG file: end its name in .png')
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(2, 'No such file', str(checkpoint))
    cfg = load_config(str(config))
    dataset = held_out_dataset(cfg)
    model = load_model(cfg, str(checkpoint))
    # Rounding may name one image twice where there are few.
    spread = np.linspace(0, len(dataset) - 1, min(num, len(dataset)))
    indices = sorted({int(i) for i in np.rint(spread)})
    examples = [example(model, dataset, i, threshold) for i in indices]
    title = Path(cfg.filename).stem
    subtitle = f'{Path(checkpoint).name}, {len(examples)} of {len(dataset)} images'
    if examples[0].prediction.scores is not None:
        subtitle += f', scores from {threshold:g}'
    classes = tuple(dataset.metainfo['classes'])
    sheet = _layout(examples, classes, class_colors(dataset.metainfo), title, subtitle)
    _save(sheet, Path(out))
    return len(examples)


def _layout(
    examples: list[Example],
    classes: tuple[str, ...],
    colors: list[Color],
    title: str,
    subtitle: str,
) -> Image.Image:
    width = _panel_width(examples[0].image)
    pairs = []
    for shown in examples:
        image = cv2.cvtColor(shown.image, cv2.COLOR_BGR2RGB)
        pairs.append(
            [
                draw_panel(image, marks, classes, colors, width)
                for marks in (shown.truth, shown.prediction)
            ]
        )
    columns = min(_PAIRS_IN_A_ROW, len(pairs))
    step = 2 * width + _GAP + _PAIR_GAP
    rows = [
        range(i, min(i + columns, len(pairs))) for i in range(0, len(pairs), columns)
    ]
    heights = [max(pairs[i][0].shape[0] for i in row) + _CAPTION for row in rows]
    sheet = Image.new(
        'RGB',
        (
            2 * _MARGIN + columns * step - _PAIR_GAP,
            _HEADING + _HEADER + sum(heights) + _MARGIN,
        ),
        _PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 16), title, _INK, font(20, bold=True))
    pen.text((_MARGIN, 44), subtitle, _FAINT, font(14))
    _draw_legend(pen, 68, _occurring(examples, classes), classes, colors)
    for column in range(columns):
        for side, heading in enumerate(('ground truth', 'prediction')):
            x = _MARGIN + column * step + side * (width + _GAP)
            pen.text((x, _HEADING + 4), heading, _INK, font(14, bold=True))
    y = _HEADING + _HEADER
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = _MARGIN + column * step
            for side, panel in enumerate(pairs[i]):
                place = (x + side * (width + _GAP), y)
                sheet.paste(Image.fromarray(panel), place)
            below = y + pairs[i][0].shape[0] + 3
            pen.text((x, below), examples[i].name, _FAINT, font(11))
        y += height
    return sheet


def _panel_width(image: np.ndarray) -> int:
    """Small images are enlarged by a whole factor, large ones made to fit."""
    width = image.shape[1]
    return 480 if width > 480 else width * max(1, round(360 / width))


def _occurring(examples: list[Example], classes: tuple[str, ...]) -> list[int]:
    seen: set[int] = set()
    for shown in examples:
        for marks in (shown.truth, shown.prediction):
            labels = marks.labels if marks.semantic is None else marks.semantic
            seen.update(int(label) for label in np.unique(labels))
    return [i for i in sorted(seen) if i < len(classes) and classes[i] != 'background']


def _draw_legend(
    pen: ImageDraw.ImageDraw,
    y: int,
    shown: list[int],
    classes: tuple[str, ...],
    colors: list[Color],
) -> None:
    x = _MARGIN
    for label in shown:
        name = classes[label]
        length = round(pen.textlength(name, font(14)))
        if x + 18 + length > pen.im.size[0] - 2 * _MARGIN:
            pen.text((x, y - 2), '...', _INK, font(14))
            return
        pen.rectangle((x, y, x + 13, y + 13), fill=colors[label], outline=(0, 0, 0))
        pen.text((x + 19, y - 2), name, _INK, font(14))
        x += 19 + length + 20


def _save(sheet: Image.Image, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f'.{out.name}.{os.getpid()}.partial')
    try:
        sheet.save(partial, format='PNG', optimize=True)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
