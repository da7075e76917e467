"""Realised errors of a job over time: what its published forecasts were worth, beside the naive ones.

error  |      __model__
       |  ---naive- - -          a triangle where the errors of a series have drifted
       +------------------ as of
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.errors import DataError

from ..text import number
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..jobs.accuracy import Accuracy


def plot_realised(accuracy: Accuracy, *, ax: Axes | None = None) -> Axes:
    """Draws the realised error of each cutoff of a job, the naive and the seasonal naive forecast's, and alarms.

    Args:
        accuracy: What `forecast.jobs.score` returned.
        ax: Where to draw; by default a new figure.

    Raises:
        DataError: No forecast has a truth yet.
    """
    cutoffs = accuracy.cutoffs[accuracy.cutoffs["series"] > 0]
    if not len(cutoffs):
        raise DataError(f"A picture of realised errors needs one. Received: none of {accuracy.job}. Score it later.")
    x = pd.to_datetime([as_of[:19] for as_of in cutoffs["as_of"]]).to_numpy()
    ax = style.axes(ax)
    error, naive, season = (cutoffs[name].to_numpy(float) for name in ("error", "naive", "seasonal_naive"))
    if not np.allclose(season, naive):
        style.line(ax, x, season, style.OTHER, "seasonal naive", linewidth=1.2)
    style.line(ax, x, naive, **style.NAIVE_LINE, label="naive")
    style.line(ax, x, error, **style.MODEL_LINE, label="model")
    alarmed = cutoffs["alarms"].to_numpy() > 0
    if alarmed.any():
        many = int(cutoffs["alarms"].sum())
        label = f"errors drifted ({many:,} alarm{'' if many == 1 else 's'})"
        ax.plot(x[alarmed], error[alarmed], "^", color=style.OTHER, markersize=9, label=label, zorder=3)
    ax.set_ylim(bottom=0)
    words = f"{accuracy.job}: error of {len(cutoffs):,} published forecasts, up to {accuracy.as_of}"
    held = cutoffs["held"].mean()
    second = f"over naive's: {number(error.mean() / naive.mean())}" if naive.mean() > 0 else ""
    if np.isfinite(held):
        second += f", {100 * held:.0f} % of truths in the 80 % interval"
    return style.finish(ax, x, title=[words, second], xlabel="as of", ylabel="MAE over each series' mean naive error")
