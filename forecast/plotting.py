"""Every picture of the project.

    draw(forecaster, "forecast")       truth, model and naive around a cutoff; or the real future
    draw(forecaster, "fit")            one-step forecasts over the whole series
    draw(forecaster, "history")        loss by epoch
    draw(forecaster, "error_by_step")  MAE by step of the horizon, beside naive
    draw(forecaster, "splits")         which rows are for training, validation, calibration and test

Each function takes an `ax` to draw on and returns matplotlib Axes; save them with `ax.figure.savefig("picture.png")`.
Truth is black, the model blue, the naive forecast dashed grey, in every picture; a missing value is a gap. No display is
needed, nothing is ever shown from here, and matplotlib is imported when the first picture is drawn.

Axes: `N` cutoffs, `H` horizon, `K` targets, `S` series.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError, NotFitted, UnknownName, did_you_mean
from pipelines.panel import Panel
from pipelines.splits import PARTS, Splits, split

from . import _style as style
from .evaluation.scores import _number as number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .evaluation.backtest import Backtest
    from .forecaster import Forecaster

SHOWN = 120  # one-step forecasts in one picture
PAST = 30  # rows before the cutoff, at least


def plot_forecast(
    backtest: Backtest,
    *,
    series: str | None = None,
    target: str | None = None,
    cutoff: Any = None,
    past: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws forecasts of a backtest beside the truth and the naive forecast.

    With a horizon of several rows it is one forecast, of the last cutoff whose whole truth is known; with a horizon of
    one it is the last 120 forecasts, each from its own cutoff.

    Args:
        backtest: The forecasts.
        series: Name of the series; by default the first that has forecasts.
        target: By default the first.
        cutoff: Stamp of the cutoff to forecast from; with a horizon of one, of the first.
        past: Rows before the cutoff; by default four horizons, at least 30.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        DataError: The series has no forecast in this backtest.
        ConfigError: There is no forecast from this cutoff.
    """
    panel, spec = backtest.panel, backtest.index.spec
    s, k = picked.series_and_target(backtest, series, target)
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
    style.line(ax, x, truth, style.TRUTH, "truth")
    for name, look in ((("naive", _NAIVE)), (backtest.model, _MODEL)):
        y = np.full(len(x), np.nan)
        y[rows - first] = backtest.y_pred[name][which, :, k]
        style.line(ax, x[ahead], y[ahead], label=name, points=True, **look)
    at = panel.stamp(int(panel.ds[cutoffs[0]]), s)
    style.upright(ax, picked.stamps(panel, s, slice(cutoffs[0], cutoffs[0] + 1))[0], f"{'cutoff' if len(which) == 1 else 'first cutoff'} {at}")
    what = f"{spec.horizon} steps after {at}" if spec.horizon > 1 else f"{picked.many(len(which), 'one-step forecast')}"
    return style.finish(
        ax,
        x,
        title=(f"{backtest.model}: {picked.name_of(panel, s, backtest.targets[k])}, {what}", picked.maes(backtest, which, k)),
        xlabel=_xlabel(panel),
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
        past: Rows before the cutoff; by default four times the steps, at least 30.
        ax: Where to draw; by default a new figure.

    Raises:
        UnknownName: There is no such series or target.
        DataError: The frame has no forecast of the series.

    Example:
        >>> days = pd.date_range("2024-01-01", periods=7)
        >>> panel = Panel.from_frame(pd.DataFrame({"y": np.arange(5.0)}, index=days[:5]))
        >>> frame = pd.DataFrame({"unique_id": "series", "target": "y", "ds": days[5:], "cutoff": days[4], "y_pred": [5.0, 6.0]})
        >>> print(plot_future(panel, frame).get_title())
        model: y, 2 steps after 2024-01-05
    """
    if not len(frame):
        raise DataError("A forecast must have rows. Received: an empty frame.")
    s = picked.series_number(panel, frame["unique_id"].iloc[0] if series is None else series)
    target = picked.one_of("target", target, tuple(frame["target"].unique()))
    mine = frame[(frame["unique_id"] == panel.ids[s]) & (frame["target"] == target)]
    if not len(mine):
        raise DataError(f"Series {panel.ids[s]!r} has no forecast in this frame. Choose from: {_some(frame['unique_id'].unique())}")
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
    style.line(ax, ahead, np.full(len(ahead), observed[-1] if len(observed) else np.nan), label="naive", points=True, **_NAIVE)
    for column in reversed([c for c in mine.columns if c.startswith("y_pred_lo_")]):
        level = column.removeprefix("y_pred_lo_")
        edges = (mine[f"y_pred_{side}_{level}"].to_numpy(float) for side in ("lo", "hi"))
        ax.fill_between(ahead, *edges, color=style.MODEL, alpha=0.2, linewidth=0, label=f"{level} %")
    style.line(ax, ahead, mine["y_pred"].to_numpy(float), label=model, points=True, **_MODEL)
    at = panel.stamp(cutoff, s)
    style.upright(ax, np.asarray(panel.stamps_of(np.array([cutoff]), s))[0], f"cutoff {at}")
    return style.finish(
        ax,
        x if len(x) else ahead,
        title=(f"{model}: {picked.name_of(panel, s, target)}, {picked.many(len(mine), 'step')} after {at}",),
        xlabel=_xlabel(panel),
        ylabel=picked.with_unit(target, panel.unit if unit is None else unit),
    )


def plot_fit(
    *backtests: Backtest, series: str | None = None, target: str | None = None, step: int = 1, ax: Axes | None = None
) -> Axes:
    """Draws what a model says over the whole series: on rows that it was trained on, and on those it was not.

    Args:
        backtests: Of successive parts of the same rows, such as train and test.
        series: Name of the series; by default the first that has forecasts.
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
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 1 <= step <= horizon:
        raise ConfigError(f"`step` must be an integer from 1 to the horizon, {horizon}. Received: {step!r}")
    s, k = picked.series_and_target(one, series, target)
    span = panel.rows(s)
    x = picked.stamps(panel, s, span)

    ax = style.axes(ax)
    style.line(ax, x, picked.values(panel, one.targets[k], span), style.TRUTH, "truth", linewidth=1.2)
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
            ax, x, y, style.FITTED if trained else style.MODEL, labels.pop("train" if trained else "", ""), linewidth=1.2
        )
        style.shade(ax, backtest.part, x[starts[0]], x[min(starts[-1] + horizon, len(x) - 1)], backtest.part)
        errors.append(f"{backtest.part} {_pair(backtest, which, k, slice(step - 1, step))}")
    unit = f", {one.unit}" if one.unit else ""
    return style.finish(
        ax,
        x,
        title=(f"{model}: {picked.name_of(panel, s, one.targets[k])}, forecasts {picked.many(step, 'step')} ahead", f"MAE{unit}: {'; '.join(errors)}"),
        xlabel=_xlabel(panel),
        ylabel=picked.with_unit(one.targets[k], one.unit),
    )


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
        style.line(ax, epochs[[0, -1]], np.repeat(untrained[0], 2), label="untrained network", **_NAIVE)
    style.line(ax, epochs, losses["loss"], style.FITTED, "training loss", points=True)
    style.line(ax, epochs, losses["val_loss"], style.MODEL, "validation loss", points=True)
    if len(best):
        look = {"linestyle": "", "marker": "D", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 2}
        ax.plot([best_epoch], best, color=style.OTHER, label=f"best epoch, {best_epoch}", zorder=3, **look)
    every = np.concatenate(list(losses.values()))
    every = every[np.isfinite(every)]
    wide = len(every) > 0 and every.min() > 0 and every.max() > 20 * every.min()
    levels = [f"{name} {number(float(v[0]))}" for name, v in (("validation loss", best), ("untrained", untrained)) if len(v)]
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
    style.line(ax, steps, table["naive"].to_numpy(float), label="naive", points=True, **_NAIVE)
    if len(others):
        name = str(others.idxmin())
        label = f"{name.replace('_', ' ')}, the strongest other baseline"
        style.line(ax, steps, table[name].to_numpy(float), style.OTHER, label, points=True, linestyle="-.")
    style.line(ax, steps, table[backtest.model].to_numpy(float), label=backtest.model, points=True, **_MODEL)
    ax.set_ylim(bottom=0)
    unit = f" {backtest.unit}" if backtest.unit else ""
    return style.finish(
        ax,
        steps,
        title=(
            f"{backtest.model}: error of {target} by step, on {backtest.scores.many}",
            f"MAE over all steps {number(overall[backtest.model])}{unit}, naive {number(overall['naive'])}",
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
        >>> panel = Panel.from_frame(pd.DataFrame({"y": np.arange(10.0)}))
        >>> [text.get_text() for text in plot_splits(panel, split(panel)).get_legend().get_texts()]
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
        xlabel=_xlabel(panel),
        ylabel=picked.with_unit(target, panel.unit if unit is None else unit),
    )


_NAIVE: dict[str, Any] = {"color": style.NAIVE, "linestyle": "--"}
_MODEL: dict[str, Any] = {"color": style.MODEL, "linewidth": 2.0}
