"""Pictures that only a report has; those of `forecast/plotting` stand beside them, and all look the same.

    latest              truth, naive, and the last forecasts of a series that share no row, with their intervals
    error_over_time     MAE of model and naive by the time of the cutoff
    lead                by how much the model is ahead of naive, summed up from the first cutoff on
    coverage_by_step    how often intervals held, by step
    coverage_over_time  likewise, by the time of the cutoff
    spread              how many series have which error beside naive

Each draws on given Axes and returns them.

Axes: `N` cutoffs, `H` horizon, `K` targets.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..evaluation.backtest import Backtest
from ..evaluation.intervals import level_name
from ..plotting import _picked as picked
from ..plotting import _style as style
from ..text import number
from . import _facts as facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORECASTS = 6  # of one picture, where the horizon is several rows
ROWS = 120  # that these have at most
LEVELS = (style.MODEL, style.OTHER, style.PART_COLOURS["validation"], style.PART_COLOURS["calibration"])


def latest(backtest: Backtest, s: int, k: int, ax: "Axes") -> "Axes":
    """Draws the last forecasts of a series, of which no two share a row, beside truth and naive."""
    panel, index = backtest.panel, backtest.index
    every = np.flatnonzero(index.series == s)
    H = index.spec.horizon
    rows = (index.cutoffs[every] + 1 + index.spec.gap)[:, None] + np.arange(H)  # (N, H)
    chosen = _apart(rows, max(1, min(FORECASTS, ROWS // H)) if H > 1 else ROWS)
    which, rows = every[chosen], rows[chosen]
    first = max(panel.rows(s).start, index.cutoffs[which[0]] - max(4, H))
    shown = slice(first, rows[-1, -1] + 1)
    truth = picked.values(panel, backtest.targets[k], shown)
    truth[rows - first] = backtest.y_true[which, :, k]
    x = picked.stamps(panel, s, rows.ravel()).reshape(rows.shape)
    ahead = _separate(x, x[:, -1:])

    style.line(ax, picked.stamps(panel, s, shown), truth, style.TRUTH, "truth")
    for name, look in (("naive", style.NAIVE_LINE), (backtest.model, style.MODEL_LINE)):
        y = _separate(backtest.y_pred[name][which, :, k])
        style.line(ax, ahead, y, label=name, **({**look, "points": True} if H == 1 else look))
    for i, (level, ends) in enumerate(sorted(backtest.bands.ends.items(), reverse=True) if backtest.bands else ()):
        low, high = (_separate(end[which, :, k]) for end in ends)
        style.band(ax, ahead, low, high, level_name(level), i)
    if H > 1:
        for i, at in enumerate(picked.stamps(panel, s, index.cutoffs[which])):
            style.upright(ax, at, "cutoff" if not i else "_")
    what = f"{len(which)} forecasts" if len(which) > 1 else "forecast"
    return style.finish(
        ax,
        ahead,
        title=(
            f"{picked.name_of(panel, s, backtest.targets[k])}: the last {what} of {picked.many(H, 'step')}",
            f"MAE {picked.maes(backtest, which, k, unit=backtest.unit)}",
        ),
        xlabel="" if panel.dated else "stamp",
        ylabel=picked.with_unit(backtest.targets[k], backtest.unit),
    )


def error_over_time(backtest: Backtest, k: int, ax: "Axes") -> "Axes":
    """Draws the mean absolute error of model and naive by the time of the cutoff."""
    table, period = facts.by_time(backtest, k)
    x = table.index.to_numpy()
    style.line(ax, x, table["naive"].to_numpy(), label="naive", **style.NAIVE_LINE)
    style.line(ax, x, table["model"].to_numpy(), label=backtest.model, **style.MODEL_LINE)
    ax.set_ylim(0, 1.08 * float(np.nanmax(table[["model", "naive"]].to_numpy(), initial=0)) or 1)
    better, known = int((table["model"] < table["naive"]).sum()), int(table["model"].notna().sum())
    return style.finish(
        ax,
        x,
        title=(
            f"Error of {backtest.targets[k]} by {period}",
            f"lower than naive in {better:,} of {picked.many(known, _plain(period))}",
        ),
        xlabel="cutoff" if backtest.panel.dated else "stamp of the cutoff",
        ylabel=picked.with_unit("MAE", backtest.unit),
    )


def lead(backtest: Backtest, k: int, ax: "Axes") -> "Axes":
    """Draws how far the model is ahead of naive, summed up over cutoffs: it rises where the model is better.

    Source:
        Goyal and Welch (2008), figure 1, https://doi.org/10.1093/rfs/hhm014, here of absolute errors.
    """
    table = facts.by_cutoff(backtest, k)
    x, ahead = table.index.to_numpy(), (table["naive"] - table["model"]).cumsum().to_numpy()
    style.line(ax, x[[0, -1]], np.zeros(2), label="naive", **style.NAIVE_LINE)
    style.line(ax, x, ahead, label=backtest.model, **{**style.MODEL_LINE, "points": False})
    return style.finish(
        ax,
        x,
        title=(f"Lead over naive in {backtest.targets[k]}, summed up from the first cutoff on",),
        xlabel="cutoff" if backtest.panel.dated else "stamp of the cutoff",
        ylabel=picked.with_unit("sum of MAE saved", backtest.unit),
    )


def coverage_by_step(backtest: Backtest, k: int, ax: "Axes") -> "Axes":
    """Draws how often intervals held the truth by step, beside what they promise."""
    table = backtest.coverage("step").xs(backtest.targets[k], level="target")["coverage"].unstack("level")
    return _coverage(table, f"Coverage of {backtest.targets[k]} by step", "step after the cutoff", ax)


def coverage_over_time(backtest: Backtest, k: int, ax: "Axes") -> "Axes":
    """Draws how often intervals held the truth by the time of the cutoff, beside what they promise."""
    table, period = facts.coverage_by_time(backtest, k)
    title = f"Coverage of {backtest.targets[k]} by {period}"
    return _coverage(table.drop(columns="values"), title, "cutoff" if backtest.panel.dated else "stamp", ax)


def spread(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """Draws how many series have which MAE, as a ratio to that of naive; far ones count in the last bars."""
    ratios = table["ratio"].dropna().to_numpy()
    reach = min(1.0, max(0.05, 1.1 * float(np.quantile(abs(ratios - 1), 0.98))))
    edges = np.linspace(1 - reach, 1 + reach, 31)  # one edge is at 1
    counts, _ = np.histogram(np.clip(ratios, edges[0], edges[-1]), edges)
    ax.bar(edges[:-1], counts, np.diff(edges) * 0.9, align="edge", color=style.MODEL, label="series")
    style.upright(ax, 1.0, "naive")
    style.finish(
        ax,
        edges,
        title=(
            f"Error of {len(ratios):,} series beside naive",
            f"lower than naive in {int((ratios < 1).sum()):,}; the middle half lies between "
            f"{number(float(np.quantile(ratios, 0.25)))} and {number(float(np.quantile(ratios, 0.75)))}",
        ),
        xlabel="MAE of the model / MAE of naive; below 1 is better",
        ylabel="series",
    )
    from matplotlib.ticker import AutoLocator, ScalarFormatter

    ax.xaxis.set_major_locator(AutoLocator())
    ax.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    return ax


def _coverage(table: pd.DataFrame, title: str, xlabel: str, ax: "Axes") -> "Axes":
    x = table.index.to_numpy()
    ends = x[[0, -1]]
    levels = [float(level) for level in table.columns]
    for i, level in enumerate(levels):
        look = {**style.NAIVE_LINE, "linewidth": 1.2}
        style.line(ax, ends, np.repeat(level, 2), label="promised" if not i else "", **look)
    lowest = 100.0
    for i, level in enumerate(levels):
        share = table.iloc[:, i].to_numpy(float)
        colour = LEVELS[i % len(LEVELS)]
        style.line(ax, x, share, colour, f"{level_name(level)} % intervals", points=True, linewidth=2.2)
        lowest = min(lowest, level, float(np.nanmin(share, initial=100.0)))
    ax.set_ylim(max(-2.0, lowest - 8), 102)
    return style.finish(ax, x, title=(title,), xlabel=xlabel, ylabel="true values inside, percent")


def _apart(rows: np.ndarray, most: int) -> np.ndarray:
    """Returns which windows to draw of `rows` `(N, H)`: from the last one back, so many that share no row, in order."""
    chosen: list[int] = []
    for n in range(len(rows) - 1, -1, -1):
        if not chosen or rows[n, -1] < rows[chosen[-1], 0]:
            chosen.append(n)
        if len(chosen) == most:
            break
    return np.array(chosen[::-1])


def _separate(values: np.ndarray, between: np.ndarray | float = np.nan) -> np.ndarray:
    """Returns windows `(N, H)` one after the other, with something between them; with one step they are one line."""
    if values.shape[1] == 1:
        return values[:, 0]
    end = np.broadcast_to(between, (len(values), 1))
    return np.concatenate([values, end], axis=1).ravel()


def _plain(period: str) -> str:
    return "period" if period.endswith("stamps") else period
