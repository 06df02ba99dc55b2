"""Parameters of a backbone that are frozen for another reason than its stages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def find_fixed(
    backbone: nn.Module, built: frozenset[str], freezes: frozenset[str]
) -> frozenset[str]:
    """Return names of the parameters that unfreezing stages may not touch.

    Outside of the frozen stages these are all that is frozen. Inside, it is what was
    frozen as built, if the class had not frozen anything by then. If it had, the rest
    of the backbone tells: in a ResNet with ``norm_cfg=dict(requires_grad=False)`` every
    norm is frozen, also where stages train. Where no such parameter is outside,
    ``norm_cfg`` decides for norms; for others there is only ``keep_frozen``.

    Args:
        backbone: The backbone.
        built: What was frozen in it before anybody called ``train()``.
        freezes: What its ``frozen_stages`` freezes.
    """
    if not freezes <= built:
        return built
    # A kind is such as the weight of a BatchNorm2d.
    kinds: dict[tuple[type, str], set[str]] = {}
    for prefix, module in backbone.named_modules():
        for name, _ in module.named_parameters(prefix, recurse=False):
            kind = type(module), name.rpartition('.')[2]
            kinds.setdefault(kind, set()).add(name)
    norm_cfg = getattr(backbone, 'norm_cfg', None) or {}
    norms_fixed = not norm_cfg.get('requires_grad', True)
    fixed = set(built - freezes)
    for (cls, _), names in kinds.items():
        outside = names - freezes
        if outside <= built if outside else norms_fixed and issubclass(cls, NORMS):
            fixed |= names & built
    return frozenset(fixed)


def match_names(backbone: nn.Module, parts: Sequence[str], label: str) -> set[str]:
    """Parameter names that hold one of ``parts``; ValueError if one is in none."""
    names = [name for name, _ in backbone.named_parameters()]
    matched = set()
    for part in parts:
        found = {name for name in names if part in name}
        if not found:
            raise ValueError(
                f'keep_frozen={part!r} is part of no parameter name of {label}; such '
                f'names are {", ".join(names[:3])}'
            )
        matched |= found
    return matched


# What a class raises for a number of stages that it does not have.
NO_SUCH_STAGE = (AttributeError, LookupError, AssertionError, RuntimeError)


@dataclass(frozen=True)
class Freeze:
    """Parameters that one ``frozen_stages`` freezes; names count from the backbone.

    Attributes:
        stages: The value.
        params: Parameters that don't train under it and would without.
        in_eval: Modules to be kept in eval mode while training.
    """

    stages: int
    params: frozenset[str]
    in_eval: frozenset[str]


class StageFreezer:
    """Freezes and unfreezes the stages of one backbone.

    Args:
        backbone: Any module with an integer ``frozen_stages``.
        name: Its name in the model, for messages.
        keep_frozen: Parts of parameter names that stay frozen whatever is unfrozen,
            for what :func:`plugin.freezing.frozen_stages.find_fixed` can't tell.

    Attributes:
        configured: What the value that the config gave freezes.
        nothing: The value at which this class freezes nothing.
        fixed: Parameters that are frozen for another reason, and stay so.

    Raises:
        ValueError: The backbone can't freeze, or ``keep_frozen`` matches nothing.
    """

    def __init__(
        self,
        backbone: nn.Module,
        name: str = 'backbone',
        keep_frozen: Sequence[str] = (),
    ) -> None:
        self.backbone = backbone
        self.label = f'{name} ({type(backbone).__name__})'
        stages = getattr(backbone, 'frozen_stages', None)
        if not isinstance(stages, int):
            raise ValueError(
                f'{self.label} cannot freeze stages: its frozen_stages is {stages!r}, '
                'not a number; give the class an attribute frozen_stages that its '
                'train() obeys, or take this hook out of custom_hooks'
            )
        self._modules = dict(backbone.named_modules())
        self._params = dict(backbone.named_parameters())
        built = frozenset(n for n, p in self._params.items() if not p.requires_grad)
        self.fixed: frozenset[str] = frozenset()
        self._freezing = self._find_freezing(stages, built)
        freezes = self._try(stages).params
        kept = match_names(backbone, keep_frozen, self.label) & (built | freezes)
        self.fixed = find_fixed(backbone, built, freezes) | kept
        self.configured = self._try(stages)
        self._touched = self.configured.params
        self.nothing = self._find_nothing() if self.configured.params else stages

    def at(self, stages: int) -> Freeze:
        """What ``frozen_stages=stages`` freezes.

        Raises:
            ValueError: The class does not take this value.
        """
        try:
            return self._try(stages)
        except NO_SUCH_STAGE as error:
            raise ValueError(
                f'{self.label} does not take frozen_stages={stages} ({error}); write a '
                f'number of stages that it has, or {self.nothing} to freeze nothing'
            ) from None

    def params(self, names: frozenset[str]) -> list[nn.Parameter]:
        """Return the parameters of these names, in the order of the backbone."""
        return [param for name, param in self._params.items() if name in names]

    def apply(self, freeze: Freeze) -> None:
        """Make the backbone freeze this from now on, in its present mode."""
        self.backbone.frozen_stages = freeze.stages
        self._touched |= freeze.params
        for name in self._touched:
            self._params[name].requires_grad_(name not in freeze.params)
        # The class itself knows which modules the new value leaves in eval mode.
        self.backbone.train(self.backbone.training)
        self.hold(freeze)

    def hold(self, freeze: Freeze) -> None:
        """Put in eval mode what ``model.train()`` has taken out of it wrongly."""
        if freeze.params:
            for name in freeze.in_eval:
                self._modules[name].training = False

    def describe(self, names: frozenset[str]) -> str:
        """Size of these parameters, and the largest modules that hold nothing else."""
        whole, rest = [], set(names)
        for prefix in self._modules:
            inside = _below(prefix, self._params) - self.fixed
            if inside and inside <= rest:
                whole.append(prefix or 'all of it')
                rest -= inside
        millions = sum(param.numel() for param in self.params(names)) / 1e6
        parts = ', '.join([*whole, *sorted(rest)])
        return f'{len(names)} tensors, {millions:.2f} M parameters ({parts})'

    def _try(self, stages: int) -> Freeze:
        with self._put_back():
            for param in self._params.values():
                param.requires_grad_(param.is_floating_point())
            for module in self._modules.values():
                module.training = True
            self.backbone.frozen_stages = stages
            self._freezing(stages)
            frozen = {n for n, p in self._params.items() if not p.requires_grad}
            in_eval = {n for n, m in self._modules.items() if not m.training}
        # Statistics belong to the frozen weights: mmdet's MobileNetV2 freezes those of
        # its first norm and leaves the norm itself in training mode.
        for name, module in self._modules.items():
            if isinstance(module, _NormBase):
                own = _below(name, self._params)
                if own and own <= frozen:
                    in_eval.add(name)
        return Freeze(stages, frozenset(frozen - self.fixed), frozenset(in_eval))

    @contextmanager
    def _put_back(self) -> Iterator[None]:
        stages = self.backbone.frozen_stages
        trains = {param: param.requires_grad for param in self._params.values()}
        modes = {module: module.training for module in self._modules.values()}
        try:
            yield
        finally:
            self.backbone.frozen_stages = stages
            for param, flag in trains.items():
                param.requires_grad_(flag)
            for module, mode in modes.items():
                module.training = mode

    def _find_freezing(
        self, stages: int, built: frozenset[str]
    ) -> Callable[[int], None]:
        """Return how this class freezes: a function that does it for one value."""

        def by_train(value: int) -> None:
            self.backbone.train(True)

        self._freezing = by_train
        if self._try(stages).params:
            return by_train

        method = getattr(self.backbone, '_freeze_stages', None)
        if callable(method):
            # mmpretrain's ViT calls it only above 0, and the method does not look.
            self._freezing = lambda value: method()
            looks = not self._try(-1).params

            def by_method(value: int) -> None:
                if looks or value > 0:
                    method()

            self._freezing = by_method
            frozen = self._try(stages).params
            return by_method if frozen and frozen <= built else by_train

        if not built or stages < 0:
            return by_train
        modules = [
            module
            for name, module in self._modules.items()
            if (own := _below(name, self._params)) and own <= built
        ]

        def as_built(value: int) -> None:
            if value == stages:
                for param in self.params(built):
                    param.requires_grad_(False)
                for module in modules:
                    module.eval()
            elif value >= 0:
                raise ValueError(
                    f'{self.label} froze {stages} stages in its constructor and has no '
                    f'way to freeze {value}; call the freezing code from its train(), '
                    'or unfreeze all at once'
                )

        return as_built

    def _find_nothing(self) -> int:
        candidates = [-1, 0]
        for cls in type(self.backbone).__mro__:
            own = inspect.signature(cls).parameters.get('frozen_stages')
            if own is not None and isinstance(own.default, int):
                candidates.insert(0, own.default)
                break
        for stages in candidates:
            try:
                if not self._try(stages).params:
                    return stages
            except (*NO_SUCH_STAGE, ValueError):
                continue
        raise ValueError(
            f'{self.label} freezes something at each frozen_stages of {candidates}, so '
            'it cannot be unfrozen; let its train() freeze nothing at -1'
        )


def _below(prefix: str, params: dict[str, nn.Parameter]) -> set[str]:
    return {name for name in params if not prefix or name.startswith(f'{prefix}.')}
