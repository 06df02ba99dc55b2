"""The backbone that is put into a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plugin.config.backbone import with_options
from plugin.config.names import SUFFIXES
from plugin.libraries import SCOPES
from plugin.measure.as_maps import as_maps
from plugin.measure.backbone import class_of, type_name
from plugin.measure.features import NCHW, feature_spec
from plugin.measure.forward import Maps, MeasuredBackbone
from plugin.measure.signatures import arguments_of
from plugin.probe.arguments import allowed_out_indices, construct
from plugin.probe.naming import resolve
from plugin.spec import FeatureSpec

# Any stride that necks take divides it, and it is small.
_SIDE = 256
# Arguments that choose a variant: written also where they are the default.
_VARIANT = ('arch', 'depth')


class Replacement:
    """A backbone, what it can give, and what to write for it.

    Args:
        name: A type with its scope, ``timm:MODEL``, or a config whose backbone is
            meant.
        options: Arguments of the backbone.
        imports: Modules of the user's that register backbones.

    Attributes:
        name: As given.
        type: With its scope.
        cls: The class.
        arguments: What the config says beside ``type`` and ``out_indices``.
        given: Those of them that the user gave in ``options``.
        out_indices: Those that the user gave in ``options``.
        from_config: Whether another config was named.
        imports: What must be imported for the type to be there.

    Raises:
        ValueError: There is no such backbone, it doesn't take the options, or it gives
            no maps.
        OSError: There is no such config.
    """

    def __init__(
        self, name: str, options: Mapping[str, Any], imports: Sequence[str] = ()
    ) -> None:
        cfg = resolve(name, imports)
        self.name = name
        self.type = type_name(cfg)
        self.cls = class_of(cfg)
        is_file = Path(name).suffix in SUFFIXES or '::' in name
        # A file of the user's may be a config, or have the class.
        self.from_config = is_file and self.cls.__module__ != Path(name).stem
        options = dict(options)
        self.given = set(options)
        self.out_indices: tuple[int, ...] | None = None
        if 'out_indices' in options:
            found = options.pop('out_indices')
            self.out_indices = (found,) if isinstance(found, int) else tuple(found)
        self._signature = arguments_of(self.cls)
        self.takes = frozenset(self._signature.names)
        arguments = {k: v for k, v in cfg.items() if k not in ('type', '_scope_')}
        self.default_out_indices = arguments.pop('out_indices', None)
        self.arguments = with_options(plain(arguments), options)
        measured = construct(self.cfg(None), list(self.given))
        self._built = measured.backbone
        self.arguments.update(self._to_give_maps(measured))
        for argument in _VARIANT:
            default = self.default(argument)
            if default is not None and argument not in self.arguments:
                self.arguments = {argument: default, **self.arguments}
        self.imports = [*imports, *_own_module(self.cls, imports)]

    def cfg(self, out_indices: tuple[int, ...] | None, **more: Any) -> dict[str, Any]:
        """The backbone's config, as it is built.

        Args:
            out_indices: None for what the class has by default.
            **more: Arguments over those that it has.
        """
        chosen = {} if out_indices is None else dict(out_indices=out_indices)
        return dict(type=self.type, **{**self.arguments, **chosen, **more})

    def default(self, argument: str) -> Any:
        """Of an argument of the class; None if it has none."""
        return self._signature.defaults.get(argument)

    def is_default(self, argument: str) -> bool:
        """Return whether an argument is what the class takes without it."""
        if argument in self.given or argument in _VARIANT:
            return False
        return argument in self.takes and plain(self.default(argument)) == plain(
            self.arguments[argument]
        )

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width of the largest image that it takes, if it says so."""
        return getattr(self._built, 'fixed_size', None)

    @property
    def is_timm(self) -> bool:
        return self.cls.__name__ == 'TIMMBackbone' and self.type.startswith('plugin.')

    def offered(self) -> Offered:
        """Everything that it can give.

        Raises:
            ValueError: It gives no maps, or can't be run.
        """
        indices = None
        if 'out_indices' in self.takes:
            indices = self._indices()
        return Offered(indices, self.spec(indices))

    def spec(self, out_indices: tuple[int, ...] | None, **more: Any) -> FeatureSpec:
        """Return what it gives at some ``out_indices``.

        Raises:
            ValueError: It can't be built or run so, or gives no maps.
        """
        cfg = self.cfg(out_indices, **more)
        measured = construct(cfg, ['out_indices', *self.given])
        found = self._run(measured)
        if found.layout != NCHW or found.bare:
            what = 'a single tensor' if found.bare else f'outputs {found.layout}'
            raise ValueError(
                f'{self.name} gives {what}, and a neck takes a tuple of maps '
                '(N, C, H, W); `python -m plugin probe` says whether an argument '
                'changes that'
            )
        if out_indices is not None and len(found.shapes) != len(out_indices):
            raise ValueError(
                f'{self.name} gives {len(found.shapes)} maps at '
                f'out_indices={out_indices}'
            )
        # A stride of 14 divides no usual size, and what is measured is another then.
        if hasattr(measured.backbone, 'feature_spec'):
            return feature_spec(measured.backbone)
        return FeatureSpec(found.channels, found.strides)

    def _to_give_maps(self, measured: MeasuredBackbone) -> dict[str, Any]:
        """The arguments, beside those that the user gave, by which it gives maps."""
        try:
            if measured.forward(self._size).layout == NCHW:
                return {}
        except Exception:
            return {}  # What is wrong is reported when its feature maps are measured.
        change = as_maps(measured.cfg, self._size, self.given)
        return {} if change is None or 'type' in change else change

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of the image that it is run on."""
        side = min(_SIDE, *(self.fixed_size or (_SIDE,)))
        return side, side

    def _run(self, measured: MeasuredBackbone) -> Maps:
        side, _ = self._size
        try:
            return measured.forward(self._size)
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            hint = ''
            if 'img_size' in self.takes and 'img_size' not in self.given:
                hint = '. It takes an img_size'
            raise ValueError(
                f'{self.name} takes no image of {side}x{side}, so none of the many '
                f'sizes of a detector or segmentor: {lines[0][:200]}{hint}'
            ) from error

    def _indices(self) -> tuple[int, ...]:
        if self.is_timm:
            # timm counts its maps, where others have to be asked for each.
            count = self._built.num_stages
            for first in (0, 1):
                try:
                    self.spec(tuple(range(first, count)))
                except ValueError:
                    continue  # timm 1.0.31: TResNet counts one that it doesn't give.
                return tuple(range(first, count))
        found = tuple(allowed_out_indices(self.cfg(None)))
        if not found:
            raise ValueError(
                f'{self.name} gives no map for any out_indices; see what `python -m '
                'plugin probe` says of it'
            )
        return found


def _own_module(cls: type, imports: Iterable[str]) -> list[str]:
    """The module that registers a user's class, unless it is imported already."""
    top = cls.__module__.partition('.')[0]
    if top in ('plugin', 'mmengine', 'mmcv', *SCOPES) or cls.__module__ in imports:
        return []
    return [cls.__module__]


