"""The ``backbone`` of a model, as it is written."""

from __future__ import annotations

from typing import Any

from plugin.swap.base import Base
from plugin.swap.draft import Draft
from plugin.swap.plan import Plan
from plugin.swap.replacement import Replacement
from plugin.swap.trial import Trial
from plugin.swap.weights import Weights

# Longer addresses go into a variable, so that the entry keeps to its lines.
_INLINE = 40


def entry(
    base: Base,
    new: Replacement,
    weights: Weights,
    plan: Plan,
    trial: Trial | None,
    draft: Draft,
) -> dict[str, Any]:
    """Write the entry into ``draft``, with what must be said of it.

    Args:
        base: The config.
        new: The backbone.
        weights: For it.
        plan: Which maps of it.
        trial: What came of building it; None before that.
        draft: Gets the entry.

    Returns:
        The entry without ``init_cfg``, where that names a variable.
    """
    arguments = {k: v for k, v in new.arguments.items() if not new.is_default(k)}
    reasons = {**weights.reasons, **plan.reasons}
    init = arguments.pop('init_cfg', None)
    arguments.update(weights.arguments)
    if plan.out_indices is not None:
        arguments['out_indices'] = plan.out_indices
    arguments.update(plan.arguments)
    if trial is not None:
        arguments.update(_modes(base, new, weights, trial, reasons))
    found: dict[str, Any] = dict(_delete_=True, type=new.type, **arguments)
    written = dict(found)
    if weights.checkpoint is not None:
        init = dict(type='Pretrained', checkpoint=weights.checkpoint)
        if weights.prefix:
            init['prefix'] = weights.prefix
    if init is not None or 'init_cfg' in new.given:
        found['init_cfg'] = init
        written['init_cfg'] = _short(init, draft)
    place = 'model.backbone'
    if plan.wrapper is not None:
        del written['_delete_']
        written = dict(
            _delete_=True,
            type='plugin.PyramidBackbone',
            backbone=written,
            **plan.wrapper,
        )
        place += '.backbone'
    draft.assign('model.backbone', written, '' if weights.source else weights.advice)
    for argument, why in reasons.items():
        draft.explain(f'{place}.{argument}', why)
    return found


def _modes(
    base: Base,
    new: Replacement,
    weights: Weights,
    trial: Trial,
    reasons: dict[str, str],
) -> dict[str, Any]:
    """Frozen stages and norms in eval mode, as the base has them, where they suit."""
    found: dict[str, Any] = {}
    own = trial.backbone
    takes_norm = 'norm_eval' in new.takes and 'norm_eval' not in new.given
    if new.from_config:
        return found
    if weights.source is None:
        # Random statistics must not be kept, as mmdet's ResNet does by default.
        if takes_norm and getattr(own, 'norm_eval', False):
            found['norm_eval'] = False
            reasons['norm_eval'] = 'Statistics of random weights must not be kept.'
        return found
    theirs = base.backbone_cfg
    resnets = _is_resnet(new.cls) and str(theirs.get('type')).endswith('ResNet')
    if resnets and 'frozen_stages' in theirs and 'frozen_stages' not in new.given:
        found['frozen_stages'] = theirs['frozen_stages']
    wanted = theirs.get('norm_eval')
    if takes_norm and trial.batch_norm and wanted is not None:
        if getattr(own, 'norm_eval', wanted) != wanted:
            found['norm_eval'] = wanted
            few = ': the images of one GPU are few for statistics'
            reasons['norm_eval'] = f'As in the base{few if wanted else ""}.'
    return found


def _is_resnet(cls: type) -> bool:
    """Return whether it counts frozen stages as ResNet does, in every library."""
    return any(base.__name__ == 'ResNet' for base in cls.__mro__)


def _short(init: Any, draft: Draft) -> Any:
    """``init`` with a long address in a variable."""
    checkpoint = init.get('checkpoint') if isinstance(init, dict) else None
    if not isinstance(checkpoint, str) or len(checkpoint) <= _INLINE:
        return init
    return {**init, 'checkpoint': draft.variable('checkpoint', checkpoint)}
