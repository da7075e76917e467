"""Is it more than luck? Tests of a model's losses against naive's.

    loss of the model      1.2   0.8   2.0   0.1  ...   one row for each cutoff, in time order
    loss of naive          1.0   1.1   2.1   0.4  ...
    difference             0.2  -0.3  -0.1  -0.3  ...   below 0 the model is better; is the mean, too?

    diebold_mariano    one series, many cutoffs, one step
    wilcoxon           many series, one score of each
    holm               p-values of several steps or models, so that trying often does not count as success

A p-value is the chance that a model which is NOT better looks at least this good; `p_better` is of one side. In words:
"better than naive" where it is below 0.05, "worse than naive" where it is above 0.95, else no difference is shown.

Axes: `N` cutoffs. Losses may be of any kind (absolute, squared, pinball) as long as less is better.

This module knows nothing of panels, windows or models.
"""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError, DataError

from ..text import number
from .baselines import FloatArray, check_finite

SIGNIFICANT = 0.05  # where the sentences draw the line
ENOUGH = 10  # cutoffs for each step ahead; with fewer, Diebold and Mariano's test finds too much


@dataclass(frozen=True)
class DieboldMariano:
    """What `diebold_mariano` found; prints as one sentence.

    Attributes:
        statistic: Below 0 where the model's losses are lower.
        p_value: Of both sides: are the two different?
        p_better: Of one side: is the model better?
        p_fixed: Of both sides, with fixed smoothing instead of lags: slower to believe, and right more often where
            forecasts overlap far.
        difference: Mean loss of the model minus naive's, in the unit of the loss.
        n: Cutoffs with both losses.
        step: Rows ahead, counted in cutoffs.
        variance: Which estimate of the variance was used: "rectangular", or "Bartlett" where that was not above zero;
            "none" where all differences are zero.
    """

    statistic: float
    p_value: float
    p_better: float
    p_fixed: float
    difference: float
    n: int
    step: int
    variance: str

    @property
    def enough(self) -> bool:
        """True where there are at least ten cutoffs for each step; else 5 % of luck may be 10 or 15."""
        return self.n >= ENOUGH * self.step

    def __str__(self) -> str:
        if self.variance == "none":
            return f"The same losses as naive on all {self.n:,} cutoffs: nothing to test, p = 1."
        lags = f", {self.variance} variance of {self.step - 1} lag{'' if self.step == 2 else 's'}"
        test = f"one-sided Diebold-Mariano at step {self.step}{lags if self.step > 1 else ''}"
        sentence = _sentence(self.p_better, "mean loss", self.difference, f"{self.n:,} cutoffs", test)
        if not self.enough:
            sentence += f" Fewer than {ENOUGH} cutoffs for each step: a hint, no proof."
        return sentence


