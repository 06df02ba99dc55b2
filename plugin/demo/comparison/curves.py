"""The learning curves of a comparison."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plugin.demo.comparison.table import Row
from plugin.weights.files.whole_file import whole_file


def draw_curves(rows: list[Row], title: str, metric: str, out: Path) -> None:
    """Draw one line for each row: the mean of its seeds in the band of all of them.

    Args:
        rows: At least one.
        title: Over the picture.
        metric: What the values are called.
        out: The PNG to write, or to replace.
    """
    figure = Figure(figsize=(7, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row in rows:
        # An interrupted training may lack a point.
        epochs = sorted(set.intersection(*map(set, row.curves)))
        values = [[curve[epoch] for curve in row.curves] for epoch in epochs]
        line = axes.plot(epochs, [mean(v) for v in values], marker='.', label=row.name)
        if len(row.curves) > 1:
            least, most = map(min, values), map(max, values)
            axes.fill_between(
                epochs, list(least), list(most), color=line[0].get_color(), alpha=0.2
            )
    axes.set(title=title, xlabel=rows[0].unit, ylabel=metric)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    with whole_file(out, replace=True) as partial:
        figure.savefig(partial, format='png', dpi=120)
