"""What a backbone's entry says about pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.swapping.known_weights import Known, known_weights
from plugin.swapping.replacement import Replacement

# What a user gives who has weights already, or wants none.
_SAYS = {'init_cfg', 'pretrained', 'checkpoint_path'}


@dataclass(frozen=True)
class Weights:
    """Where a backbone's first values come from.

    Attributes:
        source: In words; None for random ones.
        arguments: Of the backbone.
        checkpoint: A file's address, to be named in ``init_cfg``.
        prefix: Of the backbone's weights in that file.
        reasons: What to say above an argument.
        advice: What to say of random weights.
    """

    source: str | None
    arguments: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    prefix: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    advice: str = ''


def weights_of(new: Replacement) -> Weights:
    """The weights for ``new``: those that were asked for, else the known ones."""
    arguments = new.arguments
    if new.given & _SAYS or (new.from_config and arguments.get('init_cfg')):
        source = _named(arguments)
        return Weights(source, advice='' if source or new.is_timm else _ADVICE)
    if new.is_timm:
        return _of_timm(arguments['model_name'])
    known = known_weights(new)
    if known is None:
        return Weights(None, advice=_ADVICE)
    return _of_file(known)


_ADVICE = (
    'Random weights. For pretrained ones: '
    "init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')."
)


def _named(arguments: Mapping[str, Any]) -> str | None:
    """What the arguments themselves load."""
    inits = arguments.get('init_cfg') or []
    for init in [inits] if isinstance(inits, Mapping) else inits:
        if init.get('checkpoint'):
            return init['checkpoint']
    if arguments.get('checkpoint_path'):
        return arguments['checkpoint_path']
    if arguments.get('pretrained'):
        pretrained = arguments['pretrained']
        return pretrained if isinstance(pretrained, str) else "timm's"
    return None


def _of_timm(model_name: str) -> Weights:
    from timm.models import get_pretrained_cfg

    try:
        found = get_pretrained_cfg(model_name)
    except RuntimeError:
        found = None
    if found is None or not found.has_weights:
        return Weights(
            None,
            dict(pretrained=False),
            reasons=dict(pretrained=f'timm has no weights for {model_name}.'),
        )
    arch, _, tag = model_name.partition('.')
    reasons = {}
    if not tag and found.tag:
        model_name = f'{arch}.{found.tag}'
        reasons['model_name'] = 'With its tag: what a bare name loads may change.'
    return Weights(
        f'{model_name} of timm',
        dict(model_name=model_name, pretrained=True),
        reasons=reasons,
    )


def _of_file(known: Known) -> Weights:
    return Weights(
        known.checkpoint,
        dict(known.arguments),
        known.checkpoint,
        known.prefix,
        dict(known.reasons),
    )
