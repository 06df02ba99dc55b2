"""A config that is being checked, and what is measured of it, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from mmengine.config import Config
from torch import nn

from plugin.check.model_defaults import with_defaults
from plugin.check.running import run_behind
from plugin.config.backbone import backbone_place
from plugin.config.edits import Fix, apply_fixes
from plugin.config.parts import Part, parts
from plugin.libraries import Wiring, wiring
from plugin.measure.backbone import build
from plugin.measure.backbone_forward import BackboneForward, forward_backbone
from plugin.measure.build import MEMORY, SECONDS, build_model
from plugin.measure.features import NCHW, layout, spec_of
from plugin.measure.limits import (
    TookTooLong,
    is_out_of_memory,
    memory_limit,
    time_limit,
)
from plugin.measure.part_forwards import PartForwards
from plugin.spec import FeatureSpec, Slot

# Of the image that a backbone is run on, in pixels, unless it refuses it.
SIZE = 256


class CheckedConfig:
    """The config that the rules look at. Nothing is built before a rule asks for it.

    Attributes:
        cfg: The config, with its ``_base_`` merged and its imports done.
        scope: Its ``default_scope``.
        backbone_key: Where the backbone is, such as ``model.backbone``; None without.
        guessed: Keys of parts whose type is the nearest to one that is not there.
        not_judged: What could not be looked at, each with the reason.
        tell: Takes a line for the user, who waits.
    """

    def __init__(self, cfg: Config, guessed: frozenset[str] = frozenset()) -> None:
        self.cfg = cfg
        self.guessed = guessed
        self.not_judged: dict[str, str] = {}
        self.tell: Callable[[str], None] = lambda line: None
        self.scope = cfg.get('default_scope') or 'mmengine'
        place = backbone_place(cfg)
        self.backbone_key, self.backbone_cfg = place or (None, None)

    def with_fixes(
        self, fixes: Iterable[Fix], guessed: frozenset[str] = frozenset()
    ) -> CheckedConfig:
        """Apply fixes to this config; what they leave alone is not measured again.

        Args:
            fixes: As problems have them.
            guessed: Keys of parts whose type is only the nearest by now.
        """
        other = CheckedConfig(apply_fixes(self.cfg, fixes), self.guessed | guessed)
        other.not_judged, other.tell = self.not_judged, self.tell
        same_images = other.image_channels == self.image_channels
        if other.backbone_cfg == self.backbone_cfg and same_images:
            known = {'_backbone', 'forward', 'spec'} & vars(self).keys()
            vars(other).update({name: vars(self)[name] for name in known})
        return other

    def leave(self, what: str, reason: str) -> None:
        """Note that something could not be judged; the first reason counts."""
        self.not_judged.setdefault(what, reason)

    @property
    def wiring(self) -> Wiring | None:
        """Facts about the config's library; None if it is not one of the known ones."""
        return wiring(self.scope)

    @property
    def takes_maps(self) -> bool:
        """True if the library puts necks and heads behind feature maps."""
        return self.wiring is not None and not self.wiring.classifies

    @property
    def model(self) -> Mapping[str, Any]:
        """``model`` of the config, empty if there is none."""
        return self.cfg.get('model') or {}

    @cached_property
    def parts(self) -> list[Part]:
        """Everything that is built, each with its class.

        Nothing in a piece of a config, without a model: its scope is that of what
        inherits it.
        """
        if not self.model and not self.cfg.get('default_scope'):
            return []
        return parts(self.cfg, self.scope)

    @cached_property
    def _backbone(self) -> nn.Module | BaseException:
        if self.built is not None:
            try:
                # Of what is built already, as it is in the model.
                return self.built.get_submodule(self.backbone_key.partition('.')[2])
            except AttributeError:
                pass
        elif self.is_endless:
            return self.build_error
        try:
            with memory_limit(MEMORY), time_limit(SECONDS):
                return build(self.backbone_cfg, meta=True)
        except (Exception, TookTooLong) as error:
            return error

    @property
    def backbone(self) -> nn.Module | None:
        """The backbone on the meta device; None if it can't be built."""
        built = self._backbone if self.backbone_key else None
        return built if isinstance(built, nn.Module) else None

    @cached_property
    def forward(self) -> BackboneForward | None:
        """The forward of the backbone on an image; None if it can't be built."""
        if self.backbone is None:
            return None
        sizes = [
            numbers_of[0]
            for name in ('img_size', 'pretrain_img_size', 'input_size')
            if (numbers_of := _numbers(self.backbone_cfg.get(name)))
        ]
        return forward_backbone(
            self.backbone,
            lambda: build(self.backbone_cfg),
            list(dict.fromkeys((SIZE, *sizes, 224))),
            self.image_channels,
        )

    @cached_property
    def spec(self) -> FeatureSpec | None:
        """Channels and strides of the feature maps; None if they are not (N, C, H, W).

        Vectors (N, C) count in a classifier, which takes no others.
        """
        if self.backbone is None:
            return None
        if hasattr(self.backbone, 'feature_spec'):
            return self.backbone.feature_spec()
        shapes, size = self.forward.shapes, self.forward.size
        if shapes is None:
            return None
        found = layout(shapes)
        if found == 'NC' and self.wiring and not self.takes_maps:
            channels = tuple(shape[1] for shape in shapes)
            return FeatureSpec(channels, (size,) * len(channels))
        return spec_of(shapes, size) if found == NCHW else None

    @property
    def image_channels(self) -> int:
        """Channels of the images, by the mean that is taken from them; else 3."""
        means = self._means
        # A single mean may be for images of any number of channels.
        grey = len(means) == 1 and self.wiring is not None and not self.takes_maps
        return len(means) if len(means) > 1 or grey else 3

    @property
    def knows_images(self) -> bool:
        """True if the config says how many channels the images have."""
        return len(self._means) > 1

    @property
    def _means(self) -> Sequence[float]:
        written = self.model.get('data_preprocessor')
        written = written or self.cfg.get('data_preprocessor')
        while isinstance(written, Mapping):
            mean = written.get('mean')
            if isinstance(mean, (list, tuple)):
                return mean
            # Semi-supervised learning has one for each branch.
            written = written.get('data_preprocessor')
        return ()

    @cached_property
    def slots(self) -> list[Slot]:
        """Places in which the config or its classes repeat what the backbone gives."""
        return self.wiring.slots(with_defaults(self)) if self.wiring else []

    @cached_property
    def _built(self) -> nn.Module | BaseException:
        try:
            with memory_limit(MEMORY), time_limit(SECONDS):
                return build_model(self.cfg)
        except (Exception, TookTooLong) as error:
            return error

    @property
    def built(self) -> nn.Module | None:
        """The whole model on the meta device; None if it can't be built."""
        return self._built if isinstance(self._built, nn.Module) else None

    @cached_property
    def parts_run(self) -> PartForwards | None:
        """The forwards of all that is behind the backbones; None without a model."""
        return run_behind(self) if self.built is not None else None

    @property
    def build_error(self) -> BaseException | None:
        """The exception that building the model raises; None if it can be built."""
        return None if isinstance(self._built, nn.Module) else self._built

    @property
    def is_endless(self) -> bool:
        """True if building the model takes more time or memory than it may."""
        error = self.build_error
        return isinstance(error, TookTooLong) or (
            error is not None and is_out_of_memory(error)
        )


def _numbers(value: Any) -> list[int]:
    given = value if isinstance(value, (list, tuple)) else [value]
    return [number for number in given if isinstance(number, int)]
