"""Running what is behind the backbones of a config: on maps without values first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from torch import nn

from plugin.config.parts import Part
from plugin.measure.backbone import build
from plugin.measure.backbone_forward import forward_backbone
from plugin.measure.failures import all_modules
from plugin.measure.features import NCHW, layout, spec_of
from plugin.measure.limits import (
    GIB,
    TookTooLong,
    is_out_of_memory,
    memory_limit,
    time_limit,
)
from plugin.measure.part_forwards import PartForwards, run_parts
from plugin.measure.step.model import build_for_real, own_shape, own_size
from plugin.spec import FeatureSpec

if TYPE_CHECKING:
    from plugin.check.checked_config import CheckedConfig


def part_of_module(model: nn.Module, path: str, parts: Sequence[Part]) -> Part | None:
    """Return the innermost part of a config that the module at ``path`` belongs to.

    Most modules are named as the config names them. Others are not: a semi-supervised
    detector builds its ``detector`` twice, as ``student`` and as ``teacher``, and a
    cascade builds one entry several times. There the class decides, and of several
    parts of one class the one with the most similar key.

    Args:
        model: Built from the config.
        path: A name of :func:`~plugin.measure.failures.all_modules`.
        parts: Of the config.

    Returns:
        None if there is no model in the config.
    """
    own = [p for p in parts if re.match(r'model\b', p.key) and _is_module(p)]
    modules = all_modules(model)
    names = path.split('.') if path else []
    for end in range(len(names), -1, -1):
        here = '.'.join(names[:end])
        module = modules.get(here)
        # A layer of torch is of whatever is around it: K-Net's `conv_cfg` names one.
        is_layer = type(module).__module__.startswith('torch.')
        same = [] if is_layer else [p for p in own if p.target is type(module)]
        if same:
            wanted = f'model.{here}'.rstrip('.')
            return max(same, key=lambda p: _likeness(_dotted(p.key), wanted))
        exact = [p for p in own if end and _dotted(p.key) == f'model.{here}']
        if exact:
            return exact[0]
    return next((p for p in own if p.key == 'model'), None)


def modules_of_part(model: nn.Module, part: Part, parts: Sequence[Part]) -> list[str]:
    """Return names of the modules that a part of a config was built into."""
    return [
        name
        for name, module in all_modules(model).items()
        if type(module) is part.target and part_of_module(model, name, parts) is part
    ]


def _is_module(part: Part) -> bool:
    return isinstance(part.target, type) and issubclass(part.target, nn.Module)


def _dotted(key: str) -> str:
    return re.sub(r'\[(\d+)\]', r'.\1', key)


def _likeness(key: str, path: str) -> float:
    return SequenceMatcher(None, key, path).ratio()


_MEMORY, _SECONDS = 6 * GIB, 60.0


def run_behind(checked: CheckedConfig) -> PartForwards:
    """Run necks and heads, and return what came of it.

    A layer that is given other channels than it takes is a fact wherever it is run.
    Any other failure is one only if it happens with values too, on the CPU; there
    runs as well what a neck or a transformer decides by values.

    Args:
        checked: A config whose model can be built.
    """
    specs = _Specs(checked)
    shape = (specs.size, specs.size)
    found = run_parts(checked.built, specs, shape)
    own = own_shape(checked.cfg)
    larger = own_size(checked.cfg) or 0
    if own and found.failure is not None and found.failure.takes is not None:
        # A linear layer behind a pooling of fixed size takes one shape of image.
        shape = own
        found = run_parts(checked.built, specs, shape)
    if _is_doubtful(found) and larger > specs.size:
        # SSD's last maps need an image of its own size.
        shape = (larger, larger)
        found = run_parts(checked.built, specs, shape)
    if not _is_doubtful(found) and not found.wants_values:
        return found
    try:
        with memory_limit(_MEMORY), time_limit(_SECONDS):
            confirmed = run_parts(build_for_real(checked.cfg), specs, shape)
    except (TookTooLong, Exception) as error:
        found.failure, found.reason = None, f'{type(error).__name__}: {error}'
        return found
    failure = confirmed.failure
    if failure is not None and is_out_of_memory(failure.error):
        confirmed.failure = None
        confirmed.reason = f'it takes more than {_MEMORY // GIB} GiB'
    return confirmed


def _is_doubtful(found: PartForwards) -> bool:
    return found.failure is not None and found.failure.takes is None


class _Specs:
    """The feature specs of the backbones of a model, each measured once.

    A second module of one part of the config is left out: what a student takes, its
    teacher takes too.
    """

    def __init__(self, checked: CheckedConfig) -> None:
        self.checked = checked
        self.known: dict[str, FeatureSpec | None] = {}
        self.done: set[str] = set()
        # Other measures of one model share it.
        self.model = checked.built
        self.size = checked.forward.size if checked.forward is not None else 256

    def __call__(self, path: str, backbone: nn.Module) -> FeatureSpec | None:
        if path not in self.known:
            self.known[path] = self._measured(path, backbone)
        return self.known[path]

    def _measured(self, path: str, backbone: nn.Module) -> FeatureSpec | None:
        checked = self.checked
        part = part_of_module(self.model, path, checked.parts)
        if part is None or part.key in self.done:
            return None
        self.done.add(part.key)
        if part.key == checked.backbone_key:
            return checked.spec
        found = forward_backbone(
            backbone,
            lambda: build({**part.cfg, '_scope_': part.scope}),
            [self.size],
            checked.image_channels,
        )
        if found.shapes is None or layout(found.shapes) != NCHW:
            return None
        return spec_of(found.shapes, found.size)
