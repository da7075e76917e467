"""Scores of a forecast: one function per metric, each one number for all forecasts it is given.

    y_true   100  102  101  105        the running example
    y_pred   101  101  103  104
    error     -1    1   -2    1        y_true - y_pred

    unit            metrics
    units           mae  rmse                        dollars, degrees, passengers
    squared units   mse
    percent         mape  smape  wape                of the true values, 0 is perfect
    percent         directional_accuracy  up_share   of the moves, 100 is all of them
    ratio           mase  rmsse                      1 is the seasonal naive's error, one season ahead, on train rows
    ratio           owa                              1 is M4's benchmark Naive2

One rule for all: `y_true` comes first; arrays may have any shape as long as it is the same. A nan in `y_true` was not
observed and is left out. A forecast that is not finite where the truth is known is an error, never a smaller sample.
What is not defined for the data raises a DataError that says why; no metric returns nan.

The two of moves live in `direction`. This module knows nothing of panels, windows or models; `METRICS` lets other code
go through all of them.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError

from ._arrays import observed, scaled
from .baselines import FloatArray, check_season_length, check_series
from .direction import directional_accuracy, up_share


def mae(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean absolute error, in units: `mean(|error|)`.

    Args:
        y_true: Array of any shape, nan where nothing was observed.
        y_pred: Array of the same shape, in the same unit.

    Raises:
        DataError: The shapes differ, no true value is observed, or a forecast is not finite where one is.

    Example:
        >>> mae([100, 102, 101, 105], [101, 101, 103, 104])
        1.25

    Source:
        Hyndman & Koehler (2006), section 2.1, https://doi.org/10.1016/j.ijforecast.2006.03.001
    """
    true, pred, _ = observed(y_true, y_pred)
    return float(np.abs(true - pred).mean())


def mse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean squared error, in squared units: `mean(error^2)`. Arguments, errors and source as for `mae`.

    Example:
        >>> mse([100, 102, 101, 105], [101, 101, 103, 104])
        1.75
    """
    true, pred, _ = observed(y_true, y_pred)
    return float(np.square(true - pred).mean())


def rmse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Root mean squared error, in units: `sqrt(mean(error^2))`. Arguments, errors and source as for `mae`.

    Example:
        >>> round(rmse([100, 102, 101, 105], [101, 101, 103, 104]), 4)
        1.3229
    """
    return float(np.sqrt(mse(y_true, y_pred)))