def diebold_mariano(loss_model: npt.ArrayLike, loss_naive: npt.ArrayLike, step: int = 1) -> DieboldMariano:
    """Tests whether two forecasts of one series, from the same cutoffs and for one step, have the same mean loss.

    Forecasts `h` steps ahead from successive cutoffs overlap, so their losses resemble each other up to `h - 1` cutoffs
    apart. The variance of the mean difference therefore sums the autocovariances of `h - 1` lags, each in full
    ("rectangular", as in the original). That sum can be zero or less; the same lags then count less the longer they are
    ("Bartlett", Newey & West), which cannot. The statistic has Harvey, Leybourne & Newbold's correction for few cutoffs
    and Student's distribution with `n - 1` degrees of freedom.

    With fewer than ten cutoffs for each step it still finds too much, and says so. On 250 cutoffs of random walks it
    calls forecasts that add noise or drift "better" in at most 5 %, as it should; but those that lean back towards an
    average in 6 % at step 5 and in 10 % at step 12, and does not say so. `p_fixed` is for those: the variance is the
    mean of the first `n^(1/3)` ordinates of the periodogram, which needs no number of lags, and Student's distribution
    has two degrees of freedom for each of them. Where both p-values of two sides must be below 0.05, as in a verdict,
    all of these forecasts are called better in at most 5 %: `benchmarks/honesty.py` counts.

    Args:
        loss_model: Array `(N,)` in time order, nan where nothing was observed. Such a cutoff is left out and keeps its
            place in time.
        loss_naive: Array `(N,)`, from the same cutoffs.
        step: `h`, rows ahead counted in cutoffs: with a cutoff every 5 rows, 10 rows ahead are 2 and 5 are 1.

    Raises:
        DataError: Shapes disagree, a loss is infinite, no more cutoffs than `step` have both losses, or all differences
            are the same and not zero.
        ConfigError: `step` is not an integer >= 1.

    Example:
        >>> print(diebold_mariano([1.2, 0.8, 2.0, 0.1, 0.9, 0.4, 0.3, 1.0, 0.7, 0.2], [1.0, 1.1, 2.1, 0.4] + [0.9] * 6))
        Better than naive: mean loss 0.2400 lower on 10 cutoffs, p = 0.0159 (one-sided Diebold-Mariano at step 1).

    Source:
        Diebold & Mariano (1995), https://doi.org/10.1080/07350015.1995.10524599; Harvey, Leybourne & Newbold (1997),
        https://doi.org/10.1016/S0169-2070(96)00719-4; Newey & West (1987), https://doi.org/10.2307/1913610; fixed
        smoothing: Coroneo & Iacone (2020), https://doi.org/10.1002/jae.2756
    """
    from scipy import stats

    h = _step(step)
    model, naive, both = _pairs("loss_model", loss_model, "loss_naive", loss_naive)
    n = int(both.sum())
    if n <= h:
        raise DataError(
            f"Diebold and Mariano's test at step {h} needs losses from more than {h} cutoffs. Received: {n} "
            "with both losses. Forecast from more cutoffs, or test an earlier step."
        )
    difference = np.where(both, model - naive, 0.0)
    largest = float(np.abs(difference).max())
    if not largest:
        return DieboldMariano(0.0, 1.0, 1.0, 1.0, 0.0, n, h, "none")
    d = difference / largest
    mean = d.sum() / n
    if np.ptp(difference[both]) <= 4 * np.finfo(np.float64).eps * max(np.abs(model[both]).max(), largest):
        raise DataError(
            f"The differences between the losses must vary. Received: {n} cutoffs, and on each the same difference, "
            f"{mean * largest:g}. Compare the forecasts themselves: one may be the other plus a constant."
        )
    d = np.where(both, d - mean, 0.0)  # a missing cutoff adds nothing at any lag
    covariances = np.array([d[k:] @ d[: len(d) - k] for k in range(min(h, len(d)))]) / n
    kind, variance = "rectangular", 2 * covariances.sum() - covariances[0]
    if variance <= 0:
        kind, weights = "Bartlett", 1 - np.arange(len(covariances)) / h
        variance = 2 * (weights * covariances).sum() - covariances[0]
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
    statistic = float(mean / np.sqrt(variance / n) * np.sqrt(correction))
    return DieboldMariano(
        statistic=statistic,
        p_value=float(2 * stats.t.sf(abs(statistic), n - 1)),
        p_better=float(stats.t.cdf(statistic, n - 1)),
        p_fixed=_fixed_smoothing(d, float(mean), n),
        difference=float(mean * largest),
        n=n,
        step=h,
        variance=kind,
    )


def _fixed_smoothing(deviations: FloatArray, mean: float, n: int) -> float:
    """Returns the p-value of a mean, of both sides, from the slowest waves of the deviations from it."""
    from scipy import stats

    waves = max(1, int(n ** (1 / 3)))
    power = np.abs(np.fft.rfft(deviations)[1 : waves + 1]) ** 2 / n
    return float(2 * stats.t.sf(abs(mean) / np.sqrt(power.mean() / n), 2 * waves)) if power.any() else 0.0


@dataclass(frozen=True)
class Wilcoxon:
    """What `wilcoxon` found; prints as one sentence.

    Attributes:
        statistic: Sum of the ranks of the series on which the model is worse.
        p_value: Of both sides: are the two different?
        p_better: Of one side: is the model better?
        difference: Median over series of the model's score minus naive's.
        n: Series with both scores.
        better: Series on which the model is better.
    """

    statistic: float
    p_value: float
    p_better: float
    difference: float
    n: int
    better: int

    def __str__(self) -> str:
        count = f"{self.n:,} series"
        if self.p_value == self.p_better == 1 and not self.difference:
            return f"The same scores as naive on all {count}: nothing to test, p = 1."
        test = f"one-sided Wilcoxon, better on {self.better:,}"
        return _sentence(self.p_better, "median score", self.difference, count, test)


