"""Which maps of the new backbone stand where the base has those of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from plugin.necks.simple_feature_pyramid import SCALES
from plugin.spec import FeatureSpec, type_name
from plugin.swap.base import Base
from plugin.swap.replacement import Offered, Replacement


@dataclass(frozen=True)
class Plan:
    """A way to fit a backbone in.

    Attributes:
        out_indices: Of the new backbone; None if its class has no such argument.
        spec: What it gives there.
        kept: Which of the maps of the base's backbone these replace, in order.
        arguments: What the backbone gets besides.
        reasons: Why, by argument, where that needs saying.
        pyramid: All maps have one stride, and a neck has to make a pyramid of them.
        wrapper: What plugin.PyramidBackbone around it is given, where no neck can:
            ``spec`` is of the pyramid then.
    """

    out_indices: tuple[int, ...] | None
    spec: FeatureSpec
    kept: tuple[int, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    pyramid: bool = False
    wrapper: dict[str, Any] | None = None


def plans(
    base: Base, new: Replacement, out_indices: tuple[int, ...] | None
) -> list[Plan]:
    """Ways to fit a backbone into a base, the one nearest to the base first.

    Args:
        base: The config.
        new: The backbone.
        out_indices: What the user wants; None to choose.

    Raises:
        ValueError: There is none; the message says what is missing.
    """
    if out_indices is None:
        out_indices = new.out_indices
    if out_indices is not None:
        return list(_asked_for(base, new, out_indices))
    offered = new.offered()
    found = list(_of_strides(base, new, offered))
    if not found and offered.flat:
        found = list(_flat(base, offered))
    if not found:
        raise ValueError(_nothing_fits(base, new, offered))
    return found


def _asked_for(
    base: Base, new: Replacement, out_indices: tuple[int, ...]
) -> Iterator[Plan]:
    if 'out_indices' not in new.takes:
        raise ValueError(f'{new.name} takes no out_indices; leave them out')
    spec = new.spec(out_indices)
    everything = tuple(range(len(base.spec.strides)))
    flat = len(set(spec.strides)) == 1
    if (
        flat
        and len(set(base.pyramid)) > 1
        and len(base.used) > 1
        and not (
            base.dilated and len(spec.strides) in (len(everything), len(base.used))
        )
    ):
        yield Plan(out_indices, spec, _for_pyramid(base), pyramid=True)
        yield from _wrapped(base, out_indices, spec)
        return
    for kept in (everything, base.used):
        if len(spec.strides) == len(kept):
            yield Plan(out_indices, spec, kept)
            return
    wanted = _listed(base.pyramid[i] for i in everything)
    raise ValueError(
        f'{base.method} takes {len(everything)} maps, of strides {wanted}; '
        f'out_indices={out_indices} of {new.name} are {len(out_indices)}, of strides '
        f'{_listed(spec.strides)}'
    )


def _of_strides(base: Base, new: Replacement, offered: Offered) -> Iterator[Plan]:
    """All the maps that the base has, then only those that are read."""
    everything = tuple(range(len(base.spec.strides)))
    for kept in dict.fromkeys((everything, base.used)):
        wanted = tuple(base.pyramid[i] for i in kept)
        if offered.indices is None:
            if offered.spec.strides == wanted:
                yield Plan(None, offered.spec, kept)
            continue
        if base.plain:
            if offered.flat and offered.spec.strides[0] == wanted[0]:
                indices = offered.spread(len(kept))
                yield Plan(indices, offered.at(indices), kept)
            continue
        indices = tuple(offered.last_of(stride) for stride in wanted)
        if None in indices:
            continue
        if base.dilated:
            yield from _dilated(base, new, indices, kept)
        yield Plan(indices, offered.at(indices), kept, reasons=_coarser(base, kept))


def _dilated(
    base: Base, new: Replacement, indices: tuple[int, ...], kept: tuple[int, ...]
) -> Iterator[Plan]:
    """With the strides of the base's backbone, where the class can be told to."""
    wanted = tuple(base.spec.strides[i] for i in kept)
    for arguments in _ways_to_dilate(base, new, max(wanted)):
        try:
            spec = new.spec(indices, **arguments)
        except ValueError:
            continue
        if spec.strides == wanted:
            name = type_name(base.backbone_cfg)
            why = f"As the base's {name}: dilated from stride {max(wanted)} on."
            yield Plan(indices, spec, kept, arguments, {next(iter(arguments)): why})


