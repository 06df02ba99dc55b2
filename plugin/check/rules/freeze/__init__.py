"""Frozen stages, and the hooks that unfreeze them."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.check.checked_config import CheckedConfig
from plugin.check.frozen import freezer_of, unfrozen
from plugin.check.rule import Rule
from plugin.check.rules.freeze.hooks import FreezingHook, freezing_hooks
from plugin.check.rules.freeze.times import bad_arguments, bad_times, schedule_of
from plugin.check.weight_sources import fills_backbone, weight_sources
from plugin.config.problem import ERROR, WARNING, Problem, assign, both, delete
from plugin.freezing.find_backbone import find_backbone
from plugin.freezing.frozen_stages import NO_SUCH_STAGE, StageFreezer
from plugin.freezing.schedule import plan_phases

_ABLE = 'plugin.ConvNeXt, plugin.TIMMBackbone, mmdet.ResNet or mmdet.SwinTransformer'


def freeze(checked: CheckedConfig) -> Iterator[Problem]:
    """Look at the hooks of ours one by one, and at what stays frozen in the end."""
    schedule = schedule_of(checked)
    if schedule is None:
        return
    held: dict[int, str] = {}
    stays: frozenset[str] | None = None
    sound = True
    for hook in freezing_hooks(checked):
        if hook.built is None:
            problem = bad_arguments(hook, schedule)
        else:
            problem = bad_times(hook, schedule)
        if problem is None:
            problem, stays_now = _on_backbone(checked, hook, held)
            stays = stays if stays_now is None else stays_now
        if problem is not None:
            sound = False
            yield problem
    if sound:
        yield from _for_good(checked, stays)


def _on_backbone(
    checked: CheckedConfig, hook: FreezingHook, held: dict[int, str]
) -> tuple[Problem | None, frozenset[str] | None]:
    """Return the problem of ``hook`` with its backbone, or what it leaves frozen.

    Args:
        checked: The config.
        hook: One of its hooks.
        held: Keys of the hooks before it, by the identity of the backbone they hold.
    """
    if hook.is_another:
        return Problem(
            hook.key,
            'freeze',
            WARNING,
            f'{hook.name} of {hook.cls.__module__}, which leaves frozen_stages as it '
            'is: mmengine calls model.train() after it, and that freezes again',
            f'plugin.{hook.name}',
            assign(f'{hook.key}.type', f'plugin.{hook.name}'),
            safe=True,
        ), None
    ours = hook.built
    name, module = 'backbone', checked.backbone
    if ours.backbone is not None or checked.backbone_key != 'model.backbone':
        if checked.built is None:
            return None, None
        try:
            name, module = find_backbone(checked.built, ours.backbone)
        except ValueError as error:
            fix = delete(f'{hook.key}.backbone' if ours.backbone else hook.key)
            return Problem(
                hook.key, 'freeze', ERROR, str(error), 'the name of a backbone', fix
            ), None
    if module is None:
        return None, None
    if id(module) in held:
        found = f'{hook.name} on the backbone that {held[id(module)]} already holds'
        expected = 'one hook, with all its milestones'
        return Problem(
            hook.key, 'freeze', ERROR, found, expected, delete(hook.key)
        ), None
    held[id(module)] = hook.key
    if not isinstance(getattr(module, 'frozen_stages', None), int):
        name = type(module).__name__
        found = f'{name} has no frozen_stages, so nothing can be unfrozen'
        expected = f'a backbone that can freeze, such as {_ABLE}'
        return Problem(
            hook.key, 'freeze', ERROR, found, expected, delete(hook.key)
        ), None
    try:
        freezer = StageFreezer(module, name, ours.keep_frozen)
    except NO_SUCH_STAGE:
        return None, None  # Its own frozen_stages is wrong.
    except ValueError as error:
        key = f'{hook.key}.keep_frozen' if ours.keep_frozen else hook.key
        expected = 'parts of names of frozen parameters'
        return Problem(key, 'freeze', ERROR, str(error), expected, delete(key)), None
    return _plan(checked, hook, freezer)


def _plan(
    checked: CheckedConfig, hook: FreezingHook, freezer: StageFreezer
) -> tuple[Problem | None, frozenset[str] | None]:
    ours = hook.built
    first = freezer.configured
    if ours.frozen_stages is not None:
        key = f'{hook.key}.frozen_stages'
        try:
            first = freezer.at(ours.frozen_stages)
        except ValueError as error:
            expected = 'a number of stages that the backbone has'
            return Problem(
                key, 'freeze', ERROR, str(error), expected, assign(key, 1)
            ), None
    else:
        key = f'{checked.backbone_key}.frozen_stages'
    if not first.params:
        fix = assign(key, 1) if _freezes_one(freezer) else delete(hook.key)
        return Problem(
            hook.key,
            'freeze',
            WARNING,
            f'{hook.name}, but frozen_stages={first.stages} freezes nothing',
            f'{key} above {freezer.nothing}, or no such hook',
            fix,
        ), None
    try:
        phases = plan_phases(freezer, first, ours.milestones, ours.unit)
    except ValueError as error:
        fix = both(
            [
                delete(f'{hook.key}.milestones'),
                assign(f'{hook.key}.{hook.time}', ours.milestones[0][0]),
            ]
        )
        expected = 'fewer stages at each milestone than at the one before'
        return Problem(
            f'{hook.key}.milestones', 'freeze', ERROR, str(error), expected, fix
        ), None
    return None, phases[-1].freeze.params


def _freezes_one(freezer: StageFreezer) -> bool:
    try:
        return bool(freezer.at(1).params)
    except ValueError:
        return False


def _for_good(
    checked: CheckedConfig, stays: frozenset[str] | None
) -> Iterator[Problem]:
    """Report frozen parameters that never train: random ones, or all of them.

    Args:
        checked: The config.
        stays: What the hooks leave frozen; None without hooks.
    """
    freezer = freezer_of(checked)
    if freezer is None or checked.wiring is None:
        return
    frozen = freezer.configured.params if stays is None else stays
    if not frozen:
        return
    key = f'{checked.backbone_key}.frozen_stages'
    count = f'{len(frozen)} parameters frozen for the whole training'
    fills = [o for o in weight_sources(checked) if fills_backbone(checked, o)]
    if not fills:
        hooks = [delete(hook.key) for hook in reversed(list(freezing_hooks(checked)))]
        yield Problem(
            key,
            'freeze',
            ERROR if 'frozen_stages' in checked.backbone_cfg or hooks else WARNING,
            f'{count}, with the random values that nothing replaces',
            f'{freezer.nothing}, or pretrained weights',
            both([*hooks, *unfrozen(checked)] or [assign(key, freezer.nothing)]),
            # As in mmpretrain's PoolFormer, whose default freezes the stem.
        )
        return
    # On few images, a trained detector may well keep all of its backbone.
    only_backbone = all(o.target == checked.backbone_key for o in fills)
    whole = len(frozen) == sum(1 for _ in checked.backbone.parameters())
    if whole and only_backbone and not checked.wiring.classifies:
        yield Problem(
            key,
            'freeze',
            WARNING,
            f'{count}, which is the whole backbone',
            'fewer stages, or a hook that unfreezes them',
            assign(key, 1 if _freezes_one(freezer) else freezer.nothing),
        )


RULE = Rule(
    name='freeze',
    finds='A hook that freezes or unfreezes in the wrong kind of loop, past the end, or'
    ' on a backbone that cannot; and frozen parameters that nothing trains '
    'later.',
    why='Nothing fails: the backbone stays frozen for the whole training, or never is.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
    "custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', "
    'unfreeze_epoch=12)]',
    fix='Write a time within the training, or take the hook out. When to unfreeze is '
    'your choice, so these are unsafe. Safe: our hook in the place of another that '
    'mmengine undoes.',
    look=freeze,
)
