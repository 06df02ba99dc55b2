"""Classes that load weights in an ``init_weights`` of their own.

A user's is observed: its decisions and its errors are its own.
"""

import importlib
import inspect
import logging

import mmdet.models
import mmseg.models  # noqa: F401
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from plugin.weights.audit.report import PretrainedError
from plugin.weights.initializing import FILLED_IN, is_filled_in


class Net(BaseModule):
    """40 + 8 + 6 parameters."""

    def __init__(self, init_cfg=None, channels=1):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(channels, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2, bias=False)

    @property
    def file(self):
        return self.init_cfg['checkpoint']


class Model(BaseModule):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def cfg(path, **more):
    return dict(type='Pretrained', checkpoint=str(path), **more)


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(3)
    weights = {n: torch.randn(t.shape) for n, t in Net().state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    return tmp_path / 'a.pth'


def weights_in(file):
    return torch.load(file)['state_dict']


def read(file):
    return dict(CheckpointLoader.load_checkpoint(file, 'cpu', None)['state_dict'])


# What a user's code leaves out, changes or leaves random stays like that.


class WithoutHead(Net):
    def init_weights(self):
        weights = read(self.file)
        del weights['head.weight']
        self.load_state_dict(weights, strict=False)


class Scaled(Net):
    def init_weights(self):
        weights = read(self.file)
        weights['conv.weight'] = weights['conv.weight'] * 0.5
        load_state_dict(self, weights)


class MoreChannels(Net):
    def init_weights(self):
        weights = read(self.file)
        del weights['conv.weight']
        self.load_state_dict(weights, strict=False)


class ThroughItsOwnStateDict(Net):
    """A common way: the own state dict, with what fits put into it."""

    def init_weights(self):
        own = self.state_dict()
        own.update({n: t for n, t in read(self.file).items() if 'conv' in n})
        self.load_state_dict(own)


class PieceByPiece(Net):
    def init_weights(self):
        weights = read(self.file)
        with torch.no_grad():
            self.conv.weight.copy_(weights['conv.weight'])
            self.norm.weight.copy_(weights['norm.weight'])


class PieceByPieceByTorch(Net):
    def init_weights(self):
        weights = torch.load(self.file)['state_dict']
        with torch.no_grad():
            self.conv.weight.copy_(weights['conv.weight'])


class Assigned(Net):
    def init_weights(self):
        self.load_state_dict(read(self.file), assign=True)


def test_a_head_that_is_left_out_stays_random(file, lines):
    net = WithoutHead(cfg(file))
    head = net.head.weight.detach().clone()
    Model(backbone=net).init_weights()
    assert torch.equal(net.head.weight, head)
    assert torch.equal(net.conv.weight, weights_in(file)['conv.weight'])
    (line,) = lines
    assert 'backbone (WithoutHead): 84.6 % of 52 parameters' in line.getMessage()
    assert '1 missing (head.weight)' in line.getMessage()
    assert line.levelno == logging.WARNING


def test_a_scaled_tensor_stays_scaled(file, lines):
    net = Scaled(cfg(file))
    net.init_weights()
    assert torch.equal(net.conv.weight, weights_in(file)['conv.weight'] * 0.5)
    assert '100.0 % of 52 parameters' in lines[0].getMessage()


def test_a_convolution_of_four_channels_stays_random(file, lines):
    net = MoreChannels(cfg(file), channels=4)
    conv = net.conv.weight.detach().clone()
    net.init_weights()
    assert torch.equal(net.conv.weight, conv)
    assert '1 missing (conv.weight)' in lines[0].getMessage()
    assert '10.0 % of 160' in lines[0].getMessage()


@pytest.mark.parametrize(
    ('cls', 'share'),
    [
        (ThroughItsOwnStateDict, '69.2 %'),
        (PieceByPiece, '76.9 %'),
        (PieceByPieceByTorch, '69.2 %'),
        (Assigned, '100.0 %'),
    ],
)
def test_the_share_is_that_of_what_came_out_of_the_file(file, lines, cls, share):
    cls(cfg(file)).init_weights()
    (line,) = lines
    assert f'{share} of 52 parameters are from {file}' in line.getMessage()


def test_a_part_that_was_taken_on_purpose_is_no_error(file, lines):
    net = MoreChannels(cfg(file), channels=4)
    Model(backbone=net).init_weights()
    assert lines[0].levelno == logging.WARNING
    demanding = MoreChannels(cfg(file, min_loaded=0.5), channels=4)
    with pytest.raises(PretrainedError, match='only 10.0 %'):
        Model(backbone=demanding).init_weights()


def test_names_that_fit_nowhere_are_not_renamed_for_a_user(file):
    class Wrong(Net):
        def init_weights(self):
            weights = {f'net.{n}': t for n, t in read(self.file).items()}
            self.load_state_dict(weights, strict=False)

    net = Wrong(cfg(file))
    before = {n: t.clone() for n, t in net.state_dict().items()}
    with pytest.raises(PretrainedError, match='only 0.0 %'):
        Model(backbone=net).init_weights()
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


# Its errors reach the user.


@pytest.mark.parametrize('error', [KeyError, IndexError, RuntimeError, OSError])
@pytest.mark.parametrize('when', ['before', 'after'])
def test_an_exception_in_a_users_init_weights_is_raised(file, error, when):
    class Fails(Net):
        def init_weights(self):
            if when == 'after':
                read(self.file)
            raise error('mine')

    for module in Fails(cfg(file)), Model(backbone=Fails(cfg(file))):
        with pytest.raises(error, match='mine'):
            module.init_weights()


def test_an_exception_in_a_subclass_of_a_class_that_is_filled_in_is_raised(file):
    class Fails(mmdet.models.SwinTransformer):
        def load_state_dict(self, *args, **kwargs):
            if not hasattr(self, 'failed'):
                self.failed = True
                raise IndexError('mine')
            return super().load_state_dict(*args, **kwargs)

    class Overrides(mmdet.models.SwinTransformer):
        def init_weights(self):
            super().init_weights()
            raise IndexError('mine')

    torch.save({'backbone.norm3.weight': torch.ones(96)}, file)
    small = dict(embed_dims=12, depths=(1,) * 4, num_heads=(1,) * 4, window_size=2)
    for cls in Fails, Overrides:
        module = cls(**small)
        module.init_cfg = ConfigDictLike(cfg(file))
        with pytest.raises(IndexError, match='mine'):
            module.init_weights()


class ConfigDictLike(dict):
    """mmdet's Swin asks for ``init_cfg.checkpoint``."""

    __getattr__ = dict.__getitem__


# The error is for backbones.


def test_less_than_half_of_a_neck_is_a_warning(tmp_path, warnings):
    torch.save({'head.weight': torch.randn(2, 4)}, tmp_path / 'a.pth')
    Model(neck=Net(cfg(tmp_path / 'a.pth'))).init_weights()
    (text,) = warnings
    assert text.startswith('neck (Net): ')
    assert 'only 15.4 % of the parameters were loaded' in text
    assert 'at least 50.0 % are required' in text


@pytest.mark.parametrize('name', ['backbone', 'img_backbone', 'image_encoder'])
def test_less_than_half_of_a_backbone_is_an_error(tmp_path, name):
    torch.save({'head.weight': torch.randn(2, 4)}, tmp_path / 'a.pth')
    with pytest.raises(PretrainedError, match=rf'{name} \(Net\): only 15.4 %'):
        Model(**{name: Net(cfg(tmp_path / 'a.pth'))}).init_weights()


# Upstream's classes that are filled in


def upstream(name):
    module, _, cls = name.rpartition('.')
    return getattr(importlib.import_module(module), cls)


@pytest.mark.parametrize('name', FILLED_IN)
def test_a_class_that_is_filled_in_still_loads_by_its_own_code(name):
    method = vars(upstream(name))['init_weights']
    code = inspect.unwrap(method).__code__
    assert {'CheckpointLoader', 'load_checkpoint', '_load_checkpoint'} & set(
        code.co_names
    )


def test_no_other_backbone_of_the_libraries_reads_a_checkpoint_by_itself():
    """In init_weights. One that does goes into the table, or into its docstring."""
    from mmdet.registry import MODELS as DET
    from mmpretrain.registry import MODELS as CLS
    from mmseg.registry import MODELS as SEG
    from mmyolo.registry import MODELS as YOLO

    found = set()
    for registry in (DET, SEG, CLS, YOLO):
        registry.import_from_location()
        for cls in list(registry.module_dict.values()):
            if not isinstance(cls, type) or cls.__module__.startswith('plugin'):
                continue
            method = inspect.unwrap(vars(cls).get('init_weights') or (lambda: None))
            readers = {'CheckpointLoader', 'load_checkpoint', '_load_checkpoint'}
            if readers & set(method.__code__.co_names):
                found.add(f'{cls.__module__}.{cls.__qualname__}')
    left_alone = {
        'mmseg.models.decode_heads.san_head.SideAdapterCLIPHead',
        'mmseg.models.text_encoder.clip_text_encoder.CLIPTextEncoder',
    }
    assert found == set(FILLED_IN) | left_alone


def test_a_subclass_is_filled_in_unless_it_overrides_init_weights():
    swin = mmdet.models.SwinTransformer
    plain = type('Plain', (swin,), {})
    own = type('Own', (swin,), {'init_weights': lambda self: None})
    small = dict(embed_dims=12, depths=(1,) * 4, num_heads=(1,) * 4, window_size=2)
    for cls, expected in (swin, True), (plain, True), (own, False):
        module = cls(**small)
        module.init_cfg = cfg('a.pth')
        assert is_filled_in(module) is expected
        module.init_cfg = dict(type='Pretrained_Part', checkpoint='a.pth')
        assert not is_filled_in(module)


def test_what_is_filled_in_where_their_code_stops_is_said(tmp_path, warnings, lines):
    small = dict(embed_dims=12, depths=(1,) * 4, num_heads=(1,) * 4, window_size=2)
    source = mmdet.models.SwinTransformer(**small)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    module = mmdet.models.SwinTransformer(**small)
    module.init_cfg = ConfigDictLike(cfg(tmp_path / 'a.pth'))
    module.init_weights()
    assert torch.equal(module.norm3.weight, source.norm3.weight)
    assert any(
        f'SwinTransformer.init_weights() stopped at {tmp_path / "a.pth"} (IndexError: '
        in text
        for text in warnings
    )
    assert '100.0 %' in lines[0].getMessage()
