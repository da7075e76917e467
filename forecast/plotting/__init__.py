"""Every picture of the project.

    draw(forecaster, "forecast")       truth, model and naive around a cutoff; or the real future
    draw(forecaster, "fit")            one step of the forecasts over the whole series
    draw(forecaster, "history")        loss by epoch
    draw(forecaster, "error_by_step")  MAE by step of the horizon, beside naive
    draw(forecaster, "splits")         which rows are for training, validation, calibration and test
    draw(forecaster, "moves")          predicted against realised moves from the cutoff
    draw(forecaster, "intervals")      the ends of intervals over time, and what they missed
    draw(forecaster, "coverage")       how often intervals held lately, fixed and adaptive
    draw(forecaster, "leaderboard")    what "auto" tried, beside the forecasts to beat
    draw(forecaster, "inside")         gates and states of a recurrent layer over one window, attention weights
    plot_realised(accuracy)            what the published forecasts of a job were worth
    plot_parity(y_keras, y_file)       an exported file beside the network that it came from
    plot_trials(tuned)                 errors of a tuning's trials; `plot_searched` by the values that they tried

Each function takes an `ax` to draw on and returns matplotlib Axes; `ax.figure.savefig("picture.png")` keeps it. Truth
is black, the model blue, the naive forecast dashed grey, in every picture; a missing value is a gap. No display is
needed, nothing is shown from here, and matplotlib is imported when the first picture is drawn.

What each kind needs of a forecaster, `forecast/_kinds.py` says; how all looks, `forecast/_style.py`.

Axes: `N` cutoffs, `H` horizon, `K` targets, `S` series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel

from ..evaluation.intervals import level_name
from ..evaluation.moves import checked_step
from . import _picked as picked
from . import _style as style
from ._board import plot_leaderboard
from ._diagnostics import plot_error_by_step, plot_splits
from ._inside import plot_inside, write_inside
from ._moves import plot_coverage, plot_intervals, plot_moves
from ._parity import parity_png, plot_parity
from ._realised import plot_realised
from ._training import plot_gradients, plot_history
from ._trials import plot_searched, plot_trials, write_trials

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from ..evaluation.backtest import Backtest
    from ..forecaster import Forecaster

__all__ = [
    "draw",
    "parity_png",
    "plot_coverage",
    "plot_error_by_step",
    "plot_fit",
    "plot_forecast",
    "plot_future",
    "plot_gradients",
    "plot_history",
    "plot_inside",
    "plot_intervals",
    "plot_leaderboard",
    "plot_moves",
    "plot_parity",
    "plot_realised",
    "plot_searched",
    "plot_splits",
    "plot_trials",
    "write_inside",
    "write_trials",
]


def draw(forecaster: Forecaster, kind: str = "forecast", **options: Any) -> Axes:
    """Draws one picture of a forecaster.

    Args:
        forecaster: A fitted one.
        kind: "forecast", "fit", "history", "gradients", "leaderboard", "error_by_step", "splits", "moves", "intervals",
            "coverage" or "inside".
        options: Of each kind:
            forecast: `part` ("test"), `series`, `target`, `cutoff`, `past`; with `steps` (and `future`), or where the
                part holds no window, the real future is drawn.
            fit: `series`, `target`, `step`.
            history, gradients, leaderboard: none.
            error_by_step: `part` ("test"), `target`.
            splits: `series`, `target`.
            moves: `part` ("test"), `series`, `target`, `step`.
            intervals: `series`, `target`, `step`, `level`, `adaptive` (False), of the test part.
            coverage: `series`, `target`, `step`, `level`, `lately`, of the test part.
            inside: `series`, `cutoff`, `layer`; see `forecast.inspection.inspect`.
            Every kind takes `ax`.

    Raises:
        ConfigError: There is no such kind, or it has no such option.
        NotFitted: There is no trained network yet; for "history": no training run.
        UnknownName: There is no such series or target; for "inside": no such layer.
        DataError: There is nothing to draw.
    """
    from ._kinds import picture

    return picture(kind, options)(forecaster, **options)


def write(forecaster: Forecaster, path: str | Path, kind: str = "forecast", **options: Any) -> None:
    """Draws a picture into a file, and shows it nowhere; arguments and errors as for `draw`."""
    style.save(draw(forecaster, kind, ax=style.unseen_axes(), **options), path)


def plot_forecast(
    backtest: Backtest,
    *,
    series: str | None = None,
    target: str | None = None,
    cutoff: Any = None,
    past: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws forecasts of a backtest beside the truth and the naive forecast, with intervals where there are any.

    With a horizon of several rows it is one forecast, of the last cutoff whose whole truth is known; with a horizon of
    one it is the last 120 forecasts, each from its own cutoff.

    Args:
        backtest: The forecasts.
        series: Name of the series; by default the first that has forecasts.
        target: By default the first.
        cutoff: Stamp of the cutoff to forecast from; with a horizon of one, of the first.
        past: Rows before the cutoff; by default four horizons, at least 20.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        DataError: The series has no forecast in this backtest.
        ConfigError: There is no forecast from this cutoff.
    """
    panel, spec = backtest.panel, backtest.index.spec
    s, k = picked.series_and_target([backtest], series, target)
    which = picked.windows(backtest, s, k, cutoff)
    cutoffs = backtest.index.cutoffs[which]
    rows = (cutoffs + 1 + spec.gap)[:, None] + np.arange(spec.horizon)  # (N, H)
    first = max(panel.rows(s).start, cutoffs[0] + 1 - picked.past_rows(past, spec.horizon))
    shown = slice(first, rows.max() + 1)
    x = picked.stamps(panel, s, shown)
    truth = picked.values(panel, backtest.targets[k], shown)
    truth[rows - first] = backtest.y_true[which, :, k]
    ahead = slice(rows.min() - first, None)

    ax = style.axes(ax)
    few = rows[0] - first if len(which) == 1 and spec.horizon <= style.FEW else False
    style.line(ax, x, truth, style.TRUTH, "truth", points=few)
    for name, look in ((backtest.model, style.MODEL_LINE), ("naive", style.NAIVE_LINE)):
        y = np.full(len(x), np.nan)
        y[rows - first] = backtest.y_pred[name][which, :, k]
        style.line(ax, x[ahead], y[ahead], label=name, **look)
    for i, (level, ends) in enumerate(sorted(backtest.bands.ends.items(), reverse=True) if backtest.bands else ()):
        low, high = np.full((2, len(x)), np.nan)
        low[rows - first], high[rows - first] = (end[which, :, k] for end in ends)
        style.band(ax, x[ahead], low[ahead], high[ahead], level_name(level), i)
    at = panel.stamp(int(panel.ds[cutoffs[0]]), s)
    cutoff_label = f"cutoff {at}" if len(which) == 1 else f"first cutoff {at}"
    style.upright(ax, picked.stamps(panel, s, cutoffs[:1])[0], cutoff_label)
    what = f"{spec.horizon} steps after {at}" if spec.horizon > 1 else picked.many(len(which), "one-step forecast")
    mae = picked.maes(backtest, which, k, unit=backtest.unit)
    return style.finish(
        ax,
        x,
        title=(f"{backtest.model}: {picked.name_of(panel, s, backtest.targets[k])}, {what}", f"MAE {mae}"),
        xlabel="" if panel.dated else "stamp",
        ylabel=picked.with_unit(backtest.targets[k], backtest.unit),
    )


