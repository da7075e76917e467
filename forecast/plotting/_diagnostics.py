"""Pictures of what lies beside a forecast: how training went, how errors grow with the step, how rows are cut.

    plot_history         loss by epoch
    plot_error_by_step   MAE by step of the horizon, beside naive
    plot_splits          a series with its parts shaded

They belong to `forecast/plotting.py`, which says what all pictures share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.panel import Panel
from pipelines.splits import PARTS, Splits

from . import _picked as picked
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.backtest import Backtest


def plot_history(history: pd.DataFrame, best_epoch: int, *, loss: str = "", ax: Axes | None = None) -> Axes:
    """Draws the loss on training and validation windows by epoch, and marks the epoch whose weights were kept.

    Epoch 0 is the untrained network: its validation loss is the level line that training must get below. Where losses
    range over more than a factor of 20, the axis is logarithmic.

    Args:
        history: Columns `epoch, loss, val_loss`, one row an epoch.
        best_epoch: The epoch whose weights were kept.
        loss: Name of the loss, such as "mse".
        ax: Where to draw; by default a new figure.

    Example:
        >>> history = pd.DataFrame({"epoch": [0, 1, 2], "loss": [np.nan, 0.5, 0.4], "val_loss": [0.9, 0.6, 0.7]})
        >>> print(plot_history(history, best_epoch=1, loss="mse").get_title())
        Loss by epoch; the weights of epoch 1 were kept
        validation loss 0.6000, untrained 0.9000
    """
    epochs = history["epoch"].to_numpy(int)
    losses = {name: history[name].to_numpy(float) for name in ("loss", "val_loss")}
    untrained = losses["val_loss"][epochs == 0]
    best = losses["val_loss"][epochs == best_epoch]

    ax = style.axes(ax)
    if len(untrained):
        style.line(ax, epochs[[0, -1]], np.repeat(untrained[0], 2), label="untrained network", **style.NAIVE_LINE)
    style.line(ax, epochs, losses["loss"], style.FITTED, "training loss", points=True)
    style.line(ax, epochs, losses["val_loss"], style.MODEL, "validation loss", points=True)
    if len(best):
        look: dict[str, Any] = {
            "linestyle": "",
            "marker": "D",
            "markersize": 9,
            "markerfacecolor": "none",
            "markeredgewidth": 2,
        }
        ax.plot([best_epoch], best, color=style.OTHER, label=f"best epoch, {best_epoch}", zorder=3, **look)
    every = np.concatenate(list(losses.values()))
    every = every[np.isfinite(every)]
    wide = len(every) > 0 and every.min() > 0 and every.max() > 20 * every.min()
    levels = [
        f"{name} {picked.number(float(v[0]))}"
        for name, v in (("validation loss", best), ("untrained", untrained))
        if len(v)
    ]
    kept = f"the weights of epoch {best_epoch} were kept" if best_epoch else "training never beat the untrained network"
    if wide:
        from matplotlib.ticker import LogLocator, NullLocator

        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if every.max() < 1000 * every.min() else (1,)))
        ax.yaxis.set_minor_locator(NullLocator())
    return style.finish(
        ax,
        epochs,
        title=(f"Loss by epoch; {kept}", ", ".join(levels)),
        xlabel="epoch",
        ylabel=f"{loss or 'loss'} of scaled values{', log scale' if wide else ''}",
    )


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
