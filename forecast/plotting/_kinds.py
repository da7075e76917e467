"""What each kind of picture needs of a forecaster: its backtests, rows, splits or history.

    picture("fit", options)(forecaster, **options)   ->   backtests of each part   ->   plotting.plot_fit

Where a picture shows one series of many, only that one is forecast.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError, NotFitted, did_you_mean
from pipelines.splits import PARTS
from pipelines.windows import WindowIndex

from .. import plotting
from . import _picked as picked
from ._moves import LATELY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.backtest import Backtest
    from ..forecaster import Forecaster


def picture(kind: str, options: Iterable[str]) -> Callable[..., Axes]:
    """Returns the function that draws a kind.

    Raises:
        ConfigError: There is no such kind, or it has no such option.
    """
    if kind not in _KINDS:
        raise ConfigError(
            f"`kind` must be one of {', '.join(_KINDS)}. Received: {kind!r}.{did_you_mean(str(kind), _KINDS)}"
        )
    takes = list(inspect.signature(_KINDS[kind]).parameters)[1:]
    for name in options:
        if name not in takes:
            raise ConfigError(f"{kind!r} takes {', '.join(takes)}. Received: {name!r}.{did_you_mean(name, takes)}")
    return _KINDS[kind]


def _draw_forecast(
    forecaster: Forecaster,
    part: str = "test",
    series: str | None = None,
    target: str | None = None,
    cutoff: Any = None,
    past: int | None = None,
    steps: int | None = None,
    future: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    if steps is None:
        try:
            backtest = _backtest(forecaster, part, series, None if cutoff is not None else picked.SHOWN)
        except DataError:  # no window: the part may be empty
            if cutoff is not None:
                raise
        else:
            return plotting.plot_forecast(backtest, series=series, target=target, cutoff=cutoff, past=past, ax=ax)
    elif cutoff is not None:
        raise ConfigError(
            f"`cutoff` is for a forecast of a backtest, `steps` for the future. Received: {cutoff!r}, {steps}"
        )
    panel = forecaster.panel_
    rows = None if series is None else panel.take([picked.series_number(panel, series)])
    return plotting.plot_future(
        panel,
        forecaster.predict(steps, rows, future),
        series=series,
        target=target,
        model=forecaster.config.label,
        unit=forecaster.unit_,
        past=past,
        ax=ax,
    )


def _draw_fit(
    forecaster: Forecaster,
    series: str | None = None,
    target: str | None = None,
    step: int = 1,
    ax: Axes | None = None,
) -> Axes:
    backtests: list[Backtest] = []
    nothing: DataError | None = None
    for part in reversed(PARTS):  # of many series, the first with a test is drawn
        try:
            backtests.append(_backtest(forecaster, part, series))
        except DataError as error:  # a part may hold no window
            nothing = error
            continue
        panel, index = backtests[0].panel, backtests[0].index
        series = panel.ids[index.series[0]]
    if nothing is not None and not backtests:
        raise nothing
    return plotting.plot_fit(*reversed(backtests), series=series, target=target, step=step, ax=ax)


def _draw_history(forecaster: Forecaster, ax: Axes | None = None) -> Axes:
    run = forecaster.run_
    if run is None:
        raise NotFitted("Only a forecaster that was trained here has a history. Call fit(data) first.")
    return plotting.plot_history(run.history, run.best_epoch, loss=forecaster.config.loss, ax=ax)


def _draw_gradients(forecaster: Forecaster, ax: Axes | None = None) -> Axes:
    run = forecaster.run_
    if run is None:
        raise NotFitted("Only a forecaster that was trained here has gradients. Call fit(data) first.")
    if run.gradients is None:
        raise ConfigError(
            "Gradients are drawn where a training watched them. Received: none. Fit with training.monitor=true."
        )
    return plotting.plot_gradients(run.gradients, ax=ax)


def _draw_leaderboard(forecaster: Forecaster, ax: Axes | None = None) -> Axes:
    if forecaster.leaderboard_ is None:
        raise NotFitted("A leaderboard is what model 'auto' leaves. Fit with model='auto' first.")
    return plotting.plot_leaderboard(forecaster.leaderboard_, ax=ax)


def _draw_error_by_step(
    forecaster: Forecaster,
    part: str = "test",
    target: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    return plotting.plot_error_by_step(forecaster.backtest(part=part), target=target, ax=ax)


def _draw_splits(
    forecaster: Forecaster,
    series: str | None = None,
    target: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    return plotting.plot_splits(
        forecaster.panel_,
        forecaster.splits_,
        series=series,
        target=target or forecaster.target[0],
        unit=forecaster.unit_,
        ax=ax,
    )


def _draw_moves(
    forecaster: Forecaster,
    part: str = "test",
    series: str | None = None,
    target: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    backtest = _backtest(forecaster, part, series)
    return plotting.plot_moves(backtest, series=series, target=target, step=step, ax=ax)


def _draw_intervals(
    forecaster: Forecaster,
    series: str | None = None,
    target: str | None = None,
    step: int = 1,
    level: float | None = None,
    adaptive: bool = False,
    ax: Axes | None = None,
) -> Axes:
    backtest = _backtest(forecaster, "test", series)
    backtest = backtest.adaptive() if adaptive else backtest
    return plotting.plot_intervals(backtest, series=series, target=target, step=step, level=level, ax=ax)


def _draw_coverage(
    forecaster: Forecaster,
    series: str | None = None,
    target: str | None = None,
    step: int = 1,
    level: float | None = None,
    lately: int = LATELY,
    ax: Axes | None = None,
) -> Axes:
    backtest = _backtest(forecaster, "test", series)
    both = backtest, backtest.adaptive()
    return plotting.plot_coverage(*both, series=series, target=target, step=step, level=level, lately=lately, ax=ax)


def _draw_inside(
    forecaster: Forecaster,
    series: str | None = None,
    cutoff: Any = None,
    layer: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    from ..inspection import inspect as look_inside

    return plotting.plot_inside(look_inside(forecaster, series=series, cutoff=cutoff, layer=layer), ax=ax)


def _backtest(forecaster: Forecaster, part: str, series: str | None, cutoffs: int | None = None) -> Backtest:
    """Returns the backtest of one series: the named one, or the first that has a window."""
    panel = forecaster.panel_
    wanted = range(len(panel.ids)) if series is None else [picked.series_number(panel, series)]
    if len(panel.ids) == 1:
        return forecaster.backtest(part=part, cutoffs=cutoffs)
    nothing: DataError | None = None
    for s in wanted:
        try:
            one = forecaster.backtest(panel.take([s]), part=part, cutoffs=cutoffs)
        except DataError as error:
            nothing = error
            continue
        offset = int(panel.offsets[s])  # the same windows, counted over all series
        index = WindowIndex(one.index.cutoffs + offset, np.full(len(one.index), s), one.index.spec)
        return replace(one, panel=panel, index=index)
    raise nothing or DataError("There must be a series to draw. Received: none.")


_KINDS: dict[str, Callable[..., Axes]] = {
    "forecast": _draw_forecast,
    "fit": _draw_fit,
    "history": _draw_history,
    "gradients": _draw_gradients,
    "leaderboard": _draw_leaderboard,
    "error_by_step": _draw_error_by_step,
    "splits": _draw_splits,
    "moves": _draw_moves,
    "intervals": _draw_intervals,
    "coverage": _draw_coverage,
    "inside": _draw_inside,
}