def plain(value: Any) -> Any:
    """Without mmengine's types, and sequences as lists, to compare and to write."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if k != '_scope_'}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


class Offered:
    """All the maps of a backbone.

    Attributes:
        indices: By which it is asked for each; None if it gives what it gives.
        spec: Channels and strides of all.
    """

    def __init__(self, indices: tuple[int, ...] | None, spec: FeatureSpec) -> None:
        self.indices = indices
        self.spec = spec

    @property
    def flat(self) -> bool:
        """Return whether all maps have one stride, as a plain ViT's have."""
        return len(set(self.spec.strides)) == 1

    def at(self, indices: tuple[int, ...] | None) -> FeatureSpec:
        """Channels and strides of some of the maps; None for all."""
        if indices is None or self.indices is None:
            return self.spec
        places = [self.indices.index(i) for i in indices]
        return FeatureSpec(
            tuple(self.spec.channels[p] for p in places),
            tuple(self.spec.strides[p] for p in places),
        )

    def last_of(self, stride: int) -> int | None:
        """The index of the last map of a stride; None if there is none.

        Mobile networks end in a convolution that widens the last map for their
        classifier, several times over; it is no stage, and left out.
        """
        channels, strides = self.spec.channels, self.spec.strides
        places = [i for i, s in enumerate(strides) if s == stride]
        if len(places) > 1 and channels[places[-1]] > 2 * channels[places[-2]]:
            places = places[:-1]
        return self.indices[places[-1]] if places else None

    def spread(self, count: int) -> tuple[int, ...]:
        """``count`` of the indices, evenly, the last one last."""
        total = len(self.indices)
        return tuple(
            self.indices[round((i + 1) * total / count) - 1] for i in range(count)
        )

    def describe(self) -> str:
        """In words, for a message."""
        strides = ', '.join(map(str, self.spec.strides))
        if self.indices is None:
            return f'maps of strides {strides}'
        if self.flat and len(self.indices) > 1:
            return f'{len(self.indices)} maps, all of stride {self.spec.strides[0]}'
        indices = ', '.join(map(str, self.indices))
        return f'maps of strides {strides} at out_indices {indices}'
