"""Running the parts of a model behind its backbones: necks, heads and transformers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from plugin.measure.build import asks_for_values
from plugin.measure.failures import (
    ChannelMismatch,
    Failure,
    all_modules,
    channels_compared,
    failure_of,
)
from plugin.measure.values_free import small_values
from plugin.spec import FeatureSpec

_ROIS = 4

Spec = Callable[[str, nn.Module], FeatureSpec | None]
"""Returns the maps of the backbone of this name; None where they are not known."""


@dataclass
class PartForwards:
    """The result of running the parts of a model.

    Attributes:
        failure: What stopped it first; None if nothing did.
        ran: Names of the modules that were run.
        channels: Of the maps of the last backbone behind which something was run.
        maps: How many maps the heads behind it were given.
        wants_values: Whether what comes before the heads asks for values.
        reason: Why more is not known, in words.
    """

    failure: Failure | None = None
    ran: set[str] = field(default_factory=set)
    channels: tuple[int, ...] = ()
    maps: int | None = None
    wants_values: bool = False
    reason: str | None = None


class _Failed(Exception):
    def __init__(self, error: Exception, module: nn.Module | None = None) -> None:
        self.error, self.module = error, module


def run_parts(model: nn.Module, spec: Spec, shape: tuple[int, int]) -> PartForwards:
    """Run whatever is behind each backbone of ``model`` on maps of zeros.

    What cannot be run without the values of a real image, such as the choice of
    proposals, is left out: it is none of ``ran``.

    Args:
        model: On the meta device, or on the CPU.
        spec: What its backbones give.
        shape: Height and width in pixels of the image that the maps are of.
    """
    found = PartForwards()
    modules = all_modules(model)
    names = {id(module): name for name, module in modules.items()}

    def note(module: nn.Module, inputs: tuple) -> None:
        if id(module) in names:
            found.ran.add(names[id(module)])

    modes = [(module, module.training) for module in modules.values()]
    for module, _ in modes:
        module.training = False
    hook = register_module_forward_pre_hook(note)
    try:
        with torch.no_grad(), small_values(), channels_compared():
            for name, holder in _holders(modules):
                given = spec(f'{name}.backbone'.lstrip('.'), holder.backbone)
                if given is not None:
                    found.channels = given.channels
                    _Parts(holder, given, shape, found).run()
    except _Failed as failed:
        if failed.module is not None:
            found.failure = Failure(failed.error, names[id(failed.module)])
        else:
            found.failure = failure_of(failed.error, model)
    finally:
        hook.remove()
        for module, training in modes:
            module.training = training
    return found


def _holders(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost modules that have a backbone, with their names."""
    inside: list[str] = []
    for name, module in modules.items():
        if any(name == other or name.startswith(f'{other}.') for other in inside):
            continue
        if isinstance(getattr(module, 'backbone', None), nn.Module):
            inside.append(f'{name}.backbone'.lstrip('.'))
            yield name, module


