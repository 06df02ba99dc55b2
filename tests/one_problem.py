"""Check and fix configs in which exactly one thing is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from printed import examined, used

from plugin.check import check
from plugin.config.problem import Problem

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
UPERNET = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
DET = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
SEG = DET.replace('det', 'seg')
YOLO = DET.replace('det', 'yolo')
CLS = DET.replace('det', 'cls')


class Reported(NamedTuple):
    """A problem without its rule and its place; ``fix`` is in short."""

    key: str
    kind: str
    severity: str
    found: Any
    expected: Any
    fix: str


def reported(problem: Problem) -> Reported:
    """Return what ``problem`` reports, without its rule and its place."""
    p = problem
    return Reported(p.key, p.kind, p.severity, p.found, p.expected, p.in_short)


def write(folder: Path, base: str, text: str) -> Path:
    """Write a config into ``folder`` that inherits from ``base``."""
    path = folder / 'config.py'
    path.write_text(f'_base_ = {base!r}\n{text}\n')
    return path


def fix_it(path: Path, expected: Reported | Problem) -> Config:
    """Check that one thing is wrong, the expected one, and that its fix corrects it.

    The fix is used as the report prints it.
    """
    found = examined(path)
    if isinstance(expected, Problem):
        expected = reported(expected)
    assert [reported(problem) for problem in found.problems] == [expected]
    fixed = used(path, found)
    assert check(str(fixed)) == []
    return Config.fromfile(str(fixed))
