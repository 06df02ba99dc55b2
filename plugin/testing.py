"""The contract of a backbone, for users' own classes as for ours.

    from plugin.testing import check_backbone

    def test_my_net():
        check_backbone(MyNet())

or ``python -m plugin test my_net.py`` on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plugin.freezing.frozen_stages import StageFreezer
from plugin.measure.backbone import build
from plugin.spec import FeatureSpec

PASSED, FAILED, NOTE = STATUSES = ('passed', 'failed', 'note')
# Of the image in pixels, for what has no size of its own.
SIZE = 128
# Differences that the order of additions makes in float32.
_CLOSE = dict(rtol=1e-4, atol=1e-5)


@dataclass(frozen=True)
class Outcome:
    """Result of one check.

    Attributes:
        check: Its name.
        status: ``PASSED``, ``FAILED``, or ``NOTE`` for what is not required.
        message: What was found; for a failure also what to change.
    """

    check: str
    status: str
    message: str


class BackboneError(AssertionError):
    """A backbone does not keep the contract; the message has a line for each check."""


def check_backbone(backbone: nn.Module | Mapping[str, Any], size: int = SIZE) -> None:
    """Check that a backbone keeps the contract that detectors and segmentors rely on.

    Args:
        backbone: A module (N, 3, H, W) -> tuple of (N, C_i, H/s_i, W/s_i), or its
            config with a scope in its type, such as ``dict(type='plugin.MyNet')``.
            A copy is looked at.
        size: Height and width of the images, in pixels.

    Raises:
        BackboneError: One line for each check that failed, with what to change.
    """
    failed = [o for o in examine(backbone, size) if o.status == FAILED]
    if failed:
        lines = '\n'.join(f'{o.check}: {o.message}' for o in failed)
        checks = 'check' if len(failed) == 1 else 'checks'
        raise BackboneError(f'{len(failed)} {checks} failed\n{lines}')


def examine(
    backbone: nn.Module | Mapping[str, Any], size: int = SIZE
) -> Iterator[Outcome]:
    """Yield the outcome of each check, those that others rest on first.

    Args:
        backbone: As :func:`check_backbone` takes it.
        size: Height and width of the images, in pixels.
    """
    module = build(backbone) if isinstance(backbone, Mapping) else deepcopy(backbone)
    module.eval()
    first = _outcome('feature maps', _feature_maps, module, size)
    yield first
    if first.status == FAILED:
        return
    for name, check in _CHECKS.items():
        yield _outcome(name, check, deepcopy(module), size)


class _Failed(Exception):
    """Return what is wrong, and what to change."""


class _Noted(Exception):
    """Return what is reported and not required."""


def _outcome(
    name: str, check: Callable[[nn.Module, int], str], module: nn.Module, size: int
) -> Outcome:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return Outcome(name, PASSED, check(module, size))
        except _Failed as error:
            return Outcome(name, FAILED, str(error))
        except _Noted as note:
            return Outcome(name, NOTE, str(note))
        except Exception as error:
            line = (str(error).strip().splitlines() or [''])[0]
            return Outcome(name, FAILED, f'{type(error).__name__}: {line[:300]}')


def _image(size: int | tuple[int, int], batch: int = 2) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn(batch, 3, height, width)


def _shapes(maps: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return [tuple(x.shape) for x in maps]


def _feature_maps(module: nn.Module, size: int) -> str:
    with torch.no_grad():
        maps = module(_image(size))
    if not isinstance(maps, tuple):
        raise _Failed(
            f'forward returns a {type(maps).__name__}; return a tuple, `return (x,)` '
            'for a single feature map'
        )
    wrong = [
        x for x in maps if not (torch.is_tensor(x) and x.ndim == 4 and len(x) == 2)
    ]
    if not maps or wrong:
        kind = tuple(wrong[0].shape) if wrong and torch.is_tensor(wrong[0]) else 'none'
        raise _Failed(
            f'forward gives {kind} for 2 images; every output must be a tensor '
            '(N, C, H, W): permute channels first, and leave class tokens out'
        )
    sides = [x.shape[2] for x in maps]
    if sides != sorted(sides, reverse=True):
        raise _Failed(
            f'the feature maps are {sides} cells high; give the largest first, as '
            'necks take them'
        )
    return f'{len(maps)} of {_shapes(maps)}'


def _spec(module: nn.Module, size: int) -> str:
    if not hasattr(module, 'feature_spec'):
        raise _Noted('no feature_spec(): channels and strides are measured')
    declared: FeatureSpec = module.feature_spec()
    with torch.no_grad():
        maps = module(_image(size, 1))
    channels = tuple(x.shape[1] for x in maps)
    if tuple(declared.channels) != channels:
        raise _Failed(
            f'feature_spec() says channels {declared.channels}, and forward gives '
            f'{channels}; correct feature_spec()'
        )
    cells = [x.shape[2] for x in maps]
    suits = len(declared.strides) == len(cells) and all(
        n in (math.floor(size / s), math.ceil(size / s))
        for n, s in zip(cells, declared.strides, strict=False)
    )
    if not suits:
        raise _Failed(
            f'feature_spec() says strides {declared.strides}, and an image of {size} '
            f'pixels gives {cells} cells; correct feature_spec()'
        )
    return f'channels {channels}, strides {tuple(declared.strides)}'


def _odd_sizes(module: nn.Module, size: int) -> str:
    with torch.no_grad():
        whole = [x.shape[2] for x in module(_image(size, 1))]
        strides = [size / n for n in whole]
        for height, width in ((size - 1, size + 13), (size + 7, size - 3)):
            try:
                maps = module(_image((height, width), 1))
            except Exception as error:
                line = (str(error).strip().splitlines() or [''])[0]
                raise _Failed(
                    f'an image of {height}x{width} gives {type(error).__name__}: '
                    f'{line[:120]}; pad the image in forward, and crop the feature maps'
                ) from error
            for x, stride in zip(maps, strides, strict=True):
                for cells, pixels in zip(x.shape[2:], (height, width), strict=True):
                    if abs(cells - pixels / stride) > 1:
                        raise _Failed(
                            f'an image of {height}x{width} gives a feature map of '
                            f'{tuple(x.shape[2:])} at stride {stride:g}; a neck adds '
                            'maps of neighbouring strides, which must be of '
                            'H/s x W/s cells, rounded up or down'
                        )
    return f'{size - 1}x{size + 13} and {size + 7}x{size - 3}'


def _gradients(module: nn.Module, size: int) -> str:
    module.train()
    for module_ in module.modules():
        # Stochastic depth leaves blocks out at random.
        if type(module_).__name__ in ('DropPath', 'StochasticDepth'):
            module_.eval()
    sum((x.float() ** 2).mean() for x in module(_image(size))).backward()
    params = {n: p for n, p in module.named_parameters() if p.requires_grad}
    without = [n for n, p in params.items() if p.grad is None]
    if without:
        raise _Failed(
            f'{len(without)} of {len(params)} parameters get no gradient, such as '
            f'{without[0]}: distributed training stops there. Build no layer behind '
            'the last feature map that is given'
        )
    bad = [n for n, p in params.items() if not torch.isfinite(p.grad).all()]
    if bad:
        raise _Failed(f'the gradient of {bad[0]} is not finite')
    return f'{len(params)} parameters'


def _modes(module: nn.Module, size: int) -> str:
    trained = [n for n, p in module.named_parameters() if p.requires_grad]
    module.train()
    if not module.training:
        raise _Failed('train() leaves training False; call super().train(mode) in it')
    module.eval()
    left = [n for n, m in module.named_modules() if m.training]
    if left:
        raise _Failed(
            f'eval() leaves {left[0] or "the module"} in training mode; train(mode) '
            'must pass the mode on'
        )
    module.train()
    again = [n for n, p in module.named_parameters() if p.requires_grad]
    if set(again) != set(trained):
        raise _Failed('train() after eval() changes which parameters train')
    return 'train, eval, train'


def _freezing(module: nn.Module, size: int) -> str:
    if not hasattr(module, 'frozen_stages'):
        raise _Noted(
            'no frozen_stages: the unfreeze hooks refuse it; add the argument, and '
            'obey it in train()'
        )
    freezer = StageFreezer(module)
    counts, value = {}, freezer.nothing
    before: frozenset[str] = frozenset()
    for value in range(freezer.nothing + 1, freezer.nothing + 64):
        try:
            freeze = freezer.at(value)
        except (ValueError, *_NO_SUCH):
            if counts or value:
                break
            # The least that some can freeze is 1.
            continue
        if not before <= freeze.params:
            raise _Failed(
                f'frozen_stages={value} trains what {value - 1} freezes, such as '
                f'{min(before - freeze.params)}; freeze the first stages and the stem'
            )
        before = freeze.params
        counts[value] = len(before)
    if not before:
        raise _Failed(
            'no value of frozen_stages freezes anything; set requires_grad=False and '
            'eval() for the first stages in train()'
        )
    freezer.apply(freezer.at(max(counts)))
    module.train()
    frozen = [p for n, p in module.named_parameters() if n in before]
    if any(p.requires_grad for p in frozen):
        raise _Failed('train() lets frozen parameters train; freeze again at its end')
    return f'frozen_stages {freezer.nothing} to {max(counts)}'


_NO_SUCH = (AttributeError, LookupError, AssertionError, RuntimeError)


def _state_dict(module: nn.Module, size: int) -> str:
    other, image = deepcopy(module), _image(size, 1)
    with torch.no_grad():
        for param in other.parameters():
            param.normal_()
    other.load_state_dict(module.state_dict())
    with torch.no_grad():
        pairs = zip(module(image), other(image), strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            raise _Failed(
                'a copy with the same state_dict() gives other feature maps; register '
                'what forward needs as a parameter or a buffer'
            )
    return f'{len(module.state_dict())} tensors'


def _determinism(module: nn.Module, size: int) -> str:
    image = _image(size, 1)
    with torch.no_grad():
        pairs = zip(module(image), module(image), strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            raise _Failed('two forwards in eval mode differ; no dropout in eval mode')
        both = module(torch.cat([image, _image(size, 1)]))
        for alone, with_another in zip(module(image), both, strict=True):
            if not torch.allclose(alone[0], with_another[0], **_CLOSE):
                raise _Failed(
                    'in eval mode the feature maps of an image depend on the other '
                    'images of its batch'
                )
    return 'the same maps twice, alone and in a batch'


def _dtypes(module: nn.Module, size: int) -> str:
    image = _image(size, 1)
    with torch.no_grad():
        single = module(image)
        double = module.double()(image.double())
        for a, b in zip(single, double, strict=True):
            if b.dtype != torch.float64:
                raise _Failed(
                    f'float64 in gives {b.dtype} out; create tensors with x.dtype'
                )
            error = (a.double() - b).abs().max() / b.abs().max().clamp_min(1e-6)
            if error > 1e-3:
                raise _Failed(f'float32 is {error:.1%} off float64')
        half = module.bfloat16()(image.bfloat16())
        if any(x.dtype != torch.bfloat16 for x in half):
            raise _Failed('bfloat16 in gives another dtype out; use x.dtype')
    return 'float64 and bfloat16'


def _export(module: nn.Module, size: int) -> str:
    try:
        torch.export.export(module, (_image(size, 1),))
    except Exception as error:
        line = (str(error).strip().splitlines() or [''])[0]
        raise _Noted(
            f'torch.export does not take it ({type(error).__name__}: {line[:120]})'
        ) from error
    return 'torch.export takes it'


def _compile(module: nn.Module, size: int) -> str:
    try:
        # No code is generated: what stops a user is what cannot be traced.
        traced = torch.compile(module, backend='eager', fullgraph=True)
        with torch.no_grad():
            traced(_image(size, 1))
    except Exception as error:
        line = (str(error).strip().splitlines() or [''])[0]
        raise _Noted(
            'torch.compile does not take it as one graph '
            f'({type(error).__name__}: {line[:120]})'
        ) from error
    finally:
        torch._dynamo.reset()
    return 'torch.compile takes it as one graph'


def _memory(module: nn.Module, size: int) -> str:
    with torch.no_grad():
        maps = module(_image(size, 1))
    parts = [f'{x.numel() * x.element_size() / 2**20:.2f} MiB' for x in maps]
    raise _Noted(f'{", ".join(parts)} an image of {size}x{size}')


_CHECKS: dict[str, Callable[[nn.Module, int], str]] = {
    'declared spec': _spec,
    'odd sizes and a batch of 1': _odd_sizes,
    'gradients': _gradients,
    'train and eval': _modes,
    'freezing': _freezing,
    'state dict': _state_dict,
    'determinism': _determinism,
    'dtypes': _dtypes,
    'compile': _compile,
    'export': _export,
    'memory': _memory,
}
