"""Writes the tables of ready configs and backbones in the README and the docs.

    python tools/tables.py            write them
    python tools/tables.py --check    exit status 1 if one of them is out of date

A table stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``. The ready
configs come from the metafiles, which tools/metafiles.py computes, and the backbones
from the catalogue.
"""

from __future__ import annotations

import argparse
import os.path
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TASKS = {
    'det': 'mmdetection',
    'seg': 'mmsegmentation',
    'yolo': 'MMYOLO',
    'cls': 'mmpretrain',
}


@dataclass(frozen=True)
class Ready:
    """One ready config, as its metafile describes it.

    Attributes:
        task: Folder in ``configs/``.
        path: From the clone.
        algorithm: The model around the backbone, or the backbone itself in ``cls``.
        backbone: Type and variant, such as ``plugin.ConvNeXt tiny``.
        data: The data set.
        size: Height and width of the images that it tests at.
        params: Number of parameters.
        flops: Multiply-adds of one image.
    """

    task: str
    path: str
    algorithm: str
    backbone: str
    data: str
    size: str
    params: int
    flops: int

    @property
    def name(self) -> str:
        return Path(self.path).stem

    @property
    def backbone_in_name(self) -> str:
        """The field of the file name that is the backbone.

        Names are ``{algorithm}_{backbone}_{neck}_{training}_{data}``; the algorithm may
        have a size after ``_``, and in ``cls`` there is none.
        """
        fields = self.name.split('_')
        if self.task != 'cls':
            fields = fields[2:] if fields[1] == 's' else fields[1:]
        return fields[0].removeprefix('timm-')

    @property
    def is_demo(self) -> bool:
        return self.name.endswith('_shapes')


def ready_configs() -> list[Ready]:
    """Return the ready configs of all metafiles, task by task."""
    found = []
    for task in TASKS:
        text = (ROOT / f'configs/{task}/metafile.yml').read_text()
        for model in yaml.safe_load(text)['Models']:
            data = model['Metadata']
            found.append(
                Ready(
                    task=task,
                    path=model['Config'],
                    algorithm=model['In Collection'].rpartition(' (')[0],
                    backbone=data['Backbone'],
                    data=data['Training Data'],
                    size=data['Input Size'],
                    params=data['Parameters'],
                    flops=data['FLOPs'],
                )
            )
    return found


def short_table(page: Path) -> str:
    """Return one line a library: its models, and a link to each with its backbone."""
    models: dict[tuple[str, str], list[Ready]] = defaultdict(list)
    for ready in ready_configs():
        if not ready.is_demo:
            models[ready.task, ready.algorithm].append(ready)
    lines = ['| | |', '|---|---|']
    for task, library in TASKS.items():
        parts = []
        for (of, algorithm), entries in models.items():
            if of == task:
                links = [
                    f'[{label(e, entries)}]({link(e.path, page)})' for e in entries
                ]
                parts.append(f'{algorithm}: {", ".join(links)}')
        folder = link(f'configs/{task}/README.md', page)
        lines.append(f'| [{library}]({folder}) | {"; ".join(parts)} |')
    return '\n'.join(lines)


def label(ready: Ready, entries: list[Ready]) -> str:
    """Return the backbone, and how the config trains it where that tells two apart."""
    same = [e for e in entries if e.backbone_in_name == ready.backbone_in_name]
    if len(same) == 1:
        return ready.backbone_in_name
    return f'{ready.backbone_in_name} ({ready.name.split("_")[-2]})'


def long_table(page: Path) -> str:
    """Return every ready config with its size."""
    lines = [
        '| library | model | backbone | data | config | input | parameters | FLOPs |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for e in ready_configs():
        lines.append(
            f'| {TASKS[e.task]} | {e.algorithm} | {e.backbone} | {e.data} '
            f'| [{e.name}]({link(e.path, page)}) | {e.size} '
            f'| {e.params / 1e6:.2f} M | {e.flops / 1e9:.2f} G |'
        )
    return '\n'.join(lines)


def backbones(page: Path) -> str:
    """Return the backbones of the catalogue."""
    # From the clone, which need not be installed.
    sys.path.insert(0, str(ROOT))
    from plugin.backbones import CATALOGUE

    lines = ['| backbone | published in | smallest variant |', '|---|---|---|']
    for entry in CATALOGUE:
        source = link(f'plugin/backbones/{entry.module}.py', page)
        address = entry.paper.replace('arXiv:', 'https://arxiv.org/abs/')
        smallest = ', '.join(f'{k}={v!r}' for k, v in entry.smallest.items())
        lines.append(
            f'| [`plugin.{entry.name}`]({source}) '
            f'| [{entry.paper}]({address}) | `{smallest}` |'
        )
    return '\n'.join(lines)


def link(target: str, page: Path) -> str:
    return Path(os.path.relpath(ROOT / target, page.parent)).as_posix()


# page: name of each of its tables, and what writes it
PAGES: dict[str, dict[str, Callable[[Path], str]]] = {
    'README.md': {'ready configs': short_table},
    'README.zh-CN.md': {'ready configs': short_table},
    'docs/configs.md': {'ready configs': long_table, 'backbones': backbones},
}


def written(name: str) -> str:
    """Return the page ``name`` with its tables as they should be.

    Raises:
        ValueError: The page lacks the comments between which a table stands.
    """
    page = ROOT / name
    text = page.read_text()
    for title, table in PAGES[name].items():
        begin, end = f'<!-- {title}: begin -->', f'<!-- {title}: end -->'
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f'{name} has no table between {begin!r} and {end!r}')
        text = f'{before}{begin}\n{table(page)}\n{end}{after}'
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true')
    check = parser.parse_args().check
    status = 0
    for name in PAGES:
        text = written(name)
        if text == (ROOT / name).read_text():
            continue
        if check:
            print(f'{name} is out of date; run `python tools/tables.py`')
            status = 1
        else:
            (ROOT / name).write_text(text)
            print(f'wrote {name}')
    return status


if __name__ == '__main__':
    sys.exit(main())
