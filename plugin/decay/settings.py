"""The settings of layer decay, and what is wrong with them.

The constructor refuses what is reported here; ``check`` reports it before that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.decay.layer_depth import DECAY_TYPES, LAYER_WISE, STAGE_WISE
from plugin.decay.multipliers import MMENGINE_KEYS, unknown_key
from plugin.nearest import CLOSE, is_typo, nearest

RATES = ('decay_rate', 'layer_decay_rate')
OWN_KEYS = (*RATES, 'decay_type', 'num_layers')
ALLOWED = (*OWN_KEYS, *MMENGINE_KEYS)
# What the ConvNeXt and BEiT configs of the libraries lie around.
_RATE, _LR = 0.9, 1e-4


@dataclass(frozen=True)
class Mistake:
    """One setting that layer decay does not take.

    Attributes:
        key: Where it is in ``optim_wrapper``, such as ``paramwise_cfg.decay_rate``.
        found: What is there, in words.
        expected: What belongs there, in words.
        message: Both, and what to write.
        dropped: Keys in ``optim_wrapper`` to be taken out.
        written: Keys in ``optim_wrapper``, and what to write there.
        safe: Whether that can only be what was meant.
    """

    key: str
    found: str
    expected: str
    message: str
    dropped: tuple[str, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)
    safe: bool = False


def mistakes(
    paramwise_cfg: Mapping[str, Any], optimizer_cfg: Mapping[str, Any], owner: str
) -> Iterator[Mistake]:
    """Yield what is wrong, as far as that can be seen without the model.

    Args:
        paramwise_cfg: As :class:`~plugin.decay.constructor
            .LayerDecayOptimWrapperConstructor` takes it.
        optimizer_cfg: ``optimizer`` of ``optim_wrapper``.
        owner: Name of the constructor, for the messages.
    """
    yield from _keys(paramwise_cfg, owner)
    yield from _rates(paramwise_cfg, owner)
    given = paramwise_cfg.get('decay_type', LAYER_WISE)
    if given not in DECAY_TYPES:
        key = 'paramwise_cfg.decay_type'
        yield Mistake(
            key,
            repr(given),
            ' or '.join(DECAY_TYPES),
            f"decay_type={given!r} must be 'layer_wise' (a rate for each block) or "
            "'stage_wise' (a rate for each stage)",
            written={key: STAGE_WISE if 'stage' in str(given) else LAYER_WISE},
        )
    if optimizer_cfg.get('lr') is None:
        yield Mistake(
            'optimizer.lr',
            'nothing',
            'a learning rate',
            f'{owner} multiplies the learning rate, but optim_wrapper.optimizer has '
            'none; write one, such as optimizer=dict(type=..., lr=1e-4)',
            written={'optimizer.lr': _LR},
        )
    if 'batch_size_per_gpu' in optimizer_cfg:
        key = 'optimizer.batch_size_per_gpu'
        yield Mistake(
            key,
            f'{optimizer_cfg["batch_size_per_gpu"]}, for the YOLOv5 constructor alone',
            'nothing',
            f'{key} is for the YOLOv5 constructor of mmyolo only, and no optimizer '
            f'takes it; with {owner} write '
            'optimizer=dict(_delete_=True, type=..., lr=..., weight_decay=...)',
            dropped=(key,),
            safe=True,
        )


def _keys(cfg: Mapping[str, Any], owner: str) -> Iterator[Mistake]:
    for name in cfg:
        if name in ALLOWED:
            continue
        free = [key for key in ALLOWED if key not in cfg]
        near = nearest(str(name), free, count=1, at_least=CLOSE)
        yield Mistake(
            f'paramwise_cfg.{name}',
            name,
            near[0] if near else f'one of {", ".join(ALLOWED)}',
            unknown_key(name, ALLOWED, owner),
            (f'paramwise_cfg.{name}',),
            {f'paramwise_cfg.{key}': cfg[name] for key in near},
            is_typo(name, near),
        )


def _rates(cfg: Mapping[str, Any], owner: str) -> Iterator[Mistake]:
    given = {key: cfg[key] for key in RATES if cfg.get(key) is not None}
    unknown = [key for key in cfg if key not in ALLOWED]
    meant = [key for key in unknown if nearest(str(key), RATES, 1, at_least=CLOSE)]
    expected = f'a number above 0 and up to 1, such as {_RATE}'
    if not given and not meant:
        key = 'paramwise_cfg.decay_rate'
        yield Mistake(
            key,
            'nothing',
            expected,
            f'{owner} needs a decay rate; write paramwise_cfg=dict(decay_rate={_RATE})',
            written={key: _RATE},
        )
    for name, rate in given.items():
        if not isinstance(rate, (int, float)) or rate is True or not 0 < rate <= 1:
            key = f'paramwise_cfg.{name}'
            yield Mistake(
                key,
                repr(rate),
                expected,
                f'{name}={rate!r} must be {expected}; 1.0 is the same rate everywhere',
                written={key: _RATE},
            )
            return
    if len(set(given.values())) > 1:
        one, other = (f'{name}={given[name]!r}' for name in RATES)
        key = 'paramwise_cfg.layer_decay_rate'
        yield Mistake(
            key,
            f'{given["layer_decay_rate"]!r}, and {one}',
            'one of them',
            f'{one} and {other} mean the same thing; keep one of them',
            dropped=(key,),
        )
