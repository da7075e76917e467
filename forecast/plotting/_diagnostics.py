"""Pictures of what lies beside a forecast: how errors grow with the step, how rows are cut.

    plot_error_by_step   MAE by step of the horizon, beside naive
    plot_splits          a series with its parts shaded

They belong to `forecast/plotting.py`, which says what all pictures share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.panel import Panel
from pipelines.splits import PARTS, Splits

from . import _picked as picked
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.backtest import Backtest


def plot_error_by_step(backtest: Backtest, *, target: str | None = None, ax: Axes | None = None) -> Axes:
    """Draws the mean absolute error by step of the horizon: the model's, naive's, and the strongest other baseline's.

    Args:
        backtest: The forecasts, of all series.
        target: By default the first.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such target.
    """
    target = picked.one_of("target", target, backtest.targets)
    table = backtest.by("step")["mae"].xs(target, level="target").unstack("model")
    overall = backtest.scores.table.xs(target, level="target")["mae"]
    others = overall.drop([backtest.model, "naive"], errors="ignore").dropna()
    steps = table.index.to_numpy(int)

    ax = style.axes(ax)
    style.line(ax, steps, table["naive"].to_numpy(float), label="naive", **style.NAIVE_LINE)
    if len(others):
        name = str(others.idxmin())
        label = f"{name.replace('_', ' ')}, the strongest other baseline"
        style.line(ax, steps, table[name].to_numpy(float), style.OTHER, label, points=True, linestyle="-.")
    style.line(ax, steps, table[backtest.model].to_numpy(float), label=backtest.model, **style.MODEL_LINE)
    highest = max(float(np.nanmax(drawn.get_ydata(), initial=0)) for drawn in ax.lines)
    ax.set_ylim(0, 1.1 * highest or 1)
    unit = f" {backtest.unit}" if backtest.unit else ""
    mine, naive = (picked.number(float(overall[name])) for name in (backtest.model, "naive"))
    return style.finish(
        ax,
        steps,
        title=(
            f"{backtest.model}: error of {target} by step, on {backtest.many}",
            f"MAE over all steps {mine}{unit} (naive {naive})",
        ),
        xlabel="step after the cutoff",
        ylabel=picked.with_unit(f"MAE of {target}", backtest.unit),
    )


def plot_splits(
    panel: Panel,
    splits: Splits,
    *,
    series: str | None = None,
    target: str | None = None,
    unit: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a series with its parts shaded, and says how many of its rows each part has.

    Args:
        panel: The rows.
        splits: Where they are cut.
        series: Name of the series; by default the first.
        target: Column to draw; by default the first.
        unit: What the values are counted in; by default the panel's.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or column.

    Example:
        >>> import pandas as pd
        >>> from pipelines.splits import SplitSpec, split
        >>> panel = Panel.from_frame(pd.DataFrame({"y": np.arange(10.0)}))
        >>> splits = split(panel, SplitSpec(calibration=0))
        >>> [text.get_text() for text in plot_splits(panel, splits).get_legend().get_texts()]
        ['y', 'train, 7 rows', 'validation, 1 row', 'test, 2 rows']
    """
    s = picked.series_number(panel, panel.ids[0] if series is None else series)
    target = picked.one_of("target", target, panel.columns)
    span = panel.rows(s)
    x = picked.stamps(panel, s, span)
    ax = style.axes(ax)
    style.line(ax, x, picked.values(panel, target, span), style.TRUTH, target, linewidth=1.0)
    for part in PARTS:
        first, end = (int(bound[s]) - span.start for bound in splits.rows(part))
        if end > first:
            style.shade(ax, part, x[first], x[min(end, len(x) - 1)], f"{part}, {picked.many(end - first, 'row')}")
    total = f"{len(panel):,} rows in all series" if len(panel.ids) > 1 else ""
    return style.finish(
        ax,
        x,
        title=(f"{picked.name_of(panel, s, target)}: {picked.many(len(x), 'row')} in time order", total),
        xlabel="" if panel.dated else "stamp",
        ylabel=picked.with_unit(target, panel.unit if unit is None else unit),
    )
