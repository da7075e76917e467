"""Scores of the moves away from the cutoff: does a forecast know which way, and how far?

    last     101  101  101  101        the running example: the value at the cutoff
    y_true   100  102  101  105        moves  -1  +1   0  +4
    y_pred   101  101  103  104        moves   0   0  +2  +3

    unit         scores
    percent      directional_accuracy  directional_interval  up_share   of the true moves
    -1 to 1      return_correlation                                     0 knows nothing of the moves

The rules of `metrics` hold: `y_true` first, nan in it is left out, a forecast that is not finite is an error. A `last`
of nan is left out, too. In prices a forecast can lie close to the truth and know nothing: so does the naive forecast,
which hits no direction.

A move counts from a millionth of the last or of the true value, whichever is larger. What is smaller is rounding, about
ten times that of float32, in which networks count and panels keep their rows: it stands still, in a forecast and in the
truth.

This module knows nothing of panels, windows or models.
"""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError, DataError

from ._arrays import observed, per_row
from .baselines import FloatArray

ROUNDING = 1e-6  # of the size of a value


def directional_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, last: npt.ArrayLike) -> float:
    """Percent of forecasts that move from the cutoff's value in the direction of the true move.

    `100 * mean(sign(y_pred - last) == sign(y_true - last))`. Where the truth did not move, or `last` is nan, there is
    no direction to hit and the forecast is left out. Where only the forecast stands still it misses, so the naive
    forecast scores 0, and so does one that equals it to rounding: see `moved`. The bar is not 50: it is `up_share`, or
    100 minus it if that is more.

    Args:
        y_true: Array `(N, ...)`, nan where nothing was observed.
        y_pred: Array of the same shape, in the same unit.
        last: The value at the cutoff in the same unit, shaped like the scale of `mase`.

    Raises:
        DataError: No true value moved, the shape of `last` does not fit, it is infinite, or as for `mae`.

    Example:
        >>> round(directional_accuracy([100, 102, 101, 105], [101, 101, 103, 104], last=101), 1)
        33.3

    Source:
        Pesaran & Timmermann (1992), https://doi.org/10.1080/07350015.1992.10509922
    """
    true_move, pred_move = _moves(y_true, y_pred, last)
    return float(100 * (np.sign(true_move) == np.sign(pred_move)).mean())


def moved(value: FloatArray, y_true: FloatArray, last: FloatArray) -> npt.NDArray[np.bool_]:
    """Tells which values lie away from `last` by more than rounding: `1e-6 * max(|last|, |y_true|)`.

    False where something is nan.

    Args:
        value: What was forecast, or what is true.
        y_true: What is true, of the same shape; it says how large values are where the last one is near zero.
        last: The value at the cutoff, of the same shape.

    Example:
        >>> last = np.array([100.0, 100.0, 0.0])
        >>> moved(np.array([100.00001, 100.01, 1e-9]), y_true=np.array([101.0, 101.0, 2.0]), last=last)
        array([False,  True, False])
    """
    return np.abs(value - last) > ROUNDING * np.maximum(np.abs(last), np.abs(y_true))


def up_share(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, last: npt.ArrayLike) -> float:
    """Percent of the true moves that go up: what a forecast that always says "up" scores in `directional_accuracy`.

    Counts exactly the moves that `directional_accuracy` counts. Arguments and errors as there.

    Example:
        >>> round(up_share([100, 102, 101, 105], [101, 101, 103, 104], last=101), 1)
        66.7
    """
    true_move, _ = _moves(y_true, y_pred, last)
    return float(100 * (true_move > 0).mean())


