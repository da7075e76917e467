"""Pictures that a forecast of levels hides: did it know the move, and did its intervals hold all the time?

    plot_moves       predicted against realised moves; knowledge lies along the diagonal
    plot_intervals   the ends of intervals over time, and what they missed
    plot_coverage    how often intervals held lately, beside the level that they claim

They belong to `forecast/plotting`, which says what all pictures share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import ConfigError, DataError

from ..evaluation.bands import judged
from ..evaluation.intervals import level_name
from ..evaluation.moves import checked_step, moves
from . import _picked as picked
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.backtest import Backtest

LATELY = 50  # forecasts, over which coverage is counted


def plot_moves(
    backtest: Backtest,
    *,
    series: str | None = None,
    target: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws predicted against realised moves from the cutoff to a step, of cutoffs whose futures do not overlap.

    Moves are relative, in percent, where all values at the cutoffs are above zero; else in units. Both axes have the
    same range: a network that says little lies flat on the naive line.

    Args:
        backtest: The forecasts.
        series: Name of the series; by default the first that has forecasts.
        target: By default the first.
        step: By default the last: the whole move.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        ConfigError: There is no such step.
        DataError: The series has no forecast whose truth was observed.
    """
    from matplotlib.ticker import AutoLocator

    s, k = picked.series_and_target([backtest], series, target)
    panel, name = backtest.panel, backtest.targets[k]
    made = moves(backtest, step=step, target=name, series=panel.ids[s])
    if not len(made):
        raise DataError(f"Some true value must have been observed. Received: none of {panel.ids[s]} at this step.")
    relative = bool((made.last > 0).all())
    scale = made.last / 100 if relative else 1.0
    realised, predicted = (made.y_true - made.last) / scale, (made.y_pred - made.last) / scale
    far = 1.05 * float(np.abs([realised, predicted]).max()) or 1.0

    ax = style.axes(ax)
    ends = np.array([-far, far])
    style.line(ax, ends, ends, style.TRUTH, "predicted = realised", linewidth=1.0)
    style.line(ax, ends, 0 * ends, label="naive", **style.NAIVE_LINE)
    ax.plot(
        realised,
        predicted,
        "o",
        color=style.MODEL,
        alpha=0.5,
        markersize=5,
        label=f"a move by {backtest.model}",
        zorder=3,
    )
    low, high = made.interval()
    known = "" if np.isnan(made.correlation) else f"correlation {made.correlation:.2f}, "
    right = (
        "no direction"
        if np.isnan(low)
        else f"direction {made.accuracy:.1f} % right (95 % interval {low:.1f} to {high:.1f}; up {made.up_share:.1f} %)"
    )
    unit = "%" if relative else backtest.unit
    ax = style.finish(
        ax,
        ends,
        title=(
            f"{backtest.model}: {picked.name_of(panel, s, name)}, {picked.many(len(made), 'move')} over "
            f"{picked.many(made.step, 'step')}",
            known + right,
        ),
        xlabel=picked.with_unit("realised move", unit),
        ylabel=picked.with_unit("predicted move", unit),
    )
    ax.set(xlim=ends, ylim=ends)
    ax.xaxis.set_major_locator(AutoLocator())  # moves need not be whole numbers
    ax.xaxis.set_major_formatter(ax.yaxis.get_major_formatter())
    return ax


