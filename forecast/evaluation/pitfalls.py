"""Two ways in which a picture or a score of forecasts deceives, and how to see them.

    last      100  102  101  105        drawn over many rows, "the same again" follows
    y_true    102  101  105  104        the truth closely and looks excellent
    y_pred    100  102  101  105        a row late: a copy of the last value

    lag_one_copy              does the forecast only repeat the last value?
    outside_training_range    how much was asked of the model that it never saw?

The rules of `metrics` hold: nan in `y_true` is left out, a forecast that is not finite is an error.

This module knows nothing of panels, windows or models.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError

from ..text import number
from ._arrays import observed, per_row
from .baselines import FloatArray

NEAR = 0.75  # a copy is at most this much as far from the last value as from the truth


@dataclass(frozen=True)
class LagOneCopy:
    """What `lag_one_copy` found; prints as one sentence.

    Attributes:
        to_last: Mean distance of the forecasts from the last value, in units.
        to_true: Mean distance of the forecasts from the truth, in units: their MAE.
        typical_move: Mean distance of the truth from the last value, in units: the MAE of naive.
        correlation: Of the predicted with the true moves away from the last value; 0 where the forecast never moves.
        n: Forecasts compared.
    """

    to_last: float
    to_true: float
    typical_move: float
    correlation: float
    n: int

    @property
    def share(self) -> float:
        """How far the forecast moves, as a share of how far the truth does; 0 is naive itself."""
        return self.to_last / self.typical_move

    @property
    def is_copy(self) -> bool:
        """True where the forecast stays near the last value and its moves say nothing of the true ones."""
        return bool(self.to_last <= NEAR * self.to_true and self.correlation <= 2 / np.sqrt(self.n))

    def __str__(self) -> str:
        numbers = (
            f"forecasts lie {number(self.to_last)} from it and {number(self.to_true)} from the truth; "
            f"their moves correlate {self.correlation:.2f} with the true ones ({self.n:,} cutoffs)."
        )
        return f"{'A copy' if self.is_copy else 'No copy'} of the last value: {numbers}"


def lag_one_copy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, last: npt.ArrayLike) -> LagOneCopy:
    """Tells a forecast that repeats the last value, a row late, from one that knows something of the next.

    Drawn over many rows, a forecast of "the same again" follows the truth closely and looks excellent. Two things give
    it away, and both must hold: it lies nearer to the last value than to the truth (mean distance at most 0.75 times),
    and its moves away from that value do not go with the true moves (correlation at most `2 / sqrt(n)`, which luck
    alone exceeds in 2 cases of 100). The naive forecast with a little noise is a copy; a careful forecast that moves
    little but rightly is not.

    Args:
        y_true: Array `(N,)` of one series and one step, usually the first, nan where nothing was observed. Moves of
            later steps overlap: of step `h` give every h-th cutoff.
        y_pred: Array `(N,)`, in the same unit.
        last: The value at each cutoff `(N,)`, in the same unit; nan is left out.

    Raises:
        DataError: It is more than one step, fewer than two values are known, the truth never moves, or as for `mae`.

    Example:
        >>> closes = np.array([100.0, 102, 101, 105, 104, 107, 103, 106])
        >>> copy = lag_one_copy(closes[1:], y_pred=closes[:-1] + 0.5, last=closes[:-1])
        >>> copy.is_copy
        True
        >>> print(copy)
        A copy of the last value: forecasts lie 0.5000 from it and 2.500 from the truth; their moves correlate 0.00 ...
    """
    true, pred, known = observed(y_true, y_pred)
    start = per_row("last", last, known)
    has_start = ~np.isnan(start)
    true_move, pred_move = (true - start)[has_start], (pred - start)[has_start]
    if known.ndim != 1 or true_move.size < 2:
        raise DataError(
            f"A copy is looked for at one step of at least two cutoffs, (N,). Received: shape {known.shape} with "
            f"{true_move.size} known. Give one step, such as y_true[:, 0]."
        )
    if not true_move.any():
        raise DataError(
            f"A copy can be told from a forecast only where the truth moves. Received: {true_move.size} true values, "
            "each equal to the one before. Score rows in which the series moves."
        )
    return LagOneCopy(
        to_last=float(np.abs(pred_move).mean()),
        to_true=float(np.abs(pred_move - true_move).mean()),
        typical_move=float(np.abs(true_move).mean()),
        correlation=_correlation(true_move, pred_move, float(np.abs(start[has_start]).max())),
        n=true_move.size,
    )


@dataclass(frozen=True)
class OutsideRange:
    """What `outside_training_range` found; prints as one sentence.

    Attributes:
        share: Percent of the values that lie outside.
        excess: Distance of the farthest from the range, in units; 0 where none lies outside.
        widths: The same distance in widths of its range; infinite where that has none.
        n: Values looked at.
    """

    share: float
    excess: float
    widths: float
    n: int

    def __str__(self) -> str:
        if not self.share:
            return f"All {self.n:,} values lie in the training range."
        far = f"{number(self.excess)} beyond it" + (f", {self.widths:.2f} of its width" if self.widths < np.inf else "")
        return f"{self.share:.1f} % of {self.n:,} values lie outside the training range, the farthest {far}."


def outside_training_range(values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> OutsideRange:
    """Counts the values that lie outside what the model was trained on.

    A network knows nothing of values that it never saw. MinMax scaling makes them visible (below 0, above 1) and does
    not cure them.

    Args:
        values: Array `(N, ...)` of inputs or true values, nan where nothing was observed.
        low: Lowest training value: one number, or one for each row, shaped like the scale of `mase`; nan is left out.
        high: Highest training value, likewise.

    Raises:
        DataError: No value or no range is known, a range ends below its start, or a shape does not fit.

    Example:
        >>> print(outside_training_range([12.0, 18.0, 21.0, 26.0], low=10, high=20))
        50.0 % of 4 values lie outside the training range, the farthest 6.000 beyond it, 0.60 of its width.
    """
    seen, _, known = observed(values, values, "values")
    lower, upper = per_row("low", low, known), per_row("high", high, known)
    ranged = ~np.isnan(lower) & ~np.isnan(upper)
    if not ranged.any() or (upper < lower).any():
        raise DataError(
            f"A training range must be known and end at or above its start. Received: {int(ranged.sum())} of "
            f"{seen.size} values with a range, {int((upper < lower).sum())} of them upside down. Take `low` and `high` "
            "from training rows."
        )
    seen, lower, upper = seen[ranged], lower[ranged], upper[ranged]
    beyond = np.maximum(np.maximum(lower - seen, seen - upper), 0)
    far, width = float(beyond.max()), upper - lower
    with np.errstate(divide="ignore", invalid="ignore"):
        widths = np.where(beyond > 0, beyond / width, 0)
    return OutsideRange(float(100 * (beyond > 0).mean()), far, float(widths.max()), seen.size)


def _correlation(a: FloatArray, b: FloatArray, size: float) -> float:
    """Returns Pearson's correlation, 0 where one of the two varies no more than values of this size are rounded."""
    rounding = 4 * np.finfo(np.float64).eps * size
    if min(np.ptp(a), np.ptp(b)) <= rounding:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
