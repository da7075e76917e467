"""Scores of forecasts that say how sure they are: quantiles and intervals.

    y_true         100   102   101   105        the running example
    10 % quantile   99   101   102   100        a tenth of all values should lie below
    50 % quantile  101   101   103   104        the point forecast: half of them
    90 % quantile  103   104   106   108        nine tenths
    interval      held  held missed  held       from the lowest to the highest, level 0.8: eight tenths

    unit       scores
    units      pinball  crps           of quantiles; low is good
    units      winkler                 of intervals; low is good: narrow, and right
    ratio      msis                    winkler over the seasonal naive's error on train rows, as for `mase`
    percent    coverage                of the true values inside; the level is good, more is too wide
    units      width                   of the intervals, whether right or not

Axes: any for `y_true`; quantiles have one more at the end, of `Q` levels in ascending order, each above 0 and below 1.
The level of an interval is a share, too: 0.8 of true values should lie inside, 0.1 below and 0.1 above.

The rules of `metrics` hold: `y_true` first, nan in it is left out, a forecast that is not finite where the truth is
known is an error. So is an interval that ends below its start. Coverage alone rewards intervals without end and width
alone points: only pinball, CRPS and Winkler's score are best for the forecaster who says what he believes.

This module knows nothing of panels, windows or models.
"""

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError, DataError

from ._arrays import BoolArray, observed, scaled
from .baselines import FloatArray


