"""All that is particular to mmdetection: where configs repeat channels and strides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.libraries import LayerDecay, Wiring
from plugin.necks.simple_feature_pyramid import SCALES
from plugin.spec import (
    CHANNELS,
    STRIDES,
    Change,
    FeatureSpec,
    SampleSpec,
    Slot,
    as_list,
    numbers,
    part_key,
    type_name,
)

# Necks that give as many maps as they take, and take no `num_outs`.
SAME_MAPS = {'YOLOXPAFPN', 'CSPNeXtPAFPN', 'YOLOV3Neck'}
# The one neck that takes the backbone's maps coarse first.
COARSE_FIRST = {'YOLOV3Neck'}
# Gives the finest map, pooled further and further, with a stride of its own.
FROM_FINEST = {'HRFPN'}
# Ours, which resizes its maps to make a pyramid of them.
RESIZING = {'SimpleFeaturePyramid'}
# The one neck whose backbone passes on the image as well, before its maps.
WITH_IMAGE = {'RFP'}
# What ``plugin.SimpleFeaturePyramid`` makes of one map.


class MMDet(Wiring):
    """mmdet 3.3.0."""

    preprocessor = 'DetDataPreprocessor'
    renamed = dict.fromkeys(('Collect', 'DefaultFormatBundle'), 'PackDetInputs')
    layer_decay = {
        'LearningRateDecayOptimizerConstructor': LayerDecay(
            'decay_rate',
            dict(ConvNeXt=('downsample_layers.', 'stages.')),
            by_stage=('ConvNeXt',),
        )
    }
    maps_of_pyramid = 1

    def slots(self, model: Mapping[str, Any]) -> list[Slot]:
        return slots(model)

    def samples(self, cfg: Mapping[str, Any], spec: SampleSpec) -> list[dict]:
        # It imports the library's structures, which the places above do without.
        from plugin.det.samples import samples

        return samples(cfg, spec)

    def takes_as_many(self, neck: Mapping[str, Any]) -> bool:
        return type_name(neck) in SAME_MAPS

    def refusal(self, model: Mapping[str, Any]) -> str | None:
        if as_list(model.get('neck')) or _mask_head(model):
            return None
        shared = (model.get('roi_head') or {}).get('shared_head')
        why = (
            f'its {type_name(shared)} goes on with the layers of its own backbone'
            if shared
            else 'its heads are built for the one map of its own backbone'
        )
        return f'has no neck: {why}. Take the config of the method with an FPN'

    def pyramid(
        self, model: Mapping[str, Any], maps: FeatureSpec, strides: Sequence[int]
    ) -> list[Change] | None:
        """Return our SimpleFeaturePyramid with the maps of the model's FPN."""
        neck = model.get('neck')
        scales = tuple(_number(maps.strides[0] / stride) for stride in strides)
        if (
            not isinstance(neck, Mapping)
            or 'num_outs' not in neck
            or not isinstance(neck.get('out_channels'), int)
            or not set(scales) <= set(SCALES)
            or len(maps.channels) not in (1, len(scales))
        ):
            return None
        found: dict[str, Any] = dict(
            _delete_=True,
            type='plugin.SimpleFeaturePyramid',
            in_channels=list(maps.channels),
            out_channels=neck['out_channels'],
            scales=scales,
        )
        extra = neck['num_outs'] - len(scales)
        if extra:
            found['extra_maps'] = extra
        return [Change('model.neck', found)]


WIRING = MMDet()


def slots(model: Mapping[str, Any]) -> list[Slot]:
    """See :meth:`plugin.libraries.Wiring.slots`."""
    given = model.get('neck')
    necks = [
        (part_key('model.neck', given, i), neck)
        for i, neck in enumerate(as_list(given))
        if 'in_channels' in neck
    ]
    if not necks:
        # What a neck that says no channels makes of them is not known.
        return [] if given else list(_without_neck(model))
    key, first = necks[0]
    if type_name(first) in WITH_IMAGE:
        return []
    written = first['in_channels']
    count = len(numbers(written))
    maps = tuple(reversed(range(count))) if type_name(first) in COARSE_FIRST else None
    if isinstance(written, int):
        maps = (-1,)  # CTResNetNeck takes the last map.
    # Libra's second neck, BFP, passes on what it takes and has no out_channels.
    outs = [neck['out_channels'] for _, neck in necks if 'out_channels' in neck]
    found = [
        Slot(f'{key}.in_channels', CHANNELS, written, numbers(written), maps),
        *_channels_after(model, outs[-1] if outs else None),
    ]
    if type_name(first) in FROM_FINEST:
        factors = [
            first.get('stride', 1) * 2**i for i in range(first.get('num_outs', 5))
        ]
        found += _strides(model, (0,) * len(factors), tuple(factors))
    elif type_name(first) in RESIZING:
        levels, factors = _resized(first, count)
        found += _strides(model, levels, factors)
    elif 'num_outs' in first or type_name(first) in SAME_MAPS:
        start = first.get('start_level', 0)
        count = first.get('num_outs', count - start)
        levels = tuple(range(start, start + count)) if maps is None else maps
        found += _strides(model, levels)
    return found


