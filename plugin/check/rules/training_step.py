"""Report what a real training step shows: ``check --step``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.structures import BaseDataElement

from plugin.check.checked_config import CheckedConfig
from plugin.check.data_sets import data_sets
from plugin.check.rule import Rule
from plugin.check.running import part_of_module
from plugin.config.problem import ERROR, WARNING, Problem, assign
from plugin.freezing.base_hook import BackboneFreezing
from plugin.measure.failures import Failure, is_of_the_machine
from plugin.measure.limits import (
    GIB,
    TookTooLong,
    is_out_of_memory,
    memory_limit,
    time_limit,
)
from plugin.measure.step.model import own_size
from plugin.measure.step.running import (
    BUILD,
    OPTIMIZER,
    PREDICT,
    Step,
    train_step,
)
from plugin.spec import NoSamples, SampleSpec, dicts

TRAINING = 'the training step'
# Height and width of the images, in pixels: a failure counts if a larger image does not
# help. DINO wants 900 proposals, which 128 pixels do not have.
_SIZES = (128, 224, 448)
# 128 pixels take 1 to 3 GiB.
_MEMORY = 8 * GIB
_SECONDS = 600.0
# What takes longer is announced.
_LONG = 15.0


@dataclass(frozen=True)
class _Tried:
    """The last of the steps that were tried, and the size of its images."""

    step: Step
    size: int


def training_step(checked: CheckedConfig) -> Iterator[Problem]:
    """Train for one step on samples that are made up, and report what that shows."""
    if not checked.model or not checked.scope:
        return
    needed = _weights_in_training(checked)
    if needed > _MEMORY:
        checked.leave(TRAINING, f'its weights alone take {needed / GIB:.0f} GiB')
        return
    try:
        with memory_limit(_MEMORY), time_limit(_SECONDS):
            tried = _tried(checked)
    except NoSamples as error:
        checked.leave(TRAINING, str(error))
        return
    except TookTooLong as error:
        checked.leave(TRAINING, f'it takes {error}')
        return
    step = tried.step
    if step.failure is None:
        yield from _about_maps(checked, step)
        yield from _about_gradients(checked, step)
        return
    reason = _no_mistake(step.failure)
    if reason:
        checked.leave(TRAINING, reason)
    else:
        yield _failed(checked, step.failure, step.stage, tried.size)


def _weights_in_training(checked: CheckedConfig) -> int:
    """Return bytes of the parameters, their gradients and Adam's two averages."""
    if checked.built is None:
        return 0
    return sum(4 * p.numel() * p.element_size() for p in checked.built.parameters())


def _tried(checked: CheckedConfig) -> _Tried:
    """Train for one step, at larger sizes as long as the size may be why it fails."""
    own = own_size(checked.cfg) or _SIZES[-1]
    for size in [*(s for s in _SIZES if s < own), own]:
        spec = SampleSpec((size, size), class_count(checked), checked.image_channels)
        step = train_step(checked.cfg, spec, lambda seconds: _tell(checked, seconds))
        failure = step.failure
        if failure is None or _no_mistake(failure):
            break
        if failure.takes is not None or step.stage in (BUILD, OPTIMIZER):
            break
    return _Tried(step, size)


def _tell(checked: CheckedConfig, seconds: float) -> None:
    if seconds > _LONG:
        checked.tell(f'a training step of this model takes about {seconds:.0f} s')


def class_count(checked: CheckedConfig) -> int:
    """Return how many classes the objects or pixels of the training data have."""
    for data_set in data_sets(checked.cfg, 'train_dataloader'):
        things = data_set.metainfo.get('thing_classes')
        if things and data_set.written is None:
            return len(things)
        if data_set.classes:
            return len(data_set.classes)
    found = (node.get('num_classes') for node in dicts(checked.model))
    return max((n for n in found if type(n) is int and n > 0), default=2)


def _no_mistake(failure: Failure) -> str | None:
    """Return why a failure says nothing about the config; None if it does."""
    error, text = failure.error, failure.text
    if is_out_of_memory(error):
        return f'it takes more than {_MEMORY // GIB} GiB'
    if is_of_the_machine(error):
        return text
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        module = frame.f_globals.get('__name__', '')
        if isinstance(error, NotImplementedError) and module.startswith('mmcv.'):
            return text  # An operator that is not there on the CPU.
        if trace.tb_next is None and isinstance(error, (AttributeError, KeyError)):
            owner = getattr(error, 'obj', None) or frame.f_locals.get('self')
            if isinstance(owner, BaseDataElement):
                return f'its samples lack a field: {text}'
        trace = trace.tb_next
    return None


