"""The moves from the cutoff to one step ahead, of cutoffs whose futures do not overlap: what was said, what happened.

    step 3      cutoff . . .  |  . . .  |  . . .  |          one move in three cutoffs
    realised           +1.2 %     -0.4 %    +2.0 %
    predicted          +0.3 %     +0.2 %    +0.1 %           up, up, up

Forecasts of successive cutoffs share most of their future: 500 forecasts five rows ahead are about 100 independent
moves, and intervals that count 500 are too narrow by half.

Axes: `N` cutoffs.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipelines.errors import ConfigError, DataError, UnknownName

from .backtest import Backtest
from .baselines import FloatArray, IntArray
from .direction import directional_accuracy, directional_interval, moved, return_correlation, up_share
from .frames import by_series
from .pitfalls import LagOneCopy, lag_one_copy
from .verdict import overlap

NONE = float("nan")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Moves:
    """Values at the cutoff and one step ahead; their scores are those of `direction` and `pitfalls`.

    Attributes:
        y_true: What happened `(N,)`, in units.
        y_pred: What was forecast `(N,)`.
        last: The value at the cutoff `(N,)`.
        which: Numbers of the cutoffs in their backtest `(N,)`.
        step: Which step of the horizon, counted from 1.
    """

    y_true: FloatArray
    y_pred: FloatArray
    last: FloatArray
    which: IntArray
    step: int

    def __len__(self) -> int:
        return len(self.which)

    @property
    def still(self) -> bool:
        """Whether the forecast is the last value itself, to rounding, as naive is: it says no direction."""
        return not moved(self.y_pred, self.y_true, self.last).any()

    @property
    def accuracy(self) -> float:
        """Percent whose direction was right; NaN where nothing moved, or the forecast says no direction."""
        return NONE if self.still else _or(NONE, directional_accuracy, self)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of `accuracy`, in percent; NaN where that is."""
        return (NONE, NONE) if self.still else _or((NONE, NONE), directional_interval, self, level)

    @property
    def up_share(self) -> float:
        """Percent that went up, what always saying "up" scores; NaN where nothing moved."""
        return _or(NONE, up_share, self)

    @property
    def bar(self) -> float:
        """What the better of "always up" and "always down" scores, in percent; NaN where nothing moved."""
        return max(self.up_share, 100 - self.up_share)

    @property
    def correlation(self) -> float:
        """Of predicted with realised relative moves; NaN where one of them never varies, or a `last` is not above 0."""
        return NONE if self.still else _or(NONE, return_correlation, self)

    @property
    def copy(self) -> LagOneCopy:
        """Whether the forecasts repeat the last value; see `lag_one_copy`."""
        return lag_one_copy(self.y_true, self.y_pred, self.last)


def moves(
    backtest: Backtest,
    *,
    step: int | None = None,
    target: str | None = None,
    series: str | None = None,
    name: str | None = None,
) -> Moves:
    """Returns the moves to one step, of every cutoff whose future begins where that of the one before has ended.

    Args:
        backtest: The forecasts.
        step: Which step of the horizon, by default the last: the whole move.
        target: By default the first.
        series: By default all of them.
        name: Whose forecasts, by default the model's; or a baseline's.

    Raises:
        ConfigError: There is no such step.
        UnknownName: There is no such target, series or forecast.
    """
    spec, index, panel = backtest.index.spec, backtest.index, backtest.panel
    h = checked_step(step, spec.horizon)
    for kind, asked, known in (
        ("target", target, backtest.targets),
        ("series", series, panel.ids),
        ("forecast", name, tuple(backtest.y_pred)),
    ):
        if asked is not None and asked not in known:
            raise UnknownName.of(kind, asked, known)
    k = 0 if target is None else backtest.targets.index(target)
    every = overlap(spec.gap, h, spec.stride)
    numbers = np.arange(len(index))
    chosen = [numbers[those][::every] for s, those in by_series(index) if series is None or panel.ids[s] == series]
    which = np.concatenate([numbers[:0], *chosen])
    y_true, y_pred = backtest.y_true[which, h - 1, k], backtest.y_pred[name or backtest.model][which, h - 1, k]
    there = ~np.isnan(y_true + y_pred + backtest.last[which, k])
    return Moves(y_true[there], y_pred[there], backtest.last[which, k][there], which[there], h)


def _or(otherwise: T, score: Callable[..., T], made: Moves, *more: float) -> T:
    with suppress(DataError):  # nothing moved: there is no such score
        return score(made.y_true, made.y_pred, made.last, *more)
    return otherwise


def checked_step(step: int | None, horizon: int) -> int:
    """Returns a step of the horizon, by default the last one; ConfigError where it is none."""
    if step is None:
        return horizon
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 1 <= step <= horizon:
        raise ConfigError(f"`step` must be an integer from 1 to the horizon, {horizon}. Received: {step!r}")
    return int(step)
