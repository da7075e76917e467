"""Arrays of forecasts as rows that people read: one row for each series, target, cutoff and step.

Axes: `N` cutoffs, `H` horizon, `K` targets.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipelines.panel import Panel
from pipelines.windows import WindowIndex


def long_frame(
    panel: Panel, index: WindowIndex, targets: tuple[str, ...], columns: dict[str, np.ndarray], first_step: int = 1
) -> pd.DataFrame:
    """Returns arrays `(N, H, K)` as rows of `unique_id, target, ds, cutoff, step` and one column each."""
    N, H, K = len(index), index.spec.horizon, len(targets)
    rows = (index.cutoffs + 1 + index.spec.gap)[:, None] + np.arange(H)  # (N, H)
    series = np.repeat(index.series, H * K)
    data: dict[str, Any] = {
        "unique_id": np.array(panel.ids, object)[series],
        "target": np.tile(np.array(targets, object), N * H),
        "ds": panel.stamp_column(panel.ds[np.repeat(rows.ravel(), K)], series),
        "cutoff": panel.stamp_column(panel.ds[np.repeat(index.cutoffs, H * K)], series),
        "step": np.tile(np.repeat(np.arange(first_step, first_step + H), K), N),
    }
    return pd.DataFrame(data | {name: array.reshape(-1) for name, array in columns.items()})


def by_series(index: WindowIndex) -> Iterator[tuple[int, slice]]:
    """Yields each series with its windows, which stand together."""
    series, firsts = np.unique(index.series, return_index=True)
    for s, first, end in zip(series, firsts, [*firsts[1:], len(index)], strict=True):
        yield int(s), slice(int(first), int(end))


def quantile_name(quantile: float) -> str:
    """Returns the column of a quantile.

    Example:
        >>> quantile_name(0.975)
        'y_pred_q97.5'
    """
    return f"y_pred_q{100 * quantile:.6g}"
