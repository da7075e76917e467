"""The naive and the seasonal naive forecast of many series at once: what stands beside each forecast of a job.

    rows of a season    ... 5  1  4 | 7  2  6       season_length 3
    naive                                  6  6  6  6
    seasonal naive                         7  2  6  7

The same numbers as `forecast/evaluation/baselines.py`, which does one series after the other; it is asked for those
with missing values, or with less than a season.

Axes: `S` series, `H` steps, `K` targets.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.panel import Panel

from ..evaluation.baselines import seasonal_naive


def naive_forecasts(
    panel: Panel, targets: Sequence[str], ahead: np.ndarray, seasons: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the last value of each series `(S, K)`, and the season before repeated `(S, H, K)`; NaN where unknown.

    Args:
        targets: Columns.
        ahead: Rows after the last one that are forecast, from 1 `(H,)`.
        seasons: Rows per season of each series.

    Example:
        >>> import pandas as pd
        >>> hours = pd.date_range("2024-01-01", periods=6, freq="h")
        >>> panel = Panel.from_frame(pd.DataFrame({"y": [5.0, 1, 4, 7, 2, 6]}, index=hours))
        >>> last, season = naive_forecasts(panel, ["y"], np.arange(1, 5), [3])
        >>> last[0, 0], season[0, :, 0]
        (np.float64(6.0), array([7., 2., 6., 7.]))
    """
    S = len(panel.ids)
    last, season = np.full((S, len(targets)), np.nan), np.full((S, len(ahead), len(targets)), np.nan)
    lengths, rows = np.asarray(seasons), np.diff(panel.offsets)
    for k, name in enumerate(targets):
        column = panel.column(name)
        for m in np.unique(lengths):
            some = np.flatnonzero((lengths == m) & (rows > 0))
            values = panel.late(some, int(m))[..., column].astype(np.float64)  # (S, m)
            last[some, k], season[some, :, k] = values[:, -1], values[:, (ahead - 1) % m]
            for s in some[np.isnan(values).any(axis=1)]:
                series = panel.values[panel.rows(s), column].astype(np.float64)
                series[~np.isfinite(series)] = np.nan
                end = [len(series) - 1]
                last[s, k] = seasonal_naive(series, end, [1], 1)[0, 0]
                season[s, :, k] = seasonal_naive(series, end, ahead, int(m))[0]
    return last, season
