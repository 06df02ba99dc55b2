"""Every ready config of this project is clean."""

from pathlib import Path

import pytest

from plugin.check import check

ROOT = Path(__file__).resolve().parents[2]
READY = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob('configs/*/*.py'))


def test_there_are_configs_of_every_task():
    assert {name.split('/')[1] for name in READY} == {'det', 'seg', 'yolo', 'cls'}


@pytest.mark.parametrize('name', READY)
def test_has_neither_errors_nor_warnings(name):
    assert check(str(ROOT / name)) == []
