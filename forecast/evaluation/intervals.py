"""Intervals that hold the truth as often as they say: split conformal prediction, each step by itself.

    calibration windows    score = (y_true - y_pred) / scale                 signed; one for each step and target
    sorted, n = 9          -3.0  -1.2  -0.8  -0.3   0.1   0.4   0.9   1.6   2.9
                             |                                             |
    80 %, l = 1            rank l                                        rank n + 1 - l
    interval               y_pred - 3.0 * scale         to         y_pred + 2.9 * scale

`l = floor((n + 1) * alpha / 2)` with `alpha = 1 - level / 100`. If the window to forecast could have been any of the
calibration windows, its truth lies in the interval with a chance of at least the level, and at most `2 / (n + 1)` more,
whatever the model and the distribution of its errors. What that does and does not say:

Both tails are counted apart, on signed errors: where errors are skewed, or all on one side, so is the interval, and
both of its ends may lie on one side of `y_pred`. It costs twice the windows of an interval of absolute errors:
`2 / alpha - 1`, which is 9 for 80 % and 39 for 95 %. With fewer a level is refused; no interval is infinite.

The promise is for one step of one window, on average over windows: not for a whole path at once, not for each series,
and not for each quiet or wild time. The scale is there to be nearly fair to those, too.

Time breaks it in two ways. Later errors may be larger than earlier ones; `evaluation/adaptive.py` follows them. And
successive windows of one series share rows, so `n` of them tell less than `n` others. Naive forecasts of random walks
of which 100 successive windows are known:

    step                           1        5       10       24
    80 % intervals hold          80.3     78.1     75.7     68.2 %       over many walks
    and on one walk            +- 4.0   +- 6.6   +- 9.3   +- 14.3        deviation; `n` independent ones: +- 3.9

Ten series of ten windows are worth more than a hundred windows of one.

Axes: `N` windows, `n` of them with a known truth, `H` horizon, `K` targets.

This module knows nothing of panels and networks; what a window's scale is, `forecast/uncertainty.py` says.

Source: Lei et al. (2018), https://arxiv.org/abs/1604.04173; two tails: Romano et al. (2019), https://arxiv.org/abs/1905.03222
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError, DataError, NotFitted

from .baselines import FloatArray, check_finite

LEVELS = (80.0, 95.0)  # percent; where nobody asks for others


class Conformal:
    """Learns how far truth lies from forecast, and says how far it may lie next time.

    Windows of many series are one pool, which their scales make comparable: most series have too few windows for
    quantiles of their own. For one state a series, fit one for each.

    Example:
        >>> state = Conformal().fit(np.arange(-4.0, 5.0).reshape(9, 1, 1))
        >>> low, high = state.interval(np.array([[[100.0]]]), None, level=80)
        >>> print(f"{low.item():.2f} to {high.item():.2f}")
        96.00 to 104.00
        >>> state.offsets(95)
        Traceback (most recent call last):
        ...
        pipelines.errors.ConfigError: Intervals of 95 % need 39 windows in the calibration part, so that one can ...
    """

    def __init__(self) -> None:
        self._scores: FloatArray | None = None
        self.counts_ = np.empty((0, 0), np.int64)  # windows whose truth is known, at each step and target (H, K)
        self.scaled_ = False  # whether `interval` takes a scale, as `fit` did

    def fit(self, residuals: npt.ArrayLike, scale: npt.ArrayLike | None = None) -> "Conformal":
        """Learns from calibration windows: rows that no network was trained on.

        Args:
            residuals: `y_true - y_pred` `(N, H, K)`, NaN where no truth is known.
            scale: How far each window's target usually moves `(N, K)`, in the same unit, above zero; from its past
                alone. Without it all windows count as equally uncertain.

        Raises:
            DataError: Shapes disagree, an error is infinite, or a scale is not above zero.
        """
        errors = check_finite("residuals", np.asarray(residuals, np.float64))
        if errors.ndim != 3:
            raise DataError(f"`residuals` must have the shape (N, H, K). Received: {errors.shape}")
        if scale is not None:
            errors = errors / _scales(scale, errors)
        return self._set(np.sort(errors, axis=0), scale is not None)

    def _set(self, scores: FloatArray, scaled: bool) -> "Conformal":
        self._scores, self.scaled_, self.counts_ = scores, scaled, (~np.isnan(scores)).sum(axis=0)
        return self

    @property
    def scores_(self) -> FloatArray:
        """Signed errors in units of the scale `(N, H, K)`, sorted along windows; NaN, where no truth is known, last."""
        if self._scores is None:
            raise NotFitted("Intervals must be fitted first. Call fit(residuals, scale) on calibration windows.")
        return self._scores

    def offsets(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Returns how far an interval reaches below and above the forecast, `(H, K)` each, in units of the scale.

        This is all that is needed to make intervals elsewhere: `y_pred + scale * offsets`. The first are negative
        unless the model forecasts too low.

        Raises:
            ConfigError: It is no level, or one that needs more calibration windows.
        """
        scores, counts = self.scores_, self.counts_
        (level,) = check_levels(level)
        tail = tail_of(level)
        rank = np.array([(int(n) + 1) * tail // 1 for n in counts.flat], np.int64).reshape(counts.shape)  # l, exactly
        if (rank < 1).any():
            raise self._too_few(level)
        return ranked(scores, rank - 1), ranked(scores, counts - rank)

    def reaches(self, level: float) -> bool:
        """True where there are enough calibration windows for a level."""
        return bool(self.counts_.min() >= needed(level))

    def interval(
        self, y_pred: npt.ArrayLike, scale: npt.ArrayLike | None, level: float
    ) -> tuple[FloatArray, FloatArray]:
        """Returns the low and high ends `(N, H, K)` around forecasts.

        Args:
            y_pred: Forecasts `(N, H, K)`.
            scale: Of each window `(N, K)`, as for `fit`; None where that had none.
            level: Percent, above 1 and below 100.

        Raises:
            ConfigError: As for `offsets`; or a scale is given where `fit` had none, or the other way round.
            DataError: Shapes disagree, or a scale is not above zero.
        """
        low, high = self.offsets(level)
        pred, unit = self.forecasts(y_pred, scale)
        return around(pred, low * unit, high * unit)

    def forecasts(self, y_pred: npt.ArrayLike, scale: npt.ArrayLike | None) -> tuple[FloatArray, FloatArray]:
        """Returns forecasts `(N, H, K)` and their scales `(N, 1, K)`."""
        pred, steps = np.asarray(y_pred, np.float64), self.scores_.shape[1:]
        if pred.ndim != 3 or pred.shape[1:] != steps:
            raise DataError(f"`y_pred` must have the shape (N, {steps[0]}, {steps[1]}). Received: {pred.shape}")
        if (scale is not None) != self.scaled_:
            raise ConfigError(
                f"Intervals that were fitted with{'' if self.scaled_ else 'out'} a scale take "
                f"{'one' if self.scaled_ else 'none'}. Received: {'one' if scale is not None else 'none'}"
            )
        return pred, np.ones((len(pred), 1, pred.shape[2])) if scale is None else _scales(scale, pred)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Returns what was learned as plain arrays, for an npz file."""
        return {"scores": self.scores_, "scaled": np.array(self.scaled_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Conformal":
        """Returns the state that `to_arrays` gave.

        Raises:
            DataError: The arrays are not what it gives.
        """
        scores, scaled = arrays["scores"], arrays["scaled"]
        good = scores.dtype == np.float64 and scores.ndim == 3 and scaled.dtype == bool and scaled.ndim == 0
        if not good or np.isinf(scores).any() or not _sorted(scores):
            raise DataError(
                "Scores must be finite float64 numbers (N, H, K), sorted along windows, and NaN after them."
            )
        return cls()._set(scores, bool(scaled))

    def _too_few(self, level: float) -> ConfigError:
        fewest = self.counts_.min(axis=1)  # (H,)
        have, step = int(fewest.min()), int(fewest.argmin()) + 1
        most = 100 - Fraction(200, have + 1)
        lower = f"Ask for at most {np.floor(float(most) * 10) / 10:g} %, or raise" if have > 1 else "Raise"
        return ConfigError(
            f"Intervals of {level_name(level)} % need {needed(level)} windows in the calibration part, so that one can "
            f"lie beyond each end. Received: {have} at step {step}. {lower} split.calibration."
        )


def check_levels(levels: float | Iterable[float]) -> tuple[float, ...]:
    """Returns levels in percent in rising order, each once.

    Raises:
        ConfigError: One is not a number above 1 and below 100.

    Example:
        >>> check_levels([95, 80])
        (80.0, 95.0)
    """
    given: list[Any] = list(levels) if isinstance(levels, Iterable) and not isinstance(levels, str) else [levels]
    for level in given:
        number = isinstance(level, int | float | np.number) and not isinstance(level, bool)
        if not number or not 1 < float(level) < 100:  # nobody wants 0.8 %, but some write it for 80
            raise ConfigError(f"`levels` must be percent, above 1 and below 100, such as 80. Received: {level!r}")
    return tuple(sorted({float(level) for level in given}))


def level_name(level: float) -> str:
    """Returns "80" or "97.5": what columns and messages call a level."""
    return np.format_float_positional(level, trim="-")


def needed(level: float) -> int:
    """Returns how many calibration windows a level needs: so many that the l of the picture above is 1.

    Example:
        >>> needed(80), needed(95)
        (9, 39)
    """
    return int(-(-1 // tail_of(level))) - 1


def tail_of(level: float) -> Fraction:
    """Returns `alpha / 2` exactly: in floats 1 - 0.8 is less than 0.2, and a rank too low."""
    return (100 - Fraction(str(float(level)))) / 200


def ranked(scores: FloatArray, rows: npt.NDArray[np.int64]) -> FloatArray:
    """Returns the scores `(H, K)` at a row for each step and target."""
    return np.take_along_axis(scores, rows[None], axis=0)[0]


def around(pred: FloatArray, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns both ends, a few units in the last place outwards: rounding must not push out a truth that ties."""
    slack = 4 * np.spacing(np.maximum(np.abs(pred), np.maximum(np.abs(low), np.abs(high))))
    return pred + low - slack, pred + high + slack


def _sorted(scores: FloatArray) -> bool:
    filled = np.where(np.isnan(scores), np.inf, scores)
    return not bool((filled[1:] < filled[:-1]).any())


def _scales(scale: npt.ArrayLike, of: FloatArray) -> FloatArray:
    """Returns scales `(N, 1, K)` for an array `(N, H, K)`."""
    array = np.asarray(scale, np.float64)
    if array.shape != (len(of), of.shape[2]):
        raise DataError(f"`scale` must have the shape {(len(of), of.shape[2])}. Received: {array.shape}")
    wrong = ~(np.isfinite(array) & (array > 0))
    if wrong.any():
        raise DataError(
            f"`scale` must be above zero and finite. Received: {int(wrong.sum())} of {array.size} that are not, such "
            f"as {array[wrong][0]:g}. Give a floor to windows that do not move."
        )
    return array[:, None]