class _Parts:
    """Neck and heads of one holder, one after the other."""

    def __init__(
        self,
        holder: nn.Module,
        spec: FeatureSpec,
        shape: tuple[int, int],
        found: PartForwards,
    ) -> None:
        self.holder, self.found = holder, found
        device = next((p.device for p in holder.parameters()), torch.device('cpu'))
        self.maps: Any = tuple(
            torch.zeros(1, c, *(math.ceil(side / s) for side in shape), device=device)
            for c, s in zip(spec.channels, spec.strides, strict=True)
        )
        metainfo = dict(img_shape=shape, ori_shape=shape, pad_shape=shape)
        metainfo.update(batch_input_shape=shape, scale_factor=(1.0, 1.0))
        sample = BaseDataElement(metainfo=metainfo)
        self.known: dict[str, Any] = dict(
            batch_data_samples=[sample],
            data_samples=[sample],
            batch_img_metas=[metainfo],
            img_metas=[metainfo],
            rois=torch.zeros(_ROIS, 5, device=device),
        )

    def run(self) -> None:
        """Run them until one fails.

        Raises:
            _Failed: One does, for another reason than that it asks for values.
        """
        neck = getattr(self.holder, 'neck', None)
        if isinstance(neck, nn.Module):
            self.maps = self._call(neck, self.maps)
        if self.maps is None:
            self.found.wants_values = True
            return
        if isinstance(self.maps, (tuple, list)):
            self.found.maps = len(self.maps)
        if hasattr(self.holder, 'forward_transformer'):
            inputs = self._call(self.holder.forward_transformer, self.maps)
            if not isinstance(inputs, dict):
                self.found.wants_values = True
            elif hasattr(self.holder, 'bbox_head'):
                self._call(self.holder.bbox_head, **inputs)
            return
        for name, child in self.holder.named_children():
            if name == 'roi_head':
                self._roi_head(child)
            elif name.endswith('head'):
                heads = child if isinstance(child, nn.ModuleList) else [child]
                output = None
                for head in heads:
                    output = self._call(head, self.maps, prev_output=output)
                    _compare_levels(head, output)

    def _roi_head(self, head: nn.Module) -> None:
        if isinstance(getattr(head, 'semantic_head', None), nn.Module):
            output = self._call(head.semantic_head, self.maps)
            # Its second output is the map that the heads of boxes and masks add.
            if isinstance(output, (tuple, list)) and len(output) > 1:
                self.known['semantic_feat'] = output[1]
        with _shapes_of_rois(head):
            for method in ('_bbox_forward', '_mask_forward'):
                forward = getattr(head, method, None)
                part = method.split('_')[1]
                if forward is None or not hasattr(head, f'{part}_head'):
                    continue
                stages = range(getattr(head, 'num_stages', 1))
                parameters = inspect.signature(forward).parameters
                for stage in stages if 'stage' in parameters else [None]:
                    own = {} if stage is None else dict(stage=stage)
                    self._call(forward, x=self.maps, **own)

    def _call(self, target: Callable, *args: Any, **kwargs: Any) -> Any:
        """What ``target`` returns; None where it asks for values.

        What it takes beyond what is given here, and no default has, is None: it is run
        as far as it goes.
        """
        if isinstance(target, nn.Module) and not any(True for _ in target.parameters()):
            if not args or target is not getattr(self.holder, 'neck', None):
                return None
        function = target.forward if isinstance(target, nn.Module) else target
        parameters = list(inspect.signature(function).parameters.values())
        whole = True
        given = {}
        for parameter in parameters[len(args) :]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            for known in (kwargs, self.known):
                if parameter.name in known:
                    given[parameter.name] = known[parameter.name]
                    break
            else:
                if parameter.default is parameter.empty:
                    given[parameter.name], whole = None, False
        try:
            return target(*args, **given)
        except ChannelMismatch as error:
            raise _Failed(error) from error
        except Exception as error:
            if whole and not _for_want_of_values(error):
                raise _Failed(error) from error
            return None


def _compare_levels(head: nn.Module, output: Any) -> None:
    """Compare the maps that a head gives with the priors that the loss lays on them.

    Raises:
        _Failed: There are priors for another number of maps.
    """
    levels = getattr(getattr(head, 'prior_generator', None), 'num_levels', None)
    given = output[0] if isinstance(output, tuple) and output else None
    if isinstance(levels, int) and isinstance(given, (list, tuple)):
        if len(given) != levels:
            text = f'{len(given)} maps, and priors for {levels}'
            raise _Failed(ValueError(text), head)


def _for_want_of_values(error: Exception) -> bool:
    # An operator that is compiled for other devices only is not a mistake either.
    return isinstance(error, NotImplementedError) or asks_for_values(error)


@contextmanager
def _shapes_of_rois(head: nn.Module) -> Iterator[None]:
    """Within it the RoI extractors compare channels and return shapes.

    Which map a region is taken from depends on how large it is.
    """
    extractors = [module for module in head.modules() if hasattr(module, 'roi_layers')]
    for extractor in extractors:
        extractor.forward = _RoIs(extractor)
    try:
        yield
    finally:
        for extractor in extractors:
            del extractor.forward


class _RoIs:
    def __init__(self, extractor: nn.Module) -> None:
        self.extractor = extractor

    def __call__(
        self,
        feats: Sequence[Tensor],
        rois: Tensor,
        roi_scale_factor: float | None = None,
    ) -> Tensor:
        extractor = self.extractor
        takes = extractor.out_channels
        given = [feat.shape[1] for feat in feats]
        if getattr(extractor, 'aggregation', None) == 'concat' and len(given) > 1:
            given = [sum(given)]
        for channels in given:
            if channels != takes:
                raise ChannelMismatch(extractor, takes, channels)
        side = extractor.roi_layers[0].output_size
        sides = (side, side) if isinstance(side, int) else tuple(side)
        found = feats[0].new_zeros(len(rois), takes, *sides)
        return extractor.post_module(found) if self._has_post() else found

    def _has_post(self) -> bool:
        return bool(getattr(self.extractor, 'with_post', False))
