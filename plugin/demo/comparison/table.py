"""The table of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mean

from plugin.demo.comparison.record import Record


@dataclass
class Row:
    """One training, over its seeds.

    Attributes:
        name: What it is called.
        curves: The metric by epoch or iteration, of each seed.
        trained: Parameters that were trained.
        minutes: CPU time of each seed.
        unit: What the curves count, 'epoch' or 'iteration'.
    """

    name: str
    curves: list[dict[int, float]] = field(default_factory=list)
    trained: int = 0
    minutes: list[float] = field(default_factory=list)
    unit: str = 'epoch'

    def add(self, record: Record, metric: str) -> None:
        """Add a seed."""
        self.curves.append(record.values(metric))
        self.trained = record.trained
        self.unit = record.unit
        self.minutes.append(record.cpu_seconds / 60)

    @property
    def last(self) -> list[float]:
        """The metric after the last epoch, of each seed; the best would flatter."""
        return [curve[max(curve)] for curve in self.curves]


def table(rows: list[Row], metric: str) -> str:
    """The rows in columns; with several seeds the mean, the least and the most.

    Args:
        rows: At least one, of the same number of seeds.
        metric: What the values are called.
    """
    cells = [('', metric, 'trained', 'CPU min')]
    for row in rows:
        cells.append(
            (
                row.name,
                spread(row.last),
                f'{row.trained / 1e6:.2f} M',
                f'{mean(row.minutes):.1f}',
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for name, *values in cells:
        right = [v.rjust(w) for v, w in zip(values, widths[1:], strict=True)]
        lines.append('  '.join([name.ljust(widths[0]), *right]))
    seeds = len(rows[0].last)
    if seeds > 1:
        lines.append(f'mean of {seeds} seeds (least to most)')
    minutes = sum(sum(row.minutes) for row in rows)
    lines.append(f'{minutes:.1f} CPU minutes in all')
    return '\n'.join(lines)


def spread(values: list[float]) -> str:
    """``0.613``, or the mean of several with the least and the most."""
    if len(values) == 1:
        return f'{values[0]:.3f}'
    return f'{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})'