def plot_intervals(
    backtest: Backtest,
    *,
    series: str | None = None,
    target: str | None = None,
    step: int = 1,
    level: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the intervals of one step over time, the truth in them, and the values that they missed.

    Args:
        backtest: With intervals.
        series: Name of the series; by default the first that has forecasts.
        target: By default the first.
        step: Which step of the horizon, counted from 1.
        level: Which intervals, in percent; by default the lowest there are.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        ConfigError: There are no intervals, or none of this level; or there is no such step.
    """
    s, k, h, level = _chosen(backtest, series, target, step, level)
    panel, name = backtest.panel, backtest.targets[k]
    at, y_true, low, high = _ends(backtest, s, k, h, level)
    shown = slice(int(at[0]), int(at[-1]) + 1)
    x = picked.stamps(panel, s, shown)
    over = np.full((3, len(x)), np.nan)
    over[:, at - at[0]] = y_true, low, high
    missed = (over[0] < over[1]) | (over[0] > over[2])

    ax = style.axes(ax)
    style.line(ax, x, over[0], style.TRUTH, "truth", linewidth=1.2)
    label = f"missed, {missed.sum():,} of {int((~np.isnan(y_true)).sum()):,}"
    ax.plot(x[missed], over[0][missed], "o", color=style.OTHER, markersize=4, label=label, zorder=3)
    style.band(ax, x, over[1], over[2], level_name(level), 0)
    held = judged(y_true, low, high, level)
    unit = f" {backtest.unit}" if backtest.unit else ""
    return style.finish(
        ax,
        x,
        title=(
            f"{backtest.model}: {picked.name_of(panel, s, name)}, {_kind(backtest)} intervals {picked.many(h, 'step')} "
            "ahead",
            f"{level_name(level)} %: held {held['coverage']:.1f} %, mean width {picked.number(held['width'])}{unit}",
        ),
        xlabel="" if panel.dated else "stamp",
        ylabel=picked.with_unit(name, backtest.unit),
    )


def plot_coverage(
    *backtests: Backtest,
    series: str | None = None,
    target: str | None = None,
    step: int = 1,
    level: float | None = None,
    lately: int = LATELY,
    ax: Axes | None = None,
) -> Axes:
    """Draws how many of the last forecasts up to each time held the truth, beside the level that they claim.

    Args:
        backtests: With intervals, such as `backtest, backtest.adaptive()`, of the same rows.
        series: Name of the series; by default the first that has forecasts.
        target: By default the first.
        step: Which step of the horizon, counted from 1.
        level: Which intervals, in percent; by default the lowest there are.
        lately: How many forecasts are counted; the line begins where there are so many.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        ConfigError: There are no intervals, or none of this level; or a number is out of range.
    """
    if not backtests:
        raise ConfigError("There must be a backtest to draw. Received: none")
    one = backtests[0]
    s, k, h, level = _chosen(one, series, target, step, level)
    fewest = min(int((backtest.index.series == s).sum()) for backtest in backtests)
    if isinstance(lately, bool) or not isinstance(lately, int | np.integer) or not 1 <= lately <= fewest:
        raise ConfigError(
            f"`lately` must be an integer from 1 to the number of forecasts, {fewest:,}. Received: {lately!r}"
        )
    ax, shares = style.axes(ax), []
    for number, backtest in enumerate(backtests):
        at, y_true, low, high = _ends(backtest, s, k, h, level)
        known = ~np.isnan(y_true)
        held = ((y_true >= low) & (y_true <= high))[known]
        x = picked.stamps(backtest.panel, s, at)[known]
        lately_held = 100 * np.convolve(held, np.ones(lately) / lately, mode="valid")
        colour = (style.MODEL, style.OTHER, style.FITTED)[number % 3]
        style.line(ax, x[lately - 1 :], lately_held, colour, _kind(backtest))
        shares.append(f"{_kind(backtest)} {100 * held.mean():.1f} %")
    ends = picked.stamps(one.panel, s, at[[0, -1]])
    style.line(ax, ends, np.full(2, level), label=f"{level_name(level)} % claimed", **style.NAIVE_LINE)
    ax.set_ylim(None, 102)
    return style.finish(
        ax,
        ends,
        title=(
            f"{one.model}: {picked.name_of(one.panel, s, one.targets[k])}, how often intervals "
            f"{picked.many(h, 'step')} ahead held, in the last {picked.many(lately, 'forecast')}",
            f"over all of them: {', '.join(shares)}",
        ),
        xlabel="" if one.panel.dated else "stamp",
        ylabel="held, %",
    )


def _chosen(
    backtest: Backtest, series: str | None, target: str | None, step: int, level: float | None
) -> tuple[int, int, int, float]:
    """Returns the numbers of series and target, the step and the level to draw."""
    s, k = picked.series_and_target([backtest], series, target)
    levels = sorted(backtest.intervals().ends)
    if level is not None and level not in levels:
        names = ", ".join(map(level_name, levels))
        raise ConfigError(f"`level` must be one of the backtest's, {names}. Received: {level!r}")
    return s, k, checked_step(step, backtest.index.spec.horizon), levels[0] if level is None else level


def _ends(backtest: Backtest, s: int, k: int, h: int, level: float) -> tuple[np.ndarray, ...]:
    """Returns rows of step `h`, truth, and the ends of its intervals, of one series, `(N,)` each."""
    which = np.flatnonzero(backtest.index.series == s)
    rows = backtest.index.cutoffs[which] + backtest.index.spec.gap + h
    low, high = backtest.intervals().ends[level]
    return rows, backtest.y_true[which, h - 1, k], low[which, h - 1, k], high[which, h - 1, k]


def _kind(backtest: Backtest) -> str:
    return "adaptive" if backtest.intervals().asked else "fixed"
