"""Columns that know the future: they equal the target's later values, move with them, or are made of them.

    row t     target   next_close   next_return   up_tomorrow   smooth, of three rows
    0            100          103          3.0 %             1
    1            103          101         -1.9 %             0                  101.3
    2            101          106          5.0 %             1                  103.3
    3            106

The most common leak of all comes with the data: a column that somebody computed from later rows. Levels are not
compared, because today's opening price and tomorrow's closing price are as good as the same; changes are. Where rows up
to the cutoff explain the column as well, as in a sine, nothing is said.

A centred average moves with no single row. So the column's changes are fitted to the target's changes in rows before
and after: what comes out of a half of the rows must hold in the other half, so that few large changes prove nothing.
A running median, or extreme, is no such sum; but it is one of the target's values, and often one that is still to come.

Axes: `T` rows of one series, `N` rows that can be compared, `P` rows around each of them.
"""

import bisect
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
REACHES = (60, 20, 7)  # rows before, and after, that a column may be made of: as many as there are rows to fit
ROWS = 6  # that it takes for each of these
PICKED = 0.99  # the share of rows in which a column must be one of the target's values
FLAT = 1e-10  # the share of the largest variance below which moves are those of float32's rounding
ROUNDING = 1e-6  # the share of its variance from which something is unexplained


class Foresight(NamedTuple):
    """How a column knows the target: it "equals" a later row, "moves with" it, or "is made of" the rows up to it.

    The correlation is that of "moves with", else 1.
    """

    how: str
    correlation: float
    rows: int


def foresight(column: npt.ArrayLike, target: npt.ArrayLike, ahead: Iterable[int]) -> Foresight | None:
    """Returns how a column at row t tells the target at a later row; None where it does not.

    Compared are values, where the target moves; and correlations of the column's changes with the target's, and of the
    column itself with the target's changes from row to row and since row t: absolute, relative, and their sign. Then
    sums of such changes around row t, and each value with those around it, up to 60 rows away.

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
        if best < ALIKE:
            furthest = min(BACK, max(future, default=0))
            last = _sum(x, y, furthest) or _pick(x, y, furthest)
            return Foresight("is made of", 1.0, last) if last else None
        if any(_alike(x, y, h) > EXPLAINED for h in past):
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


def _sum(x: FloatArray, y: FloatArray, furthest: int) -> int:
    """Returns how many rows later the last one lies of which the column is a weighted sum; 0 where it is none.

    A sum of the target, of its returns, or of its logarithms.
    """
    change, step = (np.diff(values, prepend=np.nan) for values in (x, y))
    every = (step, step / (y - step), np.diff(np.log(y), prepend=np.nan))
    return next((h for moves in every if (h := _sum_of(change, moves, furthest))), 0)


def _sum_of(change: FloatArray, moves: FloatArray, furthest: int) -> int:
    """Returns how many rows later the last move lies of which each change is a weighted sum; 0 where it is none.

    Moves up to the same row must leave something, and later ones must explain all but a 500th part of it.
    """
    for back in REACHES:
        ahead = min(back, furthest)
        width = back + 1 + ahead
        rows = _around(moves, back + ahead, ahead)  # (T, P)
        known = np.isfinite(rows).all(axis=1) & np.isfinite(change)
        if ahead and known.sum() >= ROWS * width:
            break
    else:
        return 0
    rows, wanted = rows[known] / (rows[known].std() or 1.0), change[known]  # (N, P), (N,)
    past = _unexplained(rows[:, :width], wanted)  # of as many rows, so that a season is no foresight

    def explained(h: int) -> bool:
        return bool((_unexplained(rows[:, ahead : width + h], wanted) <= (1 - ALIKE**2) * past).all())

    if (past <= ROUNDING).any() or not explained(ahead):
        return 0
    return 1 + bisect.bisect_left(range(1, ahead), True, key=explained)


def _unexplained(rows: FloatArray, wanted: FloatArray) -> FloatArray:
    """Returns the share of each half of what is wanted `(N,)` that weights `(P,)` from the other half miss, `(2,)`."""
    half, result = len(rows) // 2, np.ones(2)
    rows = np.column_stack([np.ones(len(rows)), rows])
    for i, (here, there) in enumerate(((slice(half), slice(half, None)), (slice(half, None), slice(half)))):
        weights = np.linalg.lstsq(rows[there].T @ rows[there], rows[there].T @ wanted[there], rcond=FLAT)[0]
        spread = wanted[here].var()
        if spread > 0:
            result[i] = np.square(wanted[here] - rows[here] @ weights).mean() / spread
    return result


def _pick(x: FloatArray, y: FloatArray, ahead: int) -> int:
    """Returns how many rows later the last one lies of which the column picks a value, as a median; 0 if it does not.

    A tenth of them must be later ones alone; and the target's next larger value must mostly lie elsewhere, or there are
    so few that any column picks one.
    """
    known, levels = np.isfinite(x), np.unique(y[np.isfinite(y)])
    if not ahead or known.sum() < PAIRS or not len(levels):
        return 0
    above = levels[np.minimum(np.searchsorted(levels, x[known], "right"), len(levels) - 1)]
    rows = _around(y, BACK, ahead)[known]  # (N, P)
    same, next_to = rows == x[known][:, None], rows == above[:, None]

    def always(h: int) -> bool:
        return bool(same[:, BACK - h : BACK + 1 + h].any(axis=1).mean() > PICKED)

    if not always(ahead):
        return 0
    h = 1 + bisect.bisect_left(range(1, ahead), True, key=always)
    later = ~same[:, : BACK + 1].any(axis=1)
    by_chance = next_to[:, max(0, BACK - 2 * h) : BACK + 1 + 2 * h].any(axis=1).mean() > 0.5
    return 0 if later.sum() < PAIRS or later.mean() < 0.1 or by_chance else h


def _around(values: FloatArray, back: int, ahead: int) -> FloatArray:
    """Returns the values from `back` rows before each row to `ahead` after it `(T, back + 1 + ahead)`; NaN beyond."""
    padded = np.concatenate([np.full(back, np.nan), values, np.full(ahead, np.nan)])
    return np.lib.stride_tricks.sliding_window_view(padded, back + 1 + ahead)


def _correlation(x: FloatArray, y: FloatArray) -> float:
    """Returns the absolute correlation of what is known of both; 0 where there is none."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < PAIRS:
        return 0.0
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(abs(x @ y) / size) if size > 0 else 0.0