def _ways_to_dilate(
    base: Base, new: Replacement, stride: int
) -> Iterator[dict[str, Any]]:
    dilations = base.backbone_cfg.get('dilations')
    own = new.default('strides')
    if dilations and own and 'dilations' in new.takes and len(own) == len(dilations):
        strides = base.spec.strides
        if len(strides) == len(own):
            # The first stage has a stride of its own, after the stem.
            ratios = (b // a for a, b in zip(strides, strides[1:], strict=False))
            yield dict(strides=(own[0], *ratios), dilations=tuple(dilations))
    if new.is_timm:
        kwargs = {**new.arguments.get('timm_kwargs', {}), 'output_stride': stride}
        yield dict(timm_kwargs=kwargs)


def _flat(base: Base, offered: Offered) -> Iterator[Plan]:
    """Maps of one stride for a base that has several."""
    everything = tuple(range(len(base.spec.strides)))
    indices = offered.indices
    # Dilated or not, a segmentor that reads single maps takes them at any stride.
    if base.reads_any_stride and base.dilated and indices is not None:
        spread = offered.spread(len(everything))
        for kept in dict.fromkeys((everything, base.used)):
            chosen = tuple(spread[i] for i in kept)
            yield Plan(chosen, offered.at(chosen), kept, reasons=_coarser(base, kept))
        return
    if len(base.used) == 1:
        last = indices and indices[-1:]
        yield Plan(last, offered.at(last), base.used)
        return
    count = base.wiring.maps_of_pyramid or len(everything)
    if indices is not None and len(indices) >= count:
        indices = offered.spread(count)
    yield Plan(indices, offered.at(indices), _for_pyramid(base), pyramid=True)
    last = indices and indices[-1:]
    yield from _wrapped(base, last, offered.at(last))


# ViTDet's, where the base's own backbone has wider feature maps than this.
_WIDEST, _OTHERWISE = 1024, 256


def _wrapped(
    base: Base, indices: tuple[int, ...] | None, spec: FeatureSpec
) -> Iterator[Plan]:
    """Yield a pyramid with the strides of the base, in the place of its backbone.

    And with its channels too, where these are not many, so that nothing else changes.
    """
    everything = tuple(range(len(base.spec.strides)))
    for kept in dict.fromkeys((everything, base.used)):
        stride = spec.strides[0]
        scales = tuple(stride / base.pyramid[i] for i in kept)
        if base.reads_any_stride:
            # Of patches of 14 pixels: 7, 14 and 28 for 8, 16 and 32.
            scales = tuple(2.0 ** round(math.log2(scale)) for scale in scales)
        strides = tuple(_number(stride / scale) for scale in scales)
        if not set(scales) <= set(SCALES) or len(spec.channels) not in (1, len(kept)):
            continue
        own = tuple(base.spec.channels[i] for i in kept)
        channels = own if max(own) <= _WIDEST else (_OTHERWISE,) * len(kept)
        same = len(set(channels)) == 1
        wrapper = dict(
            out_channels=channels[0] if same else list(channels),
            scales=tuple(map(_number, scales)),
        )
        yield Plan(indices, FeatureSpec(channels, strides), kept, wrapper=wrapper)


def _number(number: float) -> float:
    """Return a whole number where it is one."""
    return int(number) if number == int(number) else number


def _for_pyramid(base: Base) -> tuple[int, ...]:
    """Which of the base's maps a pyramid of one map, or of as many, stands for."""
    everything = tuple(range(len(base.spec.strides)))
    return everything if base.wiring.maps_of_pyramid is None else base.used


def _coarser(base: Base, kept: tuple[int, ...]) -> dict[str, str]:
    if not base.dilated:
        return {}
    stride = max(base.spec.strides[i] for i in kept)
    why = (
        f"The base's {type_name(base.backbone_cfg)} is dilated from stride {stride} on."
    )
    return dict(out_indices=why)


def _nothing_fits(base: Base, new: Replacement, offered: Offered) -> str:
    wanted = [base.pyramid[i] for i in base.used]
    there = set(offered.spec.strides)
    missing = [stride for stride in wanted if stride not in there]
    message = f'{new.name} gives {offered.describe()}; {base.method} reads maps of '
    if base.plain:
        return (
            f'{message}one stride, {wanted[0]}, as a plain ViT gives them; take a '
            'config of the method that is made for a pyramid'
        )
    message += f'strides {_listed(wanted)}'
    if missing:
        message += f', and there is none of stride {_listed(missing)}'
    if offered.indices is None:
        return f'{message}. Its class takes no out_indices to choose maps by'
    return (
        f'{message}. With --out-indices of your choice the strides of the heads follow'
    )


def _listed(numbers) -> str:
    return ', '.join(map(str, numbers))
