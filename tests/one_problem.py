"""Configs that check finds one thing wrong with, exactly, and that the fix mends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from apply_fix import apply_fix
from mmengine.config import Config

from plugin.check import check
from plugin.config.problem import Problem

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
UPERNET = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
DET = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
SEG = DET.replace('det', 'seg')
YOLO = DET.replace('det', 'yolo')
CLS = DET.replace('det', 'cls')


class Told(NamedTuple):
    """What a problem says, whichever rule found it, and where. ``fix`` is in short."""

    key: str
    kind: str
    severity: str
    found: Any
    expected: Any
    fix: str


def told(problem: Problem) -> Told:
    """What ``problem`` says."""
    p = problem
    return Told(p.key, p.kind, p.severity, p.found, p.expected, p.in_short)


def write(folder: Path, base: str, text: str) -> Path:
    """A config in ``folder`` that inherits from ``base``."""
    path = folder / 'config.py'
    path.write_text(f'_base_ = {base!r}\n{text}\n')
    return path


def mend(path: Path, expected: Told | Problem) -> Config:
    """Check that one thing is wrong, the expected one, and gone with its fix."""
    (problem,) = check(str(path))
    if isinstance(expected, Problem):
        expected = told(expected)
    assert told(problem) == expected
    fixed = apply_fix(path, problem)
    assert check(str(fixed)) == []
    return Config.fromfile(str(fixed))