def plot_future(
    panel: Panel,
    frame: pd.DataFrame,
    *,
    series: str | None = None,
    target: str | None = None,
    model: str = "model",
    unit: str | None = None,
    past: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a forecast of the real future, after the last rows of its series; intervals where the frame has them.

    Args:
        panel: The rows that were forecast from.
        frame: What `Forecaster.predict` returned.
        series: Name of the series; by default the first in the frame.
        target: By default the first in the frame.
        model: Name of the model.
        unit: What the values are counted in; by default the panel's.
        past: Rows before the cutoff; by default four times the steps, at least 20.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        DataError: The frame has no forecast of the series.

    Example:
        >>> days = pd.date_range("2024-01-01", periods=7)
        >>> panel = Panel.from_frame(pd.DataFrame({"y": np.arange(5.0)}, index=days[:5]))
        >>> frame = pd.DataFrame({"unique_id": "series", "target": "y", "ds": days[5:], "cutoff": days[4]})
        >>> frame["y_pred"] = [5.0, 6.0]
        >>> print(plot_future(panel, frame).get_title())
        model: y, 2 steps after 2024-01-05
    """
    if not len(frame):
        raise DataError("A forecast must have rows. Received: an empty frame.")
    s = picked.series_number(panel, frame["unique_id"].iloc[0] if series is None else series)
    target = picked.one_of("target", target, tuple(frame["target"].unique()))
    mine = frame[(frame["unique_id"] == panel.ids[s]) & (frame["target"] == target)]
    if not len(mine):
        raise picked.no_forecast(panel.ids[s], frame["unique_id"].unique())
    cutoff = picked.instant(panel, s, mine["cutoff"].iloc[0])
    span = panel.rows(s)
    end = span.start + int(np.searchsorted(panel.ds[span], cutoff, side="right"))
    shown = slice(max(span.start, end - picked.past_rows(past, len(mine))), end)
    x, values = picked.stamps(panel, s, shown), picked.values(panel, target, shown)
    ds = mine["ds"]
    ahead = np.asarray(ds.dt.tz_localize(None) if getattr(ds.dtype, "tz", None) else ds)
    observed = values[~np.isnan(values)]

    ax = style.axes(ax)
    style.line(ax, x, values, style.TRUTH, "truth")
    naive = np.full(len(ahead), observed[-1] if len(observed) else np.nan)
    style.line(ax, ahead, naive, label="naive", **style.NAIVE_LINE)
    levels = [column.removeprefix("y_pred_lo_") for column in mine.columns if column.startswith("y_pred_lo_")]
    for i, level in enumerate(sorted(levels, key=float, reverse=True)):  # the widest lies below
        low, high = (mine[f"y_pred_{side}_{level}"].to_numpy(float) for side in ("lo", "hi"))
        style.band(ax, ahead, low, high, level, i)
    style.line(ax, ahead, mine["y_pred"].to_numpy(float), label=model, **style.MODEL_LINE)
    at = panel.stamp(cutoff, s)
    style.upright(ax, np.asarray(panel.stamps_of(np.array([cutoff]), s))[0], f"cutoff {at}")
    return style.finish(
        ax,
        x if len(x) else ahead,
        title=(f"{model}: {picked.name_of(panel, s, target)}, {picked.many(len(mine), 'step')} after {at}",),
        xlabel="" if panel.dated else "stamp",
        ylabel=picked.with_unit(target, panel.unit if unit is None else unit),
    )


def plot_fit(
    *backtests: Backtest, series: str | None = None, target: str | None = None, step: int = 1, ax: Axes | None = None
) -> Axes:
    """Draws what a model says over the whole series: on rows that it was trained on, and on those it was not.

    Thousands of rows are a dense picture: `ax.set_xlim(first, last)` looks closer.

    Args:
        backtests: Of successive parts of the same rows, such as train and test.
        series: Name of the series; by default the first that has forecasts in most of them.
        target: By default the first.
        step: Which step of the horizon, counted from 1.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        DataError: The series has no forecast in any of the backtests.
        ConfigError: There is no such step, no backtest, or they are of different rows.
    """
    if not backtests or any(len(b.panel) != len(backtests[0].panel) for b in backtests):
        counts = ", ".join(f"{len(b.panel):,} rows" for b in backtests) or "none"
        raise ConfigError(f"`backtests` must be one or more, of the same rows. Received: {counts}")
    one = backtests[0]
    panel, horizon, model = one.panel, one.index.spec.horizon, one.model
    step = checked_step(step, horizon)
    s, k = picked.series_and_target(backtests, series, target)
    span = panel.rows(s)
    x = picked.stamps(panel, s, span)

    ax = style.axes(ax)
    style.line(ax, x, picked.values(panel, one.targets[k], span), style.TRUTH, "truth", linewidth=2.2)
    errors, labels = [], {"train": f"{model} on train rows", "": f"{model} on later rows"}
    for backtest in backtests:
        which = np.flatnonzero(backtest.index.series == s)
        if not len(which):
            continue
        starts = backtest.index.cutoffs[which] + 1 + backtest.index.spec.gap - span.start  # (N,)
        y = np.full(len(x), np.nan)
        y[starts + step - 1] = backtest.y_pred[model][which, step - 1, k]
        trained = backtest.part == "train"
        style.line(
            ax,
            x,
            y,
            style.FITTED if trained else style.MODEL,
            labels.pop("train" if trained else "", ""),
            linewidth=1.1,
        )
        style.shade(ax, backtest.part, x[starts[0]], x[min(starts[-1] + horizon, len(x) - 1)], backtest.part)
        errors.append(f"{backtest.part} {picked.maes(backtest, which, k, slice(step - 1, step))}")
    return style.finish(
        ax,
        x,
        title=(
            f"{model}: {picked.name_of(panel, s, one.targets[k])}, forecasts {picked.many(step, 'step')} ahead",
            f"MAE: {', '.join(errors)}",
        ),
        xlabel="" if panel.dated else "stamp",
        ylabel=picked.with_unit(one.targets[k], one.unit),
    )