def wilcoxon(scores_model: npt.ArrayLike, scores_naive: npt.ArrayLike) -> Wilcoxon:
    """Tests whether the scores of two forecasts differ over many series: Wilcoxon's signed ranks.

    Each series counts once, by the rank of its difference: bring scores to one scale first, as `mase` does. Series
    without a difference are left out of the ranks. The test takes series to be independent; stocks of one market and
    the sensors of one machine are not, and then it finds too much. Fewer than 5 series can never reach 5 %.

    Args:
        scores_model: Array `(S,)`, less is better, nan where a series has no score; it is left out.
        scores_naive: Array `(S,)`, of the same series.

    Raises:
        DataError: Shapes disagree, a score is infinite, or fewer than two series have both scores.

    Example:
        >>> print(wilcoxon([0.9, 0.8, 1.1, 0.7, 0.95, 0.85], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
        No difference to naive shown: median score 0.1250 lower on 6 series, p = 0.0781 ...

    Source:
        Wilcoxon (1945), https://doi.org/10.2307/3001968
    """
    from scipy import stats

    model, naive, both = _pairs("scores_model", scores_model, "scores_naive", scores_naive)
    n = int(both.sum())
    if n < 2:
        raise DataError(
            f"Wilcoxon's test needs at least two series. Received: {n} with both scores. Use diebold_mariano on the "
            "cutoffs of one series."
        )
    difference = (model - naive)[both]
    better, median = int((difference < 0).sum()), float(np.median(difference))
    if not difference.any():
        return Wilcoxon(0.0, 1.0, 1.0, 0.0, n, 0)
    one: Any = stats.wilcoxon(difference, alternative="less")
    two: Any = stats.wilcoxon(difference)
    return Wilcoxon(float(one.statistic), float(two.pvalue), float(one.pvalue), median, n, better)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Returns p-values that still hold when several tests were made: Holm's, in the order given.

    Twelve steps tested at 5 % give one false success in 46 % of cases. Of Holm's values, the chance that ANY below 0.05
    is false is at most 5 %, however the tests depend on each other.

    Args:
        p_values: Array `(n,)`, one for each step, target or model that was tried.

    Raises:
        DataError: One is nan, or not from 0 to 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])

    Source:
        Holm (1979), https://www.jstor.org/stable/4615733
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise DataError(
            f"`p_values` must be a list of numbers from 0 to 1. Received: {p.tolist()}. Leave out tests that gave none."
        )
    order = np.argsort(p, kind="stable")
    result = np.empty_like(p)
    result[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1)
    return result


def _step(step: Any) -> int:
    try:
        h = operator.index(step)
    except TypeError:
        h = 0
    if h < 1:
        raise ConfigError(
            f"`step` must be an integer >= 1, counted in cutoffs. Received: {step!r}. Give 1 for the next."
        )
    return h


def _pairs(
    name: str, model: npt.ArrayLike, other: str, naive: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Returns two arrays of the same length, and where both are known."""
    first, second = np.asarray(model, np.float64), np.asarray(naive, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(
            f"`{name}` and `{other}` must be lists of the same length. Received: shapes {first.shape} and "
            f"{second.shape}. Test one step at a time."
        )
    return first, second, ~np.isnan(check_finite(name, first)) & ~np.isnan(check_finite(other, second))


def _sentence(p_better: float, what: str, difference: float, many: str, test: str) -> str:
    if p_better < SIGNIFICANT:
        verdict = "Better than naive"
    elif p_better > 1 - SIGNIFICANT:
        verdict = "Worse than naive"
    else:
        verdict = "No difference to naive shown"
    way = "lower" if difference < 0 else "higher"
    return f"{verdict}: {what} {number(abs(difference))} {way} on {many}, p = {p_better:.3g} ({test})."
