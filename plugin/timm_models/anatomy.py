"""The anatomy of a timm model, found out on a copy of it that has no memory.

timm cuts models apart in four ways (FeatureListNet, FeatureHookNet, FeatureGetterNet
and classes of its own for EfficientNet, MobileNetV3 and HRNet), each with parameter
names of its own. Which parameters a map depends on, and which sizes of image a model
takes, is written nowhere. Both are read off a forward on the meta device, where only
shapes are computed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from plugin.spec import FeatureSpec, resolve_out_indices
from plugin.timm_models.create import ANY_SIZE, create
from plugin.timm_models.meta_device import ShapesAtOnce

PATCH = 16
"""Side in pixels of the patches that others are resampled to."""


@dataclass(frozen=True)
class Anatomy:
    """The facts about a timm model that are needed before it is built.

    Attributes:
        kwargs: Arguments for ``timm.create_model``, with those for any image size.
        out_indices: Resolved, ascending.
        spec: Channels and strides of these maps.
        num_stages: Entries of the model's feature list.
        stage_of: By parameter name, 0 for the stem and i for entry i - 1 of the feature
            list, the first that depends on it. A parameter on which no map in
            ``out_indices`` depends is missing.
        divisor: H and W of the image must be multiples of these two.
        fixed_size: H and W of the only size that the model takes, or None.
        resampled_from: Side in pixels of the model's own patches, where these were
            resampled to another one so that strides are powers of two; else None.
    """

    kwargs: dict[str, Any]
    out_indices: tuple[int, ...]
    spec: FeatureSpec
    num_stages: int
    stage_of: dict[str, int]
    divisor: tuple[int, int]
    fixed_size: tuple[int, int] | None
    resampled_from: int | None = None


def dissect(
    model_name: str,
    kwargs: Mapping[str, Any],
    out_indices: int | Sequence[int] | None,
) -> Anatomy:
    """Find out the anatomy of a timm model, once a process for each set of arguments.

    Args:
        model_name: A name in timm's registry.
        kwargs: Arguments of ``timm.create_model`` that the user gave.
        out_indices: As in timm: entries of the feature list, a number for the last so
            many, None for the model's own default.

    Raises:
        ValueError: ``kwargs`` or ``out_indices`` do not suit the model, or its maps are
            not of the size that their strides mean.
    """
    try:
        key = (_entrypoint(model_name), model_name, _key(kwargs), _key(out_indices))
        known = _KNOWN.get(key)
    except TypeError:  # An argument that has no hash is looked at every time.
        key = known = None
    if known is None:
        known = _from_a_forward(model_name, kwargs, out_indices)
        if key is not None:
            _KNOWN[key] = known
    # The caller's own, to keep and to change.
    return replace(known, kwargs=dict(known.kwargs), stage_of=dict(known.stage_of))


# A forward takes as long as timm takes to build the model. What comes out depends on
# nothing else than these arguments and the function that timm builds by.
_KNOWN: dict[Hashable, Anatomy] = {}


def _entrypoint(model_name: str) -> Hashable:
    from timm.models import is_model, model_entrypoint

    arch = model_name.partition('.')[0]
    return model_entrypoint(arch) if is_model(arch) else None


def _key(value: object) -> Hashable:
    """Return what tells arguments apart, with their types: 1 is not True."""
    if isinstance(value, Mapping):
        return type(value), tuple((name, _key(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(_key, value))
    hash(value)
    return type(value), value


def _from_a_forward(
    model_name: str,
    kwargs: Mapping[str, Any],
    out_indices: int | Sequence[int] | None,
) -> Anatomy:
    # The caller may build a model for inference only; the graph is wanted here anyway.
    with torch.inference_mode(False), torch.enable_grad():
        try:
            with torch.device('meta'), ShapesAtOnce():
                return _dissect(model_name, kwargs, out_indices)
        except (NotImplementedError, RuntimeError):
            # timm 1.0.31: gemma4_vit reads numbers off tensors. The seed is left alone.
            with torch.device('cpu'), torch.random.fork_rng(devices=[]):
                return _dissect(model_name, kwargs, out_indices)


def as_maps(model: nn.Module, outputs: Iterable[Tensor]) -> list[Tensor]:
    """The outputs of a ``features_only`` model as (N, C, H, W)."""
    # FeatureGetterNet converts by itself; Swin's FeatureListNet says NHWC and doesn't.
    if getattr(model, 'output_fmt', 'NCHW') == 'NHWC':
        return [x.permute(0, 3, 1, 2) for x in outputs]
    return list(outputs)


def round_up(size: tuple[int, int], divisor: tuple[int, int]) -> tuple[int, int]:
    """The smallest multiples of ``divisor`` from ``size`` on."""
    return tuple(math.ceil(s / d) * d for s, d in zip(size, divisor, strict=True))


def _dissect(
    model_name: str,
    kwargs: Mapping[str, Any],
    out_indices: int | Sequence[int] | None,
) -> Anatomy:
    everything = {**ANY_SIZE, **kwargs}
    full, _ = create(model_name, everything, droppable=everything)
    resampled_from = _own_patch(full)
    if resampled_from is not None and 'patch_size' not in kwargs:
        # timm resamples the weights as FlexiViT does (arXiv:2212.08013).
        everything['patch_size'] = PATCH
        full, _ = create(model_name, everything, droppable=ANY_SIZE)
    else:
        resampled_from = None
    info = getattr(full, 'feature_info', None)
    if not info:
        raise ValueError(
            f'{model_name} declares no features in timm; choose another one'
        )
    entries = list(info)
    optional = set(ANY_SIZE) - set(kwargs)
    # All entries, since stages are counted by them, not by the maps that are wanted.
    takeable = [i for i, entry in enumerate(entries) if entry['module']]
    model, kwargs = create(
        model_name, everything, optional, features_only=True, out_indices=takeable
    )
    entries = model.feature_info.info
    if out_indices is None:
        default, _ = create(model_name, kwargs, features_only=True)
        out_indices = default.feature_info.out_indices
    out_indices = _resolve(model_name, out_indices, entries)
    spec = FeatureSpec(
        channels=tuple(entries[i]['num_chs'] for i in out_indices),
        strides=tuple(entries[i]['reduction'] for i in out_indices),
    )
    wanted = [takeable.index(i) for i in out_indices]
    smallest = min(entry['reduction'] for entry in entries)
    divisor, fixed_size, usable = _image_sizes(
        model_name, model, kwargs, spec, wanted, smallest
    )

    model.train()
    outputs = as_maps(model, model(torch.empty(2, kwargs['in_chans'], *usable)))
    names = {param: name for name, param in model.named_parameters()}
    used = set().union(*_behind([outputs[i] for i in wanted], names))
    stage_of = {
        name: i + 1
        for i, found in zip(takeable, _behind(outputs, names), strict=True)
        for name in found
        if name in used
    }
    first = {name for name, stage in stage_of.items() if stage == 1}
    for name in _stem(full, entries[0]['module'], first, stage_of):
        stage_of[name] = 0
    return Anatomy(
        kwargs,
        out_indices,
        spec,
        len(entries),
        stage_of,
        divisor,
        fixed_size,
        resampled_from,
    )


def _own_patch(full: nn.Module) -> int | None:
    """Return the side of a plain ViT's patches where necks have no use for it.

    DINOv2's are of 14 pixels: strides of 3.5, 7, 14 and 28, which no anchor and no
    upsampling by two fits.
    """
    size = getattr(getattr(full, 'patch_embed', None), 'patch_size', None)
    side = size[0] if isinstance(size, Sequence) and len(set(size)) == 1 else None
    return side if isinstance(side, int) and side > 8 and side % 8 else None


def _resolve(
    model_name: str, out_indices: int | Sequence[int], entries: Sequence[Mapping]
) -> tuple[int, ...]:
    if isinstance(out_indices, int):
        last = out_indices
        if not 0 < last <= len(entries):
            raise ValueError(
                f'out_indices={last} asks timm for the last {last} maps, but '
                f'{model_name} has {len(entries)}; write 1 to {len(entries)}, or which '
                f'ones, such as out_indices=({len(entries) - 1},) for the last'
            )
        out_indices = range(len(entries) - last, len(entries))
    resolved = resolve_out_indices(out_indices, len(entries), model_name)
    without = [i for i in resolved if not entries[i]['module']]
    if without:
        # timm 1.0.31: entry 0 of TResNet has channels and a stride, but no module.
        raise ValueError(
            f'out_indices={tuple(out_indices)} asks for map {without[0]}, which '
            f'{model_name} counts but does not give; leave it out'
        )
    return resolved


def _image_sizes(
    model_name: str,
    model: nn.Module,
    kwargs: Mapping[str, Any],
    spec: FeatureSpec,
    wanted: Sequence[int],
    smallest_stride: int,
) -> tuple[tuple[int, int], tuple[int, int] | None, tuple[int, int]]:
    """Divisor, the only size if there is one, and a size that the model takes."""
    native = kwargs.get('img_size') or model.pretrained_cfg['input_size'][-2:]
    native = (native, native) if isinstance(native, int) else tuple(native)

    def try_out(size: tuple[int, int]) -> str | None:
        """Return what is wrong at this size."""
        try:
            with torch.no_grad():
                outputs = model(torch.empty(1, kwargs['in_chans'], *size))
        except Exception as error:
            if isinstance(error, NotImplementedError) or 'meta tensor' in str(error):
                raise
            return f'it fails with {type(error).__name__}: {error}'
        for i, stride in zip(wanted, spec.strides, strict=True):
            shape = tuple(as_maps(model, outputs)[i].shape[2:])
            if shape != round_up(size, (stride, stride)) and shape != tuple(
                math.ceil(s / stride) for s in size
            ):
                return f'its map of stride {stride} is {shape[0]}x{shape[1]}'
        return None

    model.eval()
    stride = max(spec.strides)
    base = 4 * stride
    squares = sorted({1, smallest_stride, stride, 2 * stride})
    for divisor in [*((s, s) for s in squares), native]:
        # Odd and even, short and long, beyond the native size, and no square.
        sizes = (
            (base + divisor[0] + 1, base + 5),
            (base // 2 + 1, base + divisor[1] - 3),
        )
        if all(try_out(round_up(size, divisor)) is None for size in sizes):
            return divisor, None, round_up((base, base), divisor)
    wrong = try_out(native)
    if wrong:
        raise ValueError(
            f'{model_name} gives no maps for a neck: with an image of {native[0]}x'
            f'{native[1]} {wrong}. Choose other out_indices, another img_size or '
            'another model'
        )
    return (1, 1), native, native


def _behind(
    maps: Iterable[Tensor], names: Mapping[nn.Parameter, str]
) -> list[set[str]]:
    """For each map the parameters on which it depends, and no map before it."""
    seen = set()
    behind = []
    for x in maps:
        found = set()
        todo = [x.grad_fn]
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            # Only nodes that accumulate the gradient of a leaf have a variable.
            if hasattr(node, 'variable') and node.variable in names:
                found.add(names[node.variable])
            todo.extend(parent for parent, _ in node.next_functions)
        behind.append(found)
    return behind


def _stem(
    full: nn.Module, first_module: str, first: set[str], names: Iterable[str]
) -> set[str]:
    """Return timm's stem or, where it has none, what precedes the first stage."""
    try:
        patterns = full.group_matcher(coarse=False)['stem']
    except (AttributeError, AssertionError, LookupError, TypeError):
        # timm 1.0.31: MetaFormer has none; Inception's and CaiT's are functions.
        patterns = ()
    if isinstance(patterns, str):
        patterns = (patterns,)
    patterns = [p if isinstance(p, str) else p[0] for p in patterns]
    stem = {
        inner
        for name, _ in full.named_parameters()
        if any(re.match(pattern, name) for pattern in patterns)
        for inner in _names_inside(name)
    } & set(names)
    if stem:
        return stem
    inside = _names_inside(first_module)
    of_stage = {n for n, m in product(first, inside) if n.startswith(f'{m}.')}
    return first - of_stage or first


def _names_inside(name: str) -> tuple[str, ...]:
    """Return the names that a ``features_only`` model may have for a parameter."""
    return name, name.replace('.', '_', 1), f'model.{name}', f'body.{name}'
