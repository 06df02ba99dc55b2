"""One contact sheet of several trained models: the same images, a column each."""

from __future__ import annotations

from collections.abc import Mapping
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
from plugin.demo.contact_sheet.panel import class_colors, draw_panel, font
from plugin.weights.files.whole_file import whole_file

_PAPER, _INK, _FAINT = (255, 255, 255), (25, 28, 34), (110, 116, 126)
_MARGIN, _GAP, _HEADING, _HEADER, _CAPTION = 20, 6, 44, 24, 20
_WIDTH = 280


def comparison_sheet(
    folders: Mapping[str, Path], title: str, out: Path, num: int, threshold: float
) -> None:
    """Draw held-out images: the ground truth, then what each model predicts.

    Args:
        folders: Of the trainings, by the headings of their columns; each has its
            ``config.py`` and its checkpoint. All have the same held-out data set.
        title: Over the picture.
        out: The PNG to write, or to replace.
        num: Images, spread evenly over the data set.
        threshold: Lowest score of a predicted instance that is drawn, [0, 1].
    """
    columns: dict[str, list[Example]] = {}
    for name, folder in folders.items():
        cfg = load_config(str(folder / 'config.py'))
        dataset = held_out_dataset(cfg)
        model = load_model(cfg, str(checkpoint_in(folder)))
        chosen = np.linspace(0, len(dataset) - 1, min(num, len(dataset)))
        indices = sorted({int(i) for i in np.rint(chosen)})
        columns[name] = [example(model, dataset, i, threshold) for i in indices]
    classes = tuple(dataset.metainfo['classes'])
    colors = class_colors(dataset.metainfo)
    truth = next(iter(columns.values()))
    panels = [[_panel(shown, shown.truth, classes, colors) for shown in truth]]
    for examples in columns.values():
        panels.append([_panel(e, e.prediction, classes, colors) for e in examples])
    heights = [panel.shape[0] + _CAPTION for panel in panels[0]]
    sheet = Image.new(
        'RGB',
        (
            2 * _MARGIN + len(panels) * (_WIDTH + _GAP) - _GAP,
            _MARGIN + _HEADING + _HEADER + sum(heights),
        ),
        _PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 12), title, _INK, font(18, bold=True))
    for i, heading in enumerate(('ground truth', *columns)):
        x = _MARGIN + i * (_WIDTH + _GAP)
        pen.text((x, _HEADING + 4), heading, _INK, font(13, bold=True))
        y = _HEADING + _HEADER
        for shown, panel, height in zip(truth, panels[i], heights, strict=True):
            sheet.paste(Image.fromarray(panel), (x, y))
            if not i:
                pen.text((x, y + panel.shape[0] + 3), shown.name, _FAINT, font(11))
            y += height
    with whole_file(out, replace=True) as partial:
        sheet.save(partial, format='PNG', optimize=True)


def _panel(
    shown: Example, marks: object, classes: tuple[str, ...], colors: list
) -> np.ndarray:
    image = cv2.cvtColor(shown.image, cv2.COLOR_BGR2RGB)
    return draw_panel(image, marks, classes, colors, _WIDTH)


def checkpoint_in(folder: Path) -> Path:
    """The last checkpoint of a training, wherever its folder has been moved to."""
    return folder / Path((folder / 'last_checkpoint').read_text().strip()).name