def mape(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean absolute percentage error: `100 * mean(|error| / |y_true|)`.

    True values near zero rule it, and zeros would make it infinite. Arguments as for `mae`.

    Raises:
        DataError: A true value is zero, or as for `mae`.

    Example:
        >>> round(mape([100, 102, 101, 105], [101, 101, 103, 104]), 4)
        1.2282

    Source:
        Hyndman & Koehler (2006), section 2.2, https://doi.org/10.1016/j.ijforecast.2006.03.001
    """
    true, pred, _ = observed(y_true, y_pred)
    if zeros := int((true == 0).sum()):
        raise DataError(
            f"MAPE divides by the true values, so none may be zero. Received: {zeros} of {true.size} "
            f"{'is' if zeros == 1 else 'are'} zero. Use smape or mae."
        )
    return float(100 * (np.abs(true - pred) / np.abs(true)).mean())


def smape(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Symmetric MAPE as M4 defines it, 0 to 200 percent: `200 * mean(|error| / (|y_true| + |y_pred|))`.

    Where truth and forecast are both zero the forecast is perfect and counts as 0. Arguments and errors as for `mae`.

    Example:
        >>> round(smape([100, 102, 101, 105], [101, 101, 103, 104]), 4)
        1.2245

    Source:
        Makridakis et al. (2020), the M4 competition, https://doi.org/10.1016/j.ijforecast.2019.04.014
    """
    true, pred, _ = observed(y_true, y_pred)
    size = np.abs(true) + np.abs(pred)
    return float(200 * np.divide(np.abs(true - pred), size, out=np.zeros_like(size), where=size > 0).mean())


def wape(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Weighted absolute percentage error: MAE as a percent of the mean absolute true value.

    `100 * sum(|error|) / sum(|y_true|)`. Some true values may be zero. Arguments as for `mae`.

    Raises:
        DataError: Every true value is zero, or as for `mae`.

    Example:
        >>> round(wape([100, 102, 101, 105], [101, 101, 103, 104]), 4)
        1.2255

    Source:
        Kolassa & Schütz (2007), Advantages of the MAD/Mean ratio over the MAPE, Foresight 6
    """
    true, pred, _ = observed(y_true, y_pred)
    size = np.abs(true).mean()
    if size == 0:
        raise DataError(
            f"WAPE needs a true value other than zero. Received: {true.size} true values, all of them zero. Use mae."
        )
    return float(100 * np.abs(true - pred).mean() / size)


def mase(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, scale: npt.ArrayLike) -> float:
    """Mean absolute scaled error, a ratio: `mean(|error| / scale)`.

    Forecasts whose scale is nan are left out: their series has none. Over many series this is the mean over all
    forecasts; it is M4's mean over series where each has equally many.

    Args:
        y_true: Array `(N, ...)`, nan where nothing was observed.
        y_pred: Array of the same shape, in the same unit.
        scale: From `mase_scale`, in the same unit: one number for all, or an array of which the axes are the leading
            ones of `y_true`: `(N,)` or `(N, 1)` for `(N, H)`.

    Raises:
        DataError: A scale is not above zero, its shape does not fit, all are nan, or as for `mae`.

    Example:
        >>> mase([100, 102, 101, 105], [101, 101, 103, 104], mase_scale([96, 98, 97, 100], season_length=1))
        0.625

    Source:
        Hyndman & Koehler (2006), section 3, https://doi.org/10.1016/j.ijforecast.2006.03.001
    """
    true, pred, known = observed(y_true, y_pred)
    return float(np.abs(scaled("MASE", true - pred, scale, known)).mean())


def mase_scale(train: npt.ArrayLike, season_length: int) -> float:
    """Mean absolute seasonal difference of the training rows: `mean(|train[t] - train[t - m]|)`, in units.

    Pairs of which one row is missing are left out. A series has no scale, and the answer is nan, where no pair is left
    or where all differences are zero: there the naive forecast never errs, and nothing can be measured against it.

    Args:
        train: Array `(T,)` of one series, TRAINING rows only, oldest first, nan where nothing was observed.
        season_length: `m`, rows per season; 1 where there is none.

    Raises:
        DataError: `train` is not one series, or holds infinite values.
        ConfigError: `season_length` is not an integer >= 1.

    Example:
        >>> mase_scale([96, 98, 97, 100], season_length=1)
        2.0

    Source:
        Hyndman & Koehler (2006), section 3; with m > 1, Makridakis et al. (2020), as for `smape`
    """
    return _mean_or_nan(np.abs(_seasonal_differences(train, season_length)))


def rmsse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, scale: npt.ArrayLike) -> float:
    """Root mean squared scaled error, a ratio: `sqrt(mean((error / scale)^2))`.

    The root is taken over all forecasts given. M5 takes it per series and then averages: call it once per series for
    that. Arguments and errors as for `mase`, with the scale from `rmsse_scale`.

    Example:
        >>> train = [96, 98, 97, 100]
        >>> round(rmsse([100, 102, 101, 105], [101, 101, 103, 104], rmsse_scale(train, season_length=1)), 4)
        0.6124

    Source:
        Makridakis et al. (2022), the M5 accuracy competition, https://doi.org/10.1016/j.ijforecast.2021.11.013
    """
    true, pred, known = observed(y_true, y_pred)
    return float(np.sqrt(np.square(scaled("RMSSE", true - pred, scale, known)).mean()))


def rmsse_scale(train: npt.ArrayLike, season_length: int) -> float:
    """Root mean squared seasonal difference: `sqrt(mean((train[t] - train[t - m])^2))`. All else as for `mase_scale`.

    It is the root of the scale in M5's formula. M5 has `m = 1` and leaves out the zeros before a product's first sale.

    Example:
        >>> round(rmsse_scale([96, 98, 97, 100], season_length=1), 4)
        2.1602
    """
    return float(np.sqrt(_mean_or_nan(np.square(_seasonal_differences(train, season_length)))))


def owa(smape: float, mase: float, naive2_smape: float, naive2_mase: float) -> float:
    """Overall weighted average of M4, a ratio: the mean of sMAPE and MASE, each relative to Naive2's.

    All four are means over the same series. Raises a DataError if a score of Naive2 is not above zero.

    Example:
        >>> round(owa(smape=13.912, mase=1.193, naive2_smape=18.383, naive2_mase=2.395), 3)
        0.627

    Source:
        Makridakis et al. (2020), the M4 competition, https://doi.org/10.1016/j.ijforecast.2019.04.014
    """
    if not (naive2_smape > 0 and naive2_mase > 0):
        raise DataError(
            f"OWA divides by Naive2's scores, so both must be above zero. Received: sMAPE {naive2_smape}, "
            f"MASE {naive2_mase}. Score Naive2 on series that it does not hit exactly."
        )
    return (smape / naive2_smape + mase / naive2_mase) / 2


class Metric(NamedTuple):
    """A metric for code that goes through all of them: `function(y_true, y_pred, *what it needs)`."""

    function: Callable[..., float]
    unit: Literal["units", "squared units", "percent", "ratio"]
    needs: tuple[str, ...] = ()  # further arguments, in order: "mase_scale", "rmsse_scale" or "last"


METRICS: dict[str, Metric] = {
    "mae": Metric(mae, "units"),
    "rmse": Metric(rmse, "units"),
    "mse": Metric(mse, "squared units"),
    "mape": Metric(mape, "percent"),
    "smape": Metric(smape, "percent"),
    "wape": Metric(wape, "percent"),
    "mase": Metric(mase, "ratio", ("mase_scale",)),
    "rmsse": Metric(rmsse, "ratio", ("rmsse_scale",)),
    "directional_accuracy": Metric(directional_accuracy, "percent", ("last",)),
    "up_share": Metric(up_share, "percent", ("last",)),
}


def _seasonal_differences(train: npt.ArrayLike, season_length: int) -> FloatArray:
    values, m = check_series("train", train), check_season_length(season_length)
    differences = values[m:] - values[:-m]
    return differences[~np.isnan(differences)]


def _mean_or_nan(sizes: FloatArray) -> float:
    return float(sizes.mean()) if sizes.any() else float("nan")
