"""Several trainings beside each other: one table, one picture of how each learns.

A comparison is one file, ``tools/demos/NAME.py``, with a :class:`Comparison` called
``COMPARISON``; ``make demo TASK=NAME`` runs it.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from plugin.config.names import load_config
from plugin.demo.comparison.curves import draw_curves
from plugin.demo.comparison.record import Record
from plugin.demo.comparison.sheet import comparison_sheet
from plugin.demo.comparison.table import Row, table

__all__ = ['Comparison', 'Training', 'compare']


@dataclass(frozen=True)
class Training:
    """One row of a comparison.

    Attributes:
        name: What to call it in the table; its folder has that name with dashes.
        config: Path of the config.
        options: Overrides of the config, by dotted keys, as ``--cfg-options`` has them.
    """

    name: str
    config: str
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name as a folder is called."""
        return '-'.join(self.name.replace(',', ' ').replace('/', ' ').split())


@dataclass(frozen=True)
class Comparison:
    """Trainings on the same data.

    Attributes:
        title: What is compared, over the pictures.
        trainings: The rows, at least one, each of a name of its own.
        metric: Key in a library's results.
        metric_name: What to print it as.
        shapes: Arguments of ``python -m plugin shapes``; the folder comes first.
        seed: Of the first run; the next one has the next.
        images: Held-out images on the contact sheet.
        score: Lowest score of a predicted instance on it, [0, 1].
    """

    title: str
    trainings: tuple[Training, ...]
    metric: str = 'coco/bbox_mAP'
    metric_name: str = 'bbox mAP'
    shapes: tuple[str, ...] = ('data/shapes',)
    seed: int = 0
    images: int = 6
    score: float = 0.4

    def __post_init__(self) -> None:
        folders = [training.folder for training in self.trainings]
        if not folders or len(set(folders)) < len(folders):
            raise ValueError(
                f'trainings={[t.name for t in self.trainings]}: give one or more, each '
                'of a name of its own'
            )


def compare(
    comparison: Comparison,
    work_dir: Path,
    seeds: int,
    run: Callable[..., None],
) -> str:
    """Train what has not been trained, and show all of it.

    A training that is finished is kept, one that was interrupted goes on from its last
    checkpoint, and one whose config has changed since starts anew. A seed comes after
    the other, so that a run that is interrupted has whole comparisons.

    Args:
        comparison: The trainings.
        work_dir: Gets a folder for each training and seed, ``curves.png`` and
            ``contact_sheet.png``.
        seeds: How often each is trained.
        run: Runs a command, and ends the program when that fails.

    Returns:
        The table.

    Raises:
        ValueError: A config can't be read, or a training has measured no such metric.
        OSError: A file can't be read or written.
    """
    total = len(comparison.trainings) * seeds
    rows = [Row(training.name) for training in comparison.trainings]
    number = 0
    for seed in range(comparison.seed, comparison.seed + seeds):
        for row, training in zip(rows, comparison.trainings, strict=True):
            number += 1
            folder = work_dir / training.folder / f'seed-{seed}'
            print(f'\n[{number}/{total}] {training.name}, seed {seed}', flush=True)
            prepare(training, seed, folder)
            if Record.of(folder).finished:
                print(f'finished before in {folder}: kept')
            else:
                run(sys.executable, '-m', 'plugin.demo.comparison', folder)
            row.add(Record.of(folder), comparison.metric)
    draw_curves(rows, comparison.title, comparison.metric_name, work_dir / 'curves.png')
    first = [
        work_dir / training.folder / f'seed-{comparison.seed}'
        for training in comparison.trainings
    ]
    comparison_sheet(
        dict(zip((row.name for row in rows), first, strict=True)),
        comparison.title,
        work_dir / 'contact_sheet.png',
        comparison.images,
        comparison.score,
    )
    return table(rows, comparison.metric_name)


def prepare(training: Training, seed: int, folder: Path) -> None:
    """Write the config of one training into its folder.

    A folder of another config is emptied first: what it holds was trained otherwise.
    """
    cfg = load_config(training.config)
    cfg.merge_from_dict(dict(training.options))
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    _one_process(cfg)
    text = cfg.pretty_text
    # The Runner writes what it has made of config.py over it.
    digest, path = hashlib.sha256(text.encode()).hexdigest(), folder / 'config.sha256'
    if path.is_file() and path.read_text() == digest:
        return
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / 'config.py').write_text(text, 'utf-8')
    path.write_text(digest)


def _one_process(cfg: Config) -> None:
    """No workers, so that the CPU time of the process is all of it."""
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(loader):
            cfg[loader].update(num_workers=0, persistent_workers=False)
    # To go on from after an interruption.
    interval = cfg.train_cfg.get('val_interval', 1)
    hooks = cfg.setdefault('default_hooks', {})
    hooks['checkpoint'] = dict(
        hooks.get('checkpoint') or dict(type='CheckpointHook'),
        interval=interval,
        max_keep_ckpts=1,
    )
