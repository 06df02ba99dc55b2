"""Every base with every backbone: a short, clean config that ``check`` lets pass."""

import subprocess
import sys

import pytest
from pairs import BACKBONES, BASES

from plugin.check import check
from plugin.config.problem import ERROR

# A second or two each, and there are many.
pytestmark = pytest.mark.slow


def pairs():
    for base in BASES:
        for backbone in BACKBONES:
            others = ('own', 'timm-resnet', 'mmpretrain-mobilenetv3', 'mmdet-resnet')
            one_of_each = backbone == 'ConvNeXt' or (
                base == 'yolov5' and backbone in others
            )
            marks = [] if one_of_each else pytest.mark.wide
            yield pytest.param(base, backbone, marks=marks, id=f'{base}-{backbone}')


def ruff(*args, folder):
    return subprocess.run(
        [sys.executable, '-m', 'ruff', *args],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='session')
def ruff_config(repo_root):
    return str(repo_root / 'pyproject.toml')


@pytest.mark.parametrize(('base', 'backbone'), list(pairs()))
def test_a_pair_makes_a_config_that_is_right(
    base, backbone, swapped, own_net, ruff_config
):
    name, options = BACKBONES[backbone]
    imports = [own_net] if backbone == 'own' else []
    done, cfg = swapped(BASES[base], name, imports=imports, **options)
    assert [p for p in check(str(done.out)) if p.severity == ERROR] == []
    assert list(done.out.parent.iterdir()) == [done.out]

    lines = done.text.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 88 or line.endswith('# noqa: E501') for line in lines)
    for command in (['check'], ['format', '--check']):
        found = ruff(
            *command, '--config', ruff_config, done.out, folder=done.out.parent
        )
        assert found.returncode == 0, found.stdout + found.stderr

    task = {'mmdet': 'det', 'mmseg': 'seg', 'mmyolo': 'yolo'}[cfg.default_scope]
    assert cfg.custom_imports.imports[-1] == f'plugin.{task}'
    assert cfg.custom_imports.allow_failed_imports is False
    assert set(cfg.model.backbone) & {'depth', 'num_stages', 'style'} <= set(options)


def test_there_are_backbones_of_four_sources():
    sources = {
        name.partition(':')[0].partition('.')[0] for name, _ in BACKBONES.values()
    }
    assert sources == {'plugin', 'timm', 'mmpretrain', 'mmdet'}
    assert len(BACKBONES) >= 8
