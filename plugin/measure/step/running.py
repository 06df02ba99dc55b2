"""Loss, backward, one step of the optimizer, and a prediction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import FUNCTIONS, DefaultScope
from torch import nn
from torch.optim import Optimizer

from plugin.freezing.optimizer_groups import optimizers
from plugin.libraries import wiring
from plugin.measure.failures import Failure, channels_compared, failure_of
from plugin.measure.optimizer import build_optimizer, resolve
from plugin.measure.step.model import build_for_real
from plugin.measure.step.neck_maps import Unused, unused_maps
from plugin.spec import NoSamples, SampleSpec


def batch(cfg: Config, spec: SampleSpec, loader: str = 'train_dataloader') -> Any:
    """Two samples for the model of ``cfg``, collated as its data loader does it.

    Args:
        cfg: With its ``default_scope``, whose library makes the samples.
        spec: What the samples are.
        loader: Whose ``collate_fn`` is used.

    Raises:
        NoSamples: None are made for this library, or for this model.
    """
    library = wiring(cfg.get('default_scope'))
    samples = library and library.samples(cfg, spec)
    if not samples:
        raise NoSamples(f'default_scope={cfg.get("default_scope")!r} has no samples')
    return _collate(cfg, loader)(samples)


def _collate(cfg: Config, loader: str) -> Callable:
    written = (cfg.get(loader) or {}).get('collate_fn')
    # As mmengine's Runner.build_dataloader does it.
    entry = deepcopy(dict(written or dict(type='pseudo_collate')))
    type_ = entry.pop('type')
    # Functions are registered beside the data sets, which the runner builds before.
    import_module(f'{cfg.default_scope}.datasets')
    function = resolve(FUNCTIONS, type_)
    if function is None:
        raise NoSamples(f'{loader}.collate_fn={type_!r} is not registered')
    return partial(function, **entry)


BUILD, LOSS, BACKWARD, OPTIMIZER, PREDICT = STAGES = (
    'building the model',
    'the loss',
    'the backward pass',
    'the optimizer',
    'a prediction',
)

# As a warm-up begins: at its full rate one step can take random weights to infinity.
_SMALL_RATE = 1e-3


@dataclass(frozen=True)
class Step:
    """The result of a training step.

    Attributes:
        failure: What stopped it; None if it ran to the end.
        stage: One of ``STAGES``, in which it stopped.
        unused: Names of the parameters that need a gradient and got none, in two
            batches.
        frozen_late: Names of those that need a gradient when the model is built, when
            DistributedDataParallel looks, and none once ``train()`` was called.
        unused_maps: Name of a neck and index of each of its maps that nothing used, in
            two batches.
        seconds: How long it took.
    """

    failure: Failure | None = None
    stage: str | None = None
    unused: tuple[str, ...] = ()
    frozen_late: tuple[str, ...] = ()
    unused_maps: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0


class _Stopped(Exception):
    def __init__(self, failure: Failure, stage: str) -> None:
        self.failure, self.stage = failure, stage


def train_step(
    cfg: Config, spec: SampleSpec, tell: Callable[[float], None] | None = None
) -> Step:
    """Train the model of ``cfg`` for one step on the CPU, then let it predict.

    Args:
        cfg: With its imports done.
        spec: What the samples are.
        tell: Called with the seconds that all of it is going to take, as soon as that
            is known.

    Raises:
        NoSamples: No samples are made for this kind of model.
    """
    begin = time.perf_counter()
    scope = cfg.get('default_scope') or 'mmengine'
    with (
        torch.random.fork_rng(devices=[]),
        DefaultScope.overwrite_default_scope(scope),
        channels_compared(),
    ):
        torch.manual_seed(spec.seed)
        try:
            step = _step(cfg, spec, tell)
        except _Stopped as stopped:
            step = Step(failure=stopped.failure, stage=stopped.stage)
    return replace(step, seconds=time.perf_counter() - begin)


def _step(cfg: Config, spec: SampleSpec, tell: Callable[[float], None] | None) -> Step:
    data = batch(cfg, spec)
    begin = time.perf_counter()
    try:
        model = build_for_real(cfg, spec.size[0])
    except Exception as error:
        raise _Stopped(Failure(error, ''), BUILD) from error
    built = time.perf_counter() - begin
    wanted_at_first = _wanted(model)
    late: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    maps: Unused = set()
    if cfg.get('optim_wrapper') is not None:
        with _stage(model, OPTIMIZER):
            wrapper = build_optimizer(cfg, model).wrapper
        for optimizer in optimizers(wrapper):
            for group in optimizer.param_groups:
                group['lr'] *= _SMALL_RATE
        model.train()
        wanted = _wanted(model)
        late = tuple(name for name in wanted_at_first if name not in wanted)
        _set_progress(cfg)
        with _reported(model, built, tell):
            missing, maps = _one_step(model, data, wrapper, wanted)
        if missing or maps:
            # One batch may by chance have nothing for a part of the model.
            if tell:
                tell(built + 2 * (time.perf_counter() - begin - built))
            again = batch(cfg, replace(spec, seed=spec.seed + 1))
            also, maps_also = _one_step(model, again, wrapper, wanted)
            missing, maps = missing & also, maps & maps_also
        unused = tuple(name for name in wanted if name in missing)
    _predict(cfg, spec, model)
    return Step(unused=unused, frozen_late=late, unused_maps=tuple(sorted(maps)))


def _wanted(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _set_progress(cfg: Config) -> None:
    """Set what models read from the runner: some assign by the epoch, for example."""
    loop = cfg.get('train_cfg') or {}
    hub = MessageHub.get_current_instance()
    for name, value in (
        ('loop_stage', 'train'),
        ('epoch', 0),
        ('iter', 0),
        ('max_epochs', loop.get('max_epochs') or 1),
        ('max_iters', loop.get('max_iters') or 1),
    ):
        hub.update_info(name, value)


def _one_step(
    model: nn.Module,
    data: object,
    wrapper: OptimWrapper | OptimWrapperDict,
    wanted: Mapping[str, nn.Parameter],
) -> tuple[set[str], Unused]:
    """Train on one batch; the parameters and the maps that got no gradient."""
    missing = set(wanted)
    handles = [
        param.register_post_accumulate_grad_hook(
            lambda _, name=name: missing.discard(name)
        )
        for name, param in wanted.items()
    ]
    try:
        with _stage(model, LOSS), unused_maps(model) as maps:
            model.train_step(data, wrapper)
            if any(param.grad is not None for param in wanted.values()):
                # It accumulates gradients over several batches.
                for one in _wrappers(wrapper):
                    one.step()
                    one.zero_grad()
    finally:
        for handle in handles:
            handle.remove()
    return missing, maps


def _wrappers(wrapper: OptimWrapper | OptimWrapperDict) -> list[OptimWrapper]:
    return (
        list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    )


def _predict(cfg: Config, spec: SampleSpec, model: nn.Module) -> None:
    if cfg.get('test_dataloader') is None and cfg.get('val_dataloader') is None:
        return
    loader = 'test_dataloader' if cfg.get('test_dataloader') else 'val_dataloader'
    data = batch(cfg, replace(spec, training=False), loader)
    model.eval()
    with torch.no_grad(), _stage(model, PREDICT):
        model.test_step(data)


@contextmanager
def _stage(model: nn.Module, stage: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _Stopped(failure_of(error, model), _stage_of(error, stage)) from error


def _stage_of(error: BaseException, stage: str) -> str:
    """``stage``, or what an optimizer was doing in it."""
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get('self')
        if isinstance(owner, Optimizer):
            return OPTIMIZER
        if isinstance(owner, (OptimWrapper, OptimWrapperDict)):
            name = trace.tb_frame.f_code.co_name
            stage = BACKWARD if name == 'backward' else OPTIMIZER
        trace = trace.tb_next
    return stage


@contextmanager
def _reported(
    model: nn.Module, built: float, tell: Callable[[float], None] | None
) -> Iterator[None]:
    """Tell after the first forward how long all of it will take."""
    begin = time.perf_counter()

    def after_forward(*_: object) -> None:
        handle.remove()
        # A backward pass takes twice as long, and a prediction follows.
        tell(built + 4 * (time.perf_counter() - begin))

    handle = model.register_forward_hook(after_forward) if tell else None
    try:
        yield
    finally:
        if handle:
            handle.remove()
