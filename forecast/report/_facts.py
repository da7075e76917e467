"""What a report says in numbers besides the scores: errors over time and by series, and coverage over time.

    cutoff     Mon  Tue  Wed | Thu  Fri ...         a backtest has one error for each cutoff and step
    error        2    1    3 |   4    2
    by_time          2.00    |     3.00             periods so long that there are at most MOST of them

Every mean is over the values that the scores are over: those that happened and that all baselines forecast. So the
means of the periods, weighted by their counts, are the MAE of the score table.

Axes: `N` cutoffs, `H` horizon, `K` targets.
"""

from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.backtest import Backtest

MOST = 60  # points of a picture over time
_PERIODS = {"day": "D", "week": "W", "month": "M", "quarter": "Q", "year": "Y"}


def by_time(backtest: Backtest, k: int) -> tuple[pd.DataFrame, str]:
    """Returns the MAE of the model and of naive by the time of the cutoff, and how long a period is: "week".

    Returns:
        Columns `model`, `naive` and `values`, how many there are; the index is when each period begins.
    """
    when, period = periods(backtest)
    mine, naive, known = _errors(backtest, k)
    return _means(when, {"model": mine, "naive": naive}, known), period


def by_cutoff(backtest: Backtest, k: int) -> pd.DataFrame:
    """Returns the same, each cutoff by itself."""
    ds = backtest.panel.ds[backtest.index.cutoffs]
    mine, naive, known = _errors(backtest, k)
    return _means(np.asarray(backtest.panel.stamps_of(ds)), {"model": mine, "naive": naive}, known)


def coverage_by_time(backtest: Backtest, k: int) -> tuple[pd.DataFrame, str]:
    """Returns how many percent of true values the intervals held, a column for each level, likewise."""
    when, period = periods(backtest)
    truth = backtest.y_true[:, :, k]
    ends = {} if backtest.bands is None else backtest.bands.ends
    held = {
        level: 100.0 * ((low[:, :, k] <= truth) & (truth <= high[:, :, k]))
        for level, (low, high) in sorted(ends.items())
    }
    return _means(when, held, ~np.isnan(truth)), period


def by_series(backtest: Backtest, k: int) -> pd.DataFrame:
    """Returns one row for each series, the worst beside naive first.

    Returns:
        Columns `cutoffs`, `mae`, `naive`, `ratio` and `mase`, NaN where the data define none; the index is the number
        of the series.
    """
    mine, naive, known = _errors(backtest, k)
    series = backtest.index.series
    table = _means(series, {"mae": mine, "naive": naive}, known)
    _, firsts, counts = np.unique(series, return_index=True, return_counts=True)
    table.insert(0, "cutoffs", counts)
    bar = table["naive"].where(table["naive"] > 0)
    table["ratio"] = table["mae"] / bar
    table["mase"] = table["mae"] / backtest.training["mase_scale"][firsts, k]
    return table.drop(columns="values").sort_values("ratio", ascending=False, na_position="last")


def periods(backtest: Backtest) -> tuple[np.ndarray, str]:
    """Returns when the period of each cutoff begins `(N,)`, and what a period is; "cutoff" where each is its own."""
    panel = backtest.panel
    ds = panel.ds[backtest.index.cutoffs]
    distinct = np.unique(ds)
    stamps = np.asarray(panel.stamps_of(ds))
    if len(distinct) <= MOST:
        return stamps, "cutoff"
    if not panel.dated:
        width = int(-(-(distinct[-1] - distinct[0] + 1) // MOST))
        return distinct[0] + (ds - distinct[0]) // width * width, f"{width:,} stamps"
    days = pd.DatetimeIndex(stamps)
    begins = {name: np.asarray(days.to_period(code).start_time) for name, code in _PERIODS.items()}
    name = next((name for name, starts in begins.items() if len(np.unique(starts)) <= MOST), "year")
    return begins[name], name


def span(backtest: Backtest) -> tuple[Any, Any]:
    """Returns the first and the last stamp that was forecast, for people."""
    index, panel = backtest.index, backtest.panel
    ds = panel.ds[(index.cutoffs + 1 + index.spec.gap)[:, None] + np.arange(index.spec.horizon)]
    return panel.stamp(int(ds.min())), panel.stamp(int(ds.max()))


def _errors(backtest: Backtest, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns absolute errors of the model and of naive, and which count, `(N, H)` each."""
    truth = backtest.y_true[:, :, k]
    forecasts = {name: y[:, :, k] for name, y in backtest.y_pred.items()}
    known = ~np.isnan(truth + sum(forecasts.values()))
    return abs(forecasts[backtest.model] - truth), abs(forecasts["naive"] - truth), known


def _means(groups: np.ndarray, values: dict[Any, np.ndarray], known: np.ndarray) -> pd.DataFrame:
    """Returns the mean of arrays `(N, H)` over what is known, one row for each group of cutoffs `(N,)`."""
    names, number = np.unique(groups, return_inverse=True)
    count = np.bincount(number, known.sum(axis=1), len(names))
    means = {}
    for name, array in values.items():
        total = np.bincount(number, np.where(known, array, 0.0).sum(axis=1), len(names))
        means[name] = np.divide(total, count, out=np.full(len(names), np.nan), where=count > 0)
    return pd.DataFrame({**means, "values": count.astype(np.int64)}, index=pd.Index(names))