def directional_interval(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, last: npt.ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """Interval of `directional_accuracy`, in percent: Wilson's, for a share of independent moves.

    Where it holds the bar, which is `up_share` or 100 minus that, nothing is shown. Moves of overlapping horizons are
    not independent, and the interval is then too narrow: give one step, and of step `h` every h-th cutoff.

    Args:
        y_true: Array `(N, ...)`, as for `directional_accuracy`.
        y_pred: Array of the same shape.
        last: The value at the cutoff, as for `directional_accuracy`.
        level: Share of such intervals that hold the true accuracy, above 0 and below 1.

    Returns:
        `(low, high)`, in percent.

    Raises:
        DataError: As for `directional_accuracy`.
        ConfigError: `level` is not between 0 and 1.

    Example:
        >>> low, high = directional_interval([100, 102, 101, 105], [101, 101, 103, 104], last=101)
        >>> round(low, 1), round(high, 1)
        (6.1, 79.2)

    Source:
        Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953
    """
    if not 0 < level < 1:
        raise ConfigError(f"`level` must be above 0 and below 1. Received: {level!r}. Give 0.95 for 95 percent.")
    true_move, pred_move = _moves(y_true, y_pred, last)
    n, hits = true_move.size, (np.sign(true_move) == np.sign(pred_move)).mean()
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (hits + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(hits * (1 - hits) / n + z**2 / (4 * n**2))
    low, high = max(centre - half, 0.0), min(centre + half, 1.0)
    return float(100 * min(low, hits)), float(100 * max(high, hits))  # to the last bit at 0 and 100


def return_correlation(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, last: npt.ArrayLike) -> float:
    """Pearson correlation of the predicted with the realised relative changes since the cutoff, -1 to 1.

    A change is `(value - last) / last`. Levels correlate near 1 under any forecast that stays close to the last price;
    their changes do not. For prices and other values above zero. Neither size nor bias of a forecast counts here.

    Args:
        y_true: Array `(N, ...)`, nan where nothing was observed.
        y_pred: Array of the same shape, in the same unit.
        last: The value at the cutoff in the same unit, shaped like the scale of `mase`; nan is left out.

    Raises:
        DataError: A `last` is not above zero, its shape does not fit, the predicted or the realised changes do not
            vary (those of the naive forecast never do), or as for `mae`.

    Example:
        >>> round(return_correlation([100, 102, 101, 105], [101, 101, 103, 104], last=101), 3)
        0.72

    Source:
        The information coefficient of Grinold & Kahn (2000), Active Portfolio Management, chapter 6
    """
    true, pred, known = observed(y_true, y_pred)
    start = per_row("last", last, known)
    if wrong := int((start <= 0).sum()):
        raise DataError(
            f"Relative changes need a `last` above zero. Received: {wrong} of {start.size} that are not. "
            "Use directional_accuracy, or score values that are prices."
        )
    has_start = ~np.isnan(start)
    true, pred, start = true[has_start], pred[has_start], start[has_start]
    realised, predicted = (true - start) / start, (pred - start) / start
    for name, changes in (("realised", realised), ("predicted", predicted)):
        if _constant(changes):
            raise DataError(
                f"A correlation needs {name} changes that vary. Received: {changes.size} changes since `last`, all "
                "equal or none. Use mae; a forecast that never moves, as the naive one, has no correlation."
            )
    a, b = realised - realised.mean(), predicted - predicted.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # squares of tiny changes would vanish
    return float(np.clip((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), -1, 1))


def _moves(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, last: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Returns the true moves `(M,)` that count, and the predicted ones, 0 where a forecast stands still."""
    true, pred, known = observed(y_true, y_pred)
    start = per_row("last", last, known)
    counted = moved(true, true, start)
    if not counted.any():
        raise DataError(
            f"A direction needs a true move away from `last`. Received: {true.size} true values, none of them known to "
            "have moved by more than rounding. Use mae, or score rows in which the series moves."
        )
    pred_move = np.where(moved(pred, true, start), pred - start, 0.0)
    return (true - start)[counted], pred_move[counted]


def _constant(changes: FloatArray) -> bool:
    """True where changes differ by no more than the rounding of the values that they come from."""
    return changes.size < 2 or bool(np.ptp(changes) <= 4 * np.finfo(np.float64).eps * (1 + np.abs(changes).max()))