def _failed(checked: CheckedConfig, failure: Failure, stage: str, size: int) -> Problem:
    if stage == OPTIMIZER:
        key = re.match(r'optim_wrapper[\w.]*|custom_hooks\[\d+\]', str(failure.error))
        key = key.group() if key else 'optim_wrapper'
        found = failure.text.partition(': ')[2] or failure.text
        expected = 'an optimizer of the model'
        return Problem(key, 'training', ERROR, found, expected, unknown=key)
    part = None
    if checked.built is not None:
        part = part_of_module(checked.built, failure.path, checked.parts)
    key = part.key if part else 'model'
    if failure.takes is not None:
        key = f'{key}.in_channels'
        found = f'{failure.takes} channels for {failure.path}'
        expected = f'{failure.given} channels'
        return Problem(key, 'channels', ERROR, found, expected, unknown=key)
    where = f' in {failure.path}' if failure.path else ''
    found = f'{stage} stops{where} at {size} pixels: {failure.text}'
    expected = 'a training step' if stage != PREDICT else 'a prediction'
    return Problem(key, 'training', ERROR, found, expected, unknown=key)


def _about_maps(checked: CheckedConfig, step: Step) -> Iterator[Problem]:
    """Report maps that a neck computes for nothing."""
    for name in dict.fromkeys(name for name, _ in step.unused_maps):
        part = part_of_module(checked.built, name, checked.parts)
        key = part.key if part else f'model.{name}'
        levels = ', '.join(str(i) for n, i in step.unused_maps if n == name)
        yield Problem(
            key,
            'levels',
            ERROR,
            f'map {levels}, which no head uses',
            'maps that are all used',
            unknown=key,
        )


def _about_gradients(checked: CheckedConfig, step: Step) -> Iterator[Problem]:
    if step.frozen_late and not _freezes(checked):
        yield _late(checked, step.frozen_late)
    cfg = checked.cfg
    wrapper = cfg.get('model_wrapper_cfg')
    holder = wrapper if wrapper is not None else cfg
    if not step.unused or holder.get('find_unused_parameters'):
        return
    key = 'find_unused_parameters'
    if wrapper is not None:
        key = f'model_wrapper_cfg.{key}'
    count = len(step.unused)
    yield Problem(
        key,
        'training',
        WARNING,
        f'{count} parameters need a gradient and get none, such as {step.unused[0]}',
        'True, without which training on several GPUs stops',
        assign(key, True),
        safe=True,
    )


def _freezes(checked: CheckedConfig) -> bool:
    hooks = (p.target for p in checked.parts if p.registry == 'HOOKS')
    return any(isinstance(h, type) and issubclass(h, BackboneFreezing) for h in hooks)


def _late(checked: CheckedConfig, names: tuple[str, ...]) -> Problem:
    hooks = list(checked.cfg.get('custom_hooks') or ())
    return Problem(
        f'{checked.backbone_key}.frozen_stages',
        'freeze',
        WARNING,
        f'{len(names)} parameters, such as {names[0]}, which freeze after '
        'DistributedDataParallel has looked: training on several GPUs stops',
        'plugin.FreezeBackboneHook, which freezes them before',
        assign('custom_hooks', [*hooks, dict(type='plugin.FreezeBackboneHook')]),
        safe=True,
    )


RULE = Rule(
    name='training-step',
    finds='What a real training step shows, with `--step`: a loss that fails, '
    'maps of a neck that no head uses, parameters without a gradient, a backbone '
    'that freezes later than DDP looks.',
    why='Training stops at the first batch; or on several GPUs, where one GPU trained'
    ' well.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'custom_imports = dict(\n'
    "    imports=['mmpretrain.models', 'plugin.det'], allow_failed_imports=False\n"
    ')\n'
    'model = dict(\n'
    '    backbone=dict(\n'
    '        _delete_=True,\n'
    "        type='mmpretrain.MobileNetV3',\n"
    "        arch='small',\n"
    '        out_indices=(3, 8, 11),\n'
    '    ),\n'
    '    neck=dict(in_channels=[24, 48, 96], start_level=0),\n'
    ')',
    fix='`find_unused_parameters=True`, and the hook that freezes in time, are safe. '
    'What fails otherwise is quoted, with the part of the config that it belongs '
    'to.',
    look=training_step,
    step=True,
)