def _resized(
    neck: Mapping[str, Any], count: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the map that each output is made from, and the factor of its stride."""
    scales = list(neck.get('scales', SCALES))
    extra = neck.get('extra_maps', 0)
    levels = [0 if count == 1 else i for i in range(len(scales))]
    factors = [1 / scale for scale in scales]
    for _ in range(extra):
        levels.append(levels[-1])
        factors.append(factors[-1] * 2)
    return tuple(levels), tuple(factors)


def _mask_head(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The head of MaskFormer and Mask2Former, which reads all maps without a neck."""
    head = model.get('panoptic_head') or {}
    return head if 'in_channels' in head else None


def _without_neck(model: Mapping[str, Any]) -> Iterator[Slot]:
    mask_head = _mask_head(model)
    if mask_head:
        # Its strides are read by nobody, and cancel out in its pixel decoder.
        written = mask_head['in_channels']
        key = 'model.panoptic_head.in_channels'
        yield Slot(key, CHANNELS, written, numbers(written))
    for head in ('rpn_head', 'bbox_head'):
        cfg = model.get(head) or {}
        written = cfg.get('in_channels')
        priors = cfg.get('anchor_generator') or cfg.get('prior_generator') or {}
        if isinstance(written, int) and len(priors.get('strides') or ()) > 1:
            continue  # It runs on several maps, which only a neck makes alike.
        if written is not None:
            key = f'model.{head}.in_channels'
            # One number is the last map's: a stacked hourglass gives one a stack.
            maps = (-1,) if isinstance(written, int) else None
            yield Slot(key, CHANNELS, written, numbers(written), maps)


def _channels_after(
    model: Mapping[str, Any], out_channels: int | list[int] | None
) -> Iterator[Slot]:
    """Yield the heads that must take what the neck passes on."""
    if out_channels is None:
        return
    fixed = numbers(out_channels)
    roi_head = model.get('roi_head') or {}
    for key, cfg, name in (
        ('model.rpn_head', model.get('rpn_head'), 'in_channels'),
        ('model.bbox_head', model.get('bbox_head'), 'in_channels'),
        *(
            (f'model.roi_head.{part}', roi_head.get(part), 'out_channels')
            for part in ('bbox_roi_extractor', 'mask_roi_extractor')
        ),
    ):
        for i, part in enumerate(as_list(cfg)):
            # Of an int and a list the one does not say how many the other has.
            if name in part and isinstance(part[name], int) == (len(fixed) == 1):
                yield Slot(
                    f'{part_key(key, cfg, i)}.{name}',
                    CHANNELS,
                    part[name],
                    numbers(part[name]),
                    fixed=fixed,
                )


def _strides(
    model: Mapping[str, Any],
    outs: tuple[int, ...],
    factors: tuple[float, ...] | None = None,
) -> Iterator[Slot]:
    """Yield the strides of anchors, points and RoI extractors on the maps ``outs``."""
    for head in ('rpn_head', 'bbox_head'):
        cfg = model.get(head) or {}
        for name, part in (
            ('', cfg),
            ('.anchor_generator', cfg.get('anchor_generator') or {}),
            ('.prior_generator', cfg.get('prior_generator') or {}),
        ):
            if 'strides' in part:
                written = part['strides']
                # YOLACT writes image size / map size, which is no whole number.
                if all(isinstance(stride, int) for stride in numbers(written)):
                    key = f'model.{head}{name}.strides'
                    yield Slot(
                        key, STRIDES, written, numbers(written), outs, factors=factors
                    )
    roi_head = model.get('roi_head') or {}
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        cfg = roi_head.get(name)
        for i, part in enumerate(as_list(cfg)):
            written = part['featmap_strides']
            # RoIs are taken from the finest maps, as many as there are strides.
            yield Slot(
                f'{part_key(f"model.roi_head.{name}", cfg, i)}.featmap_strides',
                STRIDES,
                written,
                numbers(written),
                outs[: len(written)],
                factors=factors and factors[: len(written)],
            )


def _number(scale: float) -> float:
    return int(scale) if scale == int(scale) else scale
