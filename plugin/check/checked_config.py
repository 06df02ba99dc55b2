"""A config that is being checked, and what is measured of it, each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from mmengine.config import Config
from torch import nn

from plugin.check.model_defaults import with_defaults
from plugin.config.backbone import backbone_place
from plugin.config.edits import Fix, apply_fixes
from plugin.config.parts import Part, parts
from plugin.libraries import CLASSIFICATION, wiring
from plugin.measure.backbone import build
from plugin.measure.build import build_model
from plugin.measure.features import NCHW, layout, map_shapes, spec_of
from plugin.spec import FeatureSpec, Slot

# Of the image that a backbone is run on, in pixels, unless it refuses it.
SIZE = 256


class CheckedConfig:
    """What the rules look at. Nothing is built before a rule asks for it.

    Attributes:
        cfg: The config, with its ``_base_`` merged and its imports done.
        scope: Its ``default_scope``.
        backbone_key: Where the backbone is, such as ``model.backbone``; None without.
        guessed: Keys of parts whose type is the nearest to one that is not there.
    """

    def __init__(self, cfg: Config, guessed: frozenset[str] = frozenset()) -> None:
        self.cfg = cfg
        self.guessed = guessed
        self.scope = cfg.get('default_scope') or 'mmengine'
        place = backbone_place(cfg)
        self.backbone_key, self.backbone_cfg = place or (None, None)

    def with_fixes(
        self, fixes: Iterable[Fix], guessed: frozenset[str] = frozenset()
    ) -> CheckedConfig:
        """This config with fixes applied; what they don't touch is not measured again.

        Args:
            fixes: As problems have them.
            guessed: Keys of parts whose type is only the nearest by now.
        """
        other = CheckedConfig(apply_fixes(self.cfg, fixes), self.guessed | guessed)
        if other.backbone_cfg == self.backbone_cfg:
            known = {'_backbone', '_forward', 'spec'} & vars(self).keys()
            vars(other).update({name: vars(self)[name] for name in known})
        return other

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
    def _backbone(self) -> nn.Module | Exception:
        if self.built is not None:
            try:
                # Of what is built already, as it is in the model.
                return self.built.get_submodule(self.backbone_key.partition('.')[2])
            except AttributeError:
                pass
        try:
            return build(self.backbone_cfg, meta=True)
        except Exception as error:
            return error

    @property
    def backbone(self) -> nn.Module | None:
        """The backbone on the meta device; None if it can't be built."""
        built = self._backbone if self.backbone_key else None
        return built if isinstance(built, nn.Module) else None

    @property
    def backbone_error(self) -> Exception | None:
        """Why the backbone can't be built."""
        built = self._backbone if self.backbone_key else None
        return built if isinstance(built, Exception) else None

    @cached_property
    def _forward(self) -> tuple[int, list[tuple[int, ...] | str] | Exception]:
        """At which size it ran, and what came out; else what the first size raised."""
        sizes = [
            numbers_of[0]
            for name in ('img_size', 'pretrain_img_size', 'input_size')
            if (numbers_of := _numbers(self.backbone_cfg.get(name)))
        ]
        first = None
        for size in dict.fromkeys((SIZE, *sizes, 224)):
            try:
                return size, map_shapes(self.backbone, size)
            except Exception as error:
                first = first or error
        return SIZE, first

    @property
    def shapes(self) -> list[tuple[int, ...] | str] | Exception | None:
        """Shape of each of its maps of a square image, or what the forward raised."""
        return None if self.backbone is None else self._forward[1]

    @cached_property
    def spec(self) -> FeatureSpec | None:
        """What the backbone gives; None if that is no tuple of maps (N, C, H, W).

        Vectors (N, C) count in a classifier, which takes no others.
        """
        if self.backbone is None:
            return None
        if hasattr(self.backbone, 'feature_spec'):
            return self.backbone.feature_spec()
        if not isinstance(self.shapes, list):
            return None
        found = layout(self.shapes)
        if found == 'NC' and self.scope == CLASSIFICATION:
            channels = tuple(shape[1] for shape in self.shapes)
            return FeatureSpec(channels, (self._forward[0],) * len(channels))
        return spec_of(self.shapes, self._forward[0]) if found == NCHW else None

    @cached_property
    def slots(self) -> list[Slot]:
        """Where the config or its classes repeat what the backbone gives."""
        places = wiring(self.scope)
        return places.slots(with_defaults(self)) if places else []

    @cached_property
    def _built(self) -> nn.Module | Exception:
        try:
            return build_model(self.cfg)
        except Exception as error:
            return error

    @property
    def built(self) -> nn.Module | None:
        """The whole model on the meta device; None if it can't be built."""
        return self._built if isinstance(self._built, nn.Module) else None

    @property
    def build_error(self) -> Exception | None:
        """Why the model can't be built."""
        return self._built if isinstance(self._built, Exception) else None


def _numbers(value: Any) -> list[int]:
    given = value if isinstance(value, (list, tuple)) else [value]
    return [number for number in given if isinstance(number, int)]