def pinball(y_true: npt.ArrayLike, y_quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> float:
    """Mean quantile loss, in units: `max(q * error, (q - 1) * error)` with `error = y_true - quantile`.

    A value above the 0.9 quantile costs nine times what one equally far below does. At 0.5 it is half the MAE. The mean
    is over all true values and levels. Quantiles may cross: each is judged alone.

    Args:
        y_true: Array `(...)`, nan where nothing was observed.
        y_quantiles: Array `(..., Q)`, in the same unit.
        levels: `Q` numbers in ascending order, each above 0 and below 1.

    Raises:
        DataError: The shapes do not fit, no true value is observed, or a forecast is not finite where one is.
        ConfigError: The levels are not as above.

    Example:
        >>> quantiles = [[99, 101, 103], [101, 101, 104], [102, 103, 106], [100, 104, 108]]
        >>> round(pinball([100, 102, 101, 105], quantiles, [0.1, 0.5, 0.9]), 3)
        0.45

    Source:
        Koenker & Bassett (1978), https://doi.org/10.2307/1913643
    """
    true, quantiles, q = _quantiles(y_true, y_quantiles, levels)
    return float(_pinball(true, quantiles, q).mean())


def crps(y_true: npt.ArrayLike, y_quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> float:
    """Continuous ranked probability score from quantiles, in units: twice the mean pinball loss over the levels.

    The CRPS of a whole distribution is twice the pinball loss averaged over ALL levels from 0 to 1; this takes the mean
    over those given. It is exact for the distribution of `Q` equally likely values at the levels `(i - 0.5) / Q`, such
    as the sorted members of an ensemble; with the level 0.5 alone it is the MAE. Otherwise it approximates, and misses
    the tails beyond the outer levels: compare only what was scored at the same levels, evenly spread.

    Args:
        y_true: Array `(...)`, as for `pinball`.
        y_quantiles: Array `(..., Q)`, as for `pinball`, ascending along the last axis.
        levels: As for `pinball`.

    Raises:
        DataError: Quantiles cross, which is no distribution, or as for `pinball`.
        ConfigError: As for `pinball`.

    Example:
        >>> quantiles = [[99, 101, 103], [101, 101, 104], [102, 103, 106], [100, 104, 108]]
        >>> round(crps([100, 102, 101, 105], quantiles, [0.1, 0.5, 0.9]), 3)
        0.9

    Source:
        Gneiting & Ranjan (2011), https://doi.org/10.1198/jbes.2010.08110; the exact case: Laio & Tamea (2007),
        https://doi.org/10.5194/hess-11-1267-2007
    """
    true, quantiles, q = _quantiles(y_true, y_quantiles, levels)
    if crossed := int((np.diff(quantiles, axis=-1) < 0).any(axis=-1).sum()):
        raise DataError(
            f"Quantiles must not fall as their level rises. Received: {crossed} of {true.size} forecasts in which they "
            "do. Sort them along the last axis, or use pinball."
        )
    return float(2 * _pinball(true, quantiles, q).mean())


def coverage(y_true: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> float:
    """Percent of true values inside their intervals, ends included: `100 * mean(low <= y_true <= high)`.

    Args:
        y_true: Array of any shape, nan where nothing was observed.
        low: Array of the same shape, in the same unit.
        high: Array of the same shape, nowhere below `low`.

    Raises:
        DataError: The shapes differ, no true value is observed, an end is not finite where one is, or an interval ends
            below its start.

    Example:
        >>> coverage([100, 102, 101, 105], [99, 101, 102, 100], [103, 104, 106, 108])
        75.0

    Source:
        Christoffersen (1998), https://doi.org/10.2307/2527341
    """
    true, below, above, _ = _intervals(y_true, low, high)
    return float(100 * ((below <= true) & (true <= above)).mean())


def width(low: npt.ArrayLike, high: npt.ArrayLike) -> float:
    """Mean width of intervals, in units: `mean(high - low)`. All must be finite: no truth says which may be left out.

    Raises a DataError where the shapes differ, there is none, an end is not finite, or one ends below its start.

    Example:
        >>> width([99, 101, 102, 100], [103, 104, 106, 108])
        4.75
    """
    below, above = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if below.shape != above.shape or not below.size:
        raise DataError(
            f"`low` and `high` must have the same shape and hold at least one interval. Received: {below.shape} and "
            f"{above.shape}. Give both ends of each interval."
        )
    if missing := int((~np.isfinite(below) | ~np.isfinite(above)).sum()):
        raise DataError(
            f"Both ends of an interval must be finite. Received: {missing} of {below.size} intervals that are nan or "
            "infinite. Repair the forecasts, or take these rows out of both arrays."
        )
    return float((_ordered(below, above) - below).mean())


def winkler(y_true: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, level: float) -> float:
    """Winkler's interval score, in units: the width, and a fine for each true value outside.

    `mean(high - low + 2 / (1 - level) * distance outside)`. At level 0.8 each unit outside costs ten units of width.

    Args:
        y_true: Array of any shape, as for `coverage`.
        low: Array of the same shape: the `(1 - level) / 2` quantile.
        high: Array of the same shape: the `(1 + level) / 2` quantile.
        level: Share of true values that the interval claims to hold, above 0 and below 1.

    Raises:
        DataError: As for `coverage`.
        ConfigError: `level` is not above 0 and below 1.

    Example:
        >>> winkler([100, 102, 101, 105], [99, 101, 102, 100], [103, 104, 106, 108], level=0.8)
        7.25

    Source:
        Winkler (1972), https://doi.org/10.2307/2284720; Gneiting & Raftery (2007), section 6.2,
        https://doi.org/10.1198/016214506000001437
    """
    return float(_winkler(y_true, low, high, level)[0].mean())


def msis(y_true: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, level: float, scale: npt.ArrayLike) -> float:
    """Mean scaled interval score of M4, a ratio: `mean(interval score / scale)`.

    Forecasts whose scale is nan are left out, and means are taken as for `mase`. M4 has `level = 0.95`.

    Args:
        y_true: Array `(N, ...)`, as for `coverage`.
        low: Array of the same shape, as for `winkler`.
        high: Array of the same shape, as for `winkler`.
        level: As for `winkler`.
        scale: From `mase_scale`, in the same unit, shaped as for `mase`.

    Raises:
        DataError: A scale is not above zero, its shape does not fit, all are nan, or as for `coverage`.
        ConfigError: As for `winkler`.

    Example:
        >>> from forecast.evaluation.metrics import mase_scale
        >>> scale = mase_scale([96, 98, 97, 100], season_length=1)
        >>> msis([100, 102, 101, 105], [99, 101, 102, 100], [103, 104, 106, 108], level=0.8, scale=scale)
        3.625

    Source:
        Makridakis et al. (2020), the M4 competition, https://doi.org/10.1016/j.ijforecast.2019.04.014
    """
    score, known = _winkler(y_true, low, high, level)
    return float(scaled("MSIS", score, scale, known).mean())


def _quantiles(
    y_true: npt.ArrayLike, y_quantiles: npt.ArrayLike, levels: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns the observed true values `(M,)`, their quantiles `(M, Q)` and the levels `(Q,)`."""
    q = np.asarray(levels, np.float64)
    if q.ndim != 1 or not q.size or not ((q > 0) & (q < 1)).all() or (np.diff(q) <= 0).any():
        raise ConfigError(
            "`levels` must be a list of numbers above 0 and below 1, in ascending order and each once. "
            f"Received: {q.tolist()}. Give 0.1 for the quantile that a tenth of the values lie below."
        )
    true, quantiles, _ = observed(y_true, y_quantiles, "y_quantiles", levels=len(q))
    return true, quantiles, q


def _pinball(true: FloatArray, quantiles: FloatArray, q: FloatArray) -> FloatArray:
    error = true[:, None] - quantiles  # (M, Q)
    return np.maximum(q * error, (q - 1) * error)


def _intervals(
    y_true: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    true, below, known = observed(y_true, low, "low")
    _, above, _ = observed(y_true, high, "high")
    return true, below, _ordered(below, above), known


def _ordered(below: FloatArray, above: FloatArray) -> FloatArray:
    """Returns the upper ends, or raises a DataError if one lies below its lower end."""
    if crossed := int((above < below).sum()):
        raise DataError(
            f"An interval must not end below its start. Received: {crossed} of {below.size} with `high` below `low`. "
            "Give the lower end first, or sort the two."
        )
    return above


def _winkler(
    y_true: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, level: float
) -> tuple[FloatArray, BoolArray]:
    """Returns the interval score of each observed true value, and where in `y_true` they stood."""
    if not 0 < level < 1:
        raise ConfigError(
            f"`level` must be a share above 0 and below 1. Received: {level!r}. Give 0.95 for intervals of 95 percent."
        )
    true, below, above, known = _intervals(y_true, low, high)
    outside = np.maximum(below - true, 0) + np.maximum(true - above, 0)
    return above - below + 2 / (1 - level) * outside, known
