"""Columns that know the future: they equal the target's later values, or move with them.

    row t     target   next_close   next_return   up_tomorrow
    0            100          103          3.0 %             1
    1            103          101         -1.9 %             0
    2            101          106          5.0 %             1

The most common leak of all comes with the data: a column that somebody computed from later rows. Levels are not
compared, because today's opening price and tomorrow's closing price are as good as the same; changes are. Where rows up
to the cutoff explain the column as well, as in a sine, nothing is said.

Axes: `T` rows of one series.
"""

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .baselines import FloatArray

ALIKE = 0.999  # the correlation from which a column knows
EXPLAINED = 0.99  # the correlation with rows up to the cutoff from which these explain it
PAIRS = 30  # rows that it takes to say so
BACK = 60  # rows up to the cutoff that may explain it


class Foresight(NamedTuple):
    """How a column knows the target: "equals", or "moves with" at a correlation; and how many rows later."""

    how: str
    correlation: float
    rows: int


def foresight(column: npt.ArrayLike, target: npt.ArrayLike, ahead: Iterable[int]) -> Foresight | None:
    """Returns how a column at row t tells the target at a later row; None where it does not.

    Compared are values, where the target moves; and correlations of the column's changes with the target's, and of the
    column itself with the target's changes from row to row and since row t: absolute, relative, and their sign.

    Args:
        column: Array `(T,)`, what is known at each row; NaN where nothing is.
        target: Array `(T,)`, likewise.
        ahead: How many rows later to look, such as `range(1, 61)`.

    Example:
        >>> target = np.random.default_rng(0).normal(size=200).cumsum()
        >>> foresight(np.roll(target, -1), target, range(1, 6))
        Foresight(how='equals', correlation=1.0, rows=1)
        >>> foresight(np.roll(target, 1), target, range(1, 6))
    """
    x, y = (np.asarray(values, np.float64) for values in (column, target))
    future = [h for h in ahead if 1 <= h < len(x) - PAIRS]
    past = range(-min(BACK, max(0, len(x) - PAIRS - 1)), 1)
    equal = [h for h in future if _equal(x, y, h)]
    if equal and not any(_equal(x, y, h) for h in past):
        return Foresight("equals", 1.0, equal[0])
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # what is no number is a pair that is left out
        warnings.simplefilter("ignore", RuntimeWarning)
        best, nearest = max(((_alike(x, y, h), -h) for h in future), default=(0.0, 0))
        if best < ALIKE or any(_alike(x, y, h) > EXPLAINED for h in past):
            return None
    return Foresight("moves with", best, -nearest)


def _pairs(x: FloatArray, y: FloatArray, h: int) -> tuple[FloatArray, FloatArray]:
    """Returns `x[t]` and `y[t + h]` for all rows `t` that have both."""
    return x[max(0, -h) : len(x) - max(0, h)], y[max(0, h) : len(y) - max(0, -h)]


def _equal(x: FloatArray, y: FloatArray, h: int) -> bool:
    """Returns whether `x[t]` is `y[t + h]`, in rows where the target moves: zeros are zeros everywhere."""
    still = np.concatenate([[True], y[1:] == y[:-1]])
    left, right = _pairs(x, np.where(still, np.nan, y), h)
    both = ~np.isnan(left) & ~np.isnan(right)
    return bool(both.sum() >= PAIRS and (left == right)[both].mean() > 0.99)


def _alike(x: FloatArray, y: FloatArray, h: int) -> float:
    """Returns the largest correlation between `x[t]`, or its change, and a change of the target to row `t + h`."""
    step = np.concatenate([[np.nan], np.diff(y)])  # into each row
    now, then = _pairs(y, y, h)
    at, into = _pairs(x, step, h)
    before = _pairs(x, np.concatenate([[np.nan], y[:-1]]), h)[1]
    moves = [into, into / before, np.sign(into)]
    moves += [then - now, (then - now) / now, np.sign(then - now)] if h else []
    changes = _correlation(*_pairs(np.concatenate([[np.nan], np.diff(x)]), step, h))
    return max(changes, *(_correlation(at, move) for move in moves))


def _correlation(x: FloatArray, y: FloatArray) -> float:
    """Returns the absolute correlation of what is known of both; 0 where there is none."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < PAIRS:
        return 0.0
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(abs(x @ y) / size) if size > 0 else 0.0
