"""Every way that a checkpoint comes in, each as a function of the file.

It takes the path of the checkpoint and a folder to work in, with the shapes data set
as ``shapes``. It uses the file as a user would, and returns the message that the user
gets, or None. ``ENTRIES`` has all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mmdet.models  # noqa: F401
import pytest
import torch
from click.testing import CliRunner
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from tiny_runner import tiny_runner

import plugin.det  # noqa: F401
from plugin.cli import main
from plugin.weights.files.safe_loading import CheckpointError

ROOT = Path(__file__).resolve().parents[3]
DETECTOR = ROOT / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
ENTRIES: dict[str, Callable[[Path, Path], str | None]] = {}


def entry(use: Callable) -> Callable:
    """Put a function that raises CheckpointError into ``ENTRIES``."""

    def message_of(path: Path, folder: Path) -> str | None:
        try:
            use(path, folder)
        except CheckpointError as error:
            return str(error)
        return None

    ENTRIES[use.__name__] = message_of
    return use


def build(type_: str, **args: object) -> None:
    torch.manual_seed(0)
    MODELS.build(ConfigDict(type=type_, **args)).init_weights()


def pretrained(path: Path) -> dict:
    return dict(type='Pretrained', checkpoint=str(path))


@entry
def init_cfg(path: Path, folder: Path) -> None:
    build('plugin.ConvNeXt', arch='atto', init_cfg=pretrained(path))


@entry
def init_cfg_of_a_class_that_loads_by_itself(path: Path, folder: Path) -> None:
    small = dict(embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    build('mmdet.SwinTransformer', **small, init_cfg=pretrained(path))


@entry
def checkpoint_path(path: Path, folder: Path) -> None:
    build('plugin.TIMMBackbone', model_name='resnet10t', checkpoint_path=str(path))


@entry
def checkpoint_path_of_mmpretrain(path: Path, folder: Path) -> None:
    pytest.importorskip('mmpretrain.models')
    build('mmpretrain.TIMMBackbone', model_name='resnet10t', checkpoint_path=str(path))


@entry
def checkpoint_path_of_mmseg(path: Path, folder: Path) -> None:
    pytest.importorskip('mmseg.models')
    own = dict(model_name='resnet10t', pretrained=False)
    build('mmseg.TIMMBackbone', **own, checkpoint_path=str(path))


@entry
def timms_overlay(path: Path, folder: Path) -> None:
    overlay = dict(file=str(path), source='')
    build(
        'plugin.TIMMBackbone',
        model_name='resnet10t',
        pretrained=True,
        timm_kwargs=dict(pretrained_cfg_overlay=overlay),
    )


@entry
def load_from(path: Path, folder: Path) -> None:
    tiny_runner(folder / 'run', load_from=str(path)).train()


@entry
def load_from_of_a_test(path: Path, folder: Path) -> None:
    tiny_runner(folder / 'run', load_from=str(path)).test()


@entry
def resume(path: Path, folder: Path) -> None:
    tiny_runner(folder / 'run', load_from=str(path), resume=True).train()


@entry
def resume_of_the_last_one(path: Path, folder: Path) -> None:
    (folder / 'run').mkdir()
    (folder / 'run/last_checkpoint').write_text(str(path))
    tiny_runner(folder / 'run', resume=True).train()


def command(*args: object) -> str | None:
    result = CliRunner().invoke(main, [*map(str, args)])
    if result.exit_code == 0:
        return None
    assert (result.exit_code, result.stdout) == (1, ''), result.output
    *log, message = result.stderr.splitlines()
    assert message.startswith('Error: ')
    return message.removeprefix('Error: ')


def keys(path: Path, folder: Path) -> str | None:
    return command('keys', path)


def convert(path: Path, folder: Path) -> str | None:
    return command('convert', path, folder / 'out.pth', '--to', 'plugin.ConvNeXt')


def align(path: Path, folder: Path) -> str | None:
    config = folder / 'config.py'
    config.write_text("model = dict(backbone=dict(type='plugin.ConvNeXt'))")
    reference = ('--reference', 'timm:resnet18', '--checkpoint', path)
    return command('align', config, *reference)


def sheet(path: Path, folder: Path) -> str | None:
    config = folder / 'config.py'
    data = dict(dataset=dict(data_root=f'{folder}/shapes/'))
    config.write_text(f'_base_ = {str(DETECTOR)!r}\ntest_dataloader = {data}\n')
    return command('sheet', config, path, '-o', folder / 'sheet.png')


def checked(folder: Path, text: str, key: str, fix: str) -> str | None:
    config = folder / 'config.py'
    config.write_text(f'_base_ = {str(DETECTOR)!r}\n{text}\n')
    result = CliRunner().invoke(main, ['check', str(config), '--json'])
    (document,) = json.loads(result.stdout)
    problems = [p for p in document['problems'] if p['kind'] == 'pretrained']
    if not problems:
        return None
    (problem,) = problems
    assert result.exit_code == 1
    assert problem['key'] == key
    assert dict(path=fix, action='set', value=None) in problem['edits']
    assert not problem['safe']
    return problem['found']


def check_of_init_cfg(path: Path, folder: Path) -> str | None:
    return checked(
        folder,
        f'model = dict(backbone=dict(init_cfg={pretrained(path)}))',
        'model.backbone.init_cfg.checkpoint',
        'model.backbone.init_cfg',
    )


def check_of_load_from(path: Path, folder: Path) -> str | None:
    text = f'load_from = {str(path)!r}'
    return checked(folder, text, 'load_from', 'load_from')


ENTRIES |= {
    use.__name__: use
    for use in (
        keys,
        convert,
        align,
        sheet,
        check_of_init_cfg,
        check_of_load_from,
    )
}
