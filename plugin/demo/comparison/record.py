"""The record of one training: how far it is, what it has measured, what it took."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from plugin.weights.files.whole_file import whole_file


@dataclass
class Record:
    """One training, written into its folder after each validation.

    Attributes:
        finished: Whether it has come to its end.
        cpu_seconds: Of all its processes, up to when this was written.
        trained: Parameters that were trained at one time or another.
        unit: What its loop counts, 'epoch' or 'iteration'.
        curve: How many of them were done, and the metrics measured then, in order.
    """

    finished: bool = False
    cpu_seconds: float = 0.0
    trained: int = 0
    unit: str = 'epoch'
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Record:
        """The record in the folder of a training; an empty one if there is none."""
        path = folder / 'record.json'
        return cls(**json.loads(path.read_text())) if path.is_file() else cls()

    def write(self, folder: Path) -> None:
        """Write it into the folder, whole or not at all."""
        with whole_file(folder / 'record.json', replace=True) as partial:
            partial.write_text(json.dumps(asdict(self), indent=1))

    def values(self, metric: str) -> dict[int, float]:
        """The metric by epoch or iteration.

        A model that predicts nothing at all is worth 0: mmdet 3.3.0's CocoMetric then
        measures nothing.

        Raises:
            ValueError: Others were measured, and not this one.
        """
        known = sorted({name for _, found in self.curve for name in found})
        if not self.curve or (known and metric not in known):
            raise ValueError(
                f"metric='{metric}' was not measured; there is "
                f'{", ".join(known) or "no validation in this config"}'
            )
        return {at: found.get(metric, 0.0) for at, found in self.curve}
