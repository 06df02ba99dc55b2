"""All the maps that a backbone has."""

from __future__ import annotations

from plugin.features import FeatureSpec


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
        """Whether all maps have one stride, as a plain ViT's have."""
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
