"""All that a config needs to know of a backbone. Imports config and the rooms below.

Measured before a config is written for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugin.decay.layer_depth import layer_depths
from plugin.libraries import SCOPES
from plugin.measure.as_maps import as_maps
from plugin.measure.features import NCHW, feature_spec
from plugin.measure.forward import Maps, MeasuredBackbone, multiply_adds
from plugin.measure.normalization import Normalization, normalization_of
from plugin.probe.arguments import allowed_out_indices, construct, range_of
from plugin.probe.image_size import measured_strides, size_divisor, working_size

__all__ = ['Probe', 'probe']


@dataclass(frozen=True)
class Probe:
    """A measured backbone; maps are shallow first.

    Attributes:
        out_indices: As the backbone resolved them; None if it has none.
        channels: Of each output; None for one that is no tensor.
        strides: Input pixels per map cell; None if the outputs are no maps.
        layout: ``NCHW`` is what necks take.
        params: Elements of all parameters.
        flops: Multiply-adds for one image of ``input`` x ``input``.
        input: Height and width of the image in pixels.
        size_divisor: As in :func:`plugin.probe.image_size.size_divisor`.
        mean: What its pretrained weights want, RGB, 0 to 255; None if not known.
        std: Likewise.
        num_layers: Layers for layer-wise decay; None if they cannot be found.
        frozen_stages: Its present value; None if it can't freeze.
        sizes: Height and width of each map; None if they are not feature maps.
        notes: What keeps a neck from taking the maps, and what fixes it.
    """

    out_indices: tuple[int, ...] | None
    channels: tuple[int | None, ...]
    strides: tuple[int, ...] | None
    layout: str
    params: int
    flops: int
    input: int
    size_divisor: int | None
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    num_layers: int | None
    frozen_stages: int | None
    sizes: tuple[tuple[int, int], ...] | None
    notes: tuple[str, ...]

    def document(self, backbone: str) -> dict[str, Any]:
        """Return what ``probe --json`` prints, for a backbone of this name."""
        fields = (
            *('out_indices', 'channels', 'strides', 'layout', 'params', 'flops'),
            *('input', 'size_divisor', 'mean', 'std', 'num_layers', 'frozen_stages'),
        )
        values = {field: getattr(self, field) for field in fields}
        return json.loads(json.dumps({'backbone': backbone, **values}))


def probe(cfg: Mapping[str, Any], size: int = 224, given: Sequence[str] = ()) -> Probe:
    """Measure a backbone, on the meta device where its class allows it.

    No weights are loaded, whatever ``cfg`` says.

    Args:
        cfg: Of the backbone, as a config has it.
        size: Height and width of the image, in pixels.
        given: Arguments in ``cfg`` that are likelier than others to be wrong.

    Raises:
        ValueError: It can't be built from ``cfg``, or takes no image of this size; the
            message says what to write instead.
    """
    measured = construct(cfg, given)
    flops, found = _first_forward(measured, size)
    backbone = measured.backbone
    _check_number(measured, found, given)
    _check_origin(measured, found)
    normalization = normalization_of(cfg)
    frozen = getattr(backbone, 'frozen_stages', None)
    strides = _strides(measured, found)
    return Probe(
        out_indices=_out_indices(measured),
        channels=found.channels,
        strides=strides,
        layout=found.layout,
        params=sum(p.numel() for p in backbone.parameters()),
        flops=flops,
        input=size,
        size_divisor=size_divisor(measured, found, strides),
        mean=normalization and normalization.mean,
        std=normalization and normalization.std,
        num_layers=_num_layers(backbone),
        frozen_stages=frozen if type(frozen) is int else None,
        sizes=found.sizes,
        notes=tuple(notes(measured, found, normalization)),
    )


def _first_forward(measured: MeasuredBackbone, size: int) -> tuple[int, Maps]:
    try:
        return _counted(measured, size)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [''])[0][:200]
        reason = f'{type(error).__name__}: {reason}'.removesuffix(': ')
        if measured.try_other_channels((size, size)):
            return _counted(measured, size)
        works = working_size(measured, size)
        if works is None:
            raise ValueError(
                f'{measured.name} does not run on images of {measured.in_channels} '
                f'channels, at {size}x{size} or any usual size: {reason}'
            ) from error
        raise ValueError(
            f'{measured.name} takes no image of {size}x{size} ({reason}); {works}x'
            f'{works} works: write --input {works}'
        ) from error


def _counted(measured: MeasuredBackbone, size: int) -> tuple[int, Maps]:
    backbone = measured.backbone
    counted = multiply_adds(lambda: measured.forward((size, size)))
    if measured.backbone is backbone:
        return counted
    # What ran on the meta device before it had to give up was counted as well.
    return multiply_adds(lambda: measured.forward((size, size)))


def _check_number(
    measured: MeasuredBackbone, found: Maps, given: Sequence[str]
) -> None:
    """Check that each index has a map; some classes ignore one that has none."""
    asked = measured.cfg.get(
        'out_indices', getattr(measured.backbone, 'out_indices', ())
    )
    asked = asked if isinstance(asked, Sequence) else [asked]
    wanted = len(asked) if 'out_indices' in given else 1
    if len(found.shapes) < wanted:
        raise ValueError(
            f'{measured.name}: out_indices={tuple(asked)} gives {len(found.shapes)} of '
            f'{len(asked)} feature maps; choose from '
            f'{range_of(allowed_out_indices(measured.cfg))}'
        )


def _check_origin(measured: MeasuredBackbone, found: Maps) -> None:
    """Check that a user's own class is right; the libraries' are as they are."""
    origin = type(measured.backbone).__module__.partition('.')[0]
    if found.bare and origin not in SCOPES:
        raise ValueError(
            f'{measured.name}.forward returned a {found.kind}; a backbone returns '
            'a tuple of maps (N, C, H, W): write `return (x,)` for a single one'
        )


def _strides(measured: MeasuredBackbone, found: Maps) -> tuple[int, ...] | None:
    """Return the strides that the backbone declares, if its maps have them."""
    if not hasattr(measured.backbone, 'feature_spec') or found.layout != NCHW:
        return measured_strides(measured, found)
    declared = feature_spec(measured.backbone)
    sides = [height for height, _ in found.sizes]
    as_declared = len(declared.strides) == len(sides) and all(
        side in (found.size[0] // stride, math.ceil(found.size[0] / stride))
        for side, stride in zip(sides, declared.strides, strict=True)
    )
    if tuple(declared.channels) != found.channels or not as_declared:
        raise ValueError(
            f'{measured.name}.feature_spec() says channels '
            f'{list(declared.channels)} at strides {list(declared.strides)}, but its '
            f'forward gives {list(found.channels)} at {list(found.strides)}; correct '
            'the method, or take it out'
        )
    return tuple(declared.strides)


def _out_indices(measured: MeasuredBackbone) -> tuple[int, ...] | None:
    indices = getattr(measured.backbone, 'out_indices', None)
    if indices is None:
        return None
    indices = [indices] if type(indices) is int else [int(i) for i in indices]
    if min(indices, default=0) < 0:
        # mmseg 1.2.2: BiSeNetV2 and FastSCNN leave them to Python.
        count = len(allowed_out_indices(measured.cfg))
        indices = [i + count if i < 0 else i for i in indices]
    return tuple(indices)


def _num_layers(backbone: Any) -> int | None:
    try:
        return layer_depths(backbone).num_layers
    except ValueError:
        return None


def notes(
    measured: MeasuredBackbone, found: Maps, normalization: Normalization | None
) -> Iterator[str]:
    """Return sentences for people.

    Args:
        measured: The backbone.
        found: What a forward returned.
        normalization: What its pretrained weights want.
    """
    if measured.in_channels != 3:
        yield f'Number of channels of the image: {measured.in_channels}.'
    if found.bare:
        yield (
            f'It returns a single {found.kind}: decode heads of mmseg take that, necks '
            'take a tuple.'
        )
    if found.layout != NCHW:
        yield f'Necks take NCHW, this is {found.layout}{_way_out(measured, found)}'
    elif len(found.strides) > 1 and min(found.strides) == max(found.strides) > 8:
        yield (
            f'Its maps have one stride, {found.strides[0]}: the neck '
            'plugin.SimpleFeaturePyramid makes a pyramid of the last.'
        )
    if normalization is not None and normalization.order == 'BGR':
        yield (
            'Its weights take the channels as BGR: write mean and std the other way '
            'round, and bgr_to_rgb=False.'
        )


def _way_out(measured: MeasuredBackbone, found: Maps) -> str:
    change = as_maps(measured.cfg, found.size)
    if change is None:
        return '.'
    if 'type' in change:
        return f': write timm:{change["model_name"]}, which permutes'
    ((argument, value),) = change.items()
    return f': add --cfg-options {argument}={value}'
