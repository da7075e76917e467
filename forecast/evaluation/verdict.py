"""What scores amount to, in plain words: better than naive, worse, or not shown to be either.

    effect     MAE of the model over the bar's; within half a percent no claim is made
    luck       one series: Diebold-Mariano over cutoffs, with two estimates of the variance
               several: Wilcoxon over series; where they share stamps, Diebold-Mariano on their mean loss, too
    sentence   Does not beat naive on 205 test sessions: MAE 18.58 against 17.98 dollars (3.3 % higher, p = 0.15).
    notes      a copy of the last value; true values outside the training range; directions and their interval

The p in a sentence is of both sides: the chance that two forecasts which are equally good look at least this different.
Where several tests are made, each must find it and all must agree on the side; p is then the largest. One is too sure
where series of one market move together, another where forecasts reach far; a few wild days can hide what holds for
most series. And forecasts that lean towards a slow average look better on a walk than Student's distribution allows, up
to that of Dickey and Fuller, whose 5 % point of one side is -1.95: that of both sides of Student's is as far. On random
walks, where nothing can be better, "better than naive" is so said in at most 5 %: `benchmarks/honesty.py` counts.

Axes: `N` cutoffs, `H` horizon, `S` series, `G` distinct times of a cutoff. All errors of several series are in units
of each one's own scale before they are averaged.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from pipelines.errors import DataError

from ..text import number
from .baselines import FloatArray, IntArray
from .direction import directional_accuracy, directional_interval, up_share
from .pitfalls import lag_one_copy, outside_training_range
from .significance import ENOUGH, SIGNIFICANT, DieboldMariano, diebold_mariano, wilcoxon

LEVEL = 0.005  # closer than this to the bar, no claim is made
FEWEST_SERIES = 6  # with fewer, Wilcoxon's test can never reach 5 %, or only just
OUTSIDE = 1.0  # percent of true values outside the training range that are worth a word


@dataclass(frozen=True)
class Against:
    """A model beside one bar.

    Attributes:
        bar: Name of the bar, such as "naive".
        mine, theirs: MAE of the two.
        p_value: Chance that two forecasts which are equally good look this different; NaN where nothing was tested.
        agreed: Whether all tests and the MAE find the same one better.
        tests: What was tested, in words; or why nothing was.
    """

    bar: str
    mine: float
    theirs: float
    p_value: float
    agreed: bool
    tests: tuple[str, ...]

    @property
    def change(self) -> float:
        """How much larger the model's error is, as a share of the bar's."""
        if self.theirs:
            return self.mine / self.theirs - 1
        return float("inf") if self.mine else 0.0

    @property
    def outcome(self) -> str:
        """One of "better", "worse", "level" (surely different, by too little to matter), "open" and "untested"."""
        if np.isnan(self.p_value):
            return "untested"
        if self.p_value >= SIGNIFICANT or not self.agreed:
            return "open"
        if abs(self.change) <= LEVEL:
            return "level"
        return "better" if self.change < 0 else "worse"

    @property
    def words(self) -> str:
        """The outcome as the start of a sentence, up to the bar's name."""
        lower = "Lower" if self.change < 0 else "Higher" if self.change > 0 else "The same"
        return {
            "better": "Better than",
            "worse": "Worse than",
            "level": "Level with",
            "open": "Does not beat",
            "untested": f"{lower} error {'than' if self.change else 'as'}",
        }[self.outcome]

    @property
    def size(self) -> str:
        """Change and p, in brackets."""
        parts = []
        if self.change and np.isfinite(self.change):
            parts.append(f"{100 * abs(self.change):.1f} % {'higher' if self.change > 0 else 'lower'}")
        if self.outcome != "untested":
            p = self.p_value
            parts.append("p < 0.001" if p < 0.001 else f"p = {p:.1g}" if p < 0.01 else f"p = {p:.2f}")
            parts += [] if self.agreed else ["tests disagree"]
        return f" ({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class Verdict:
    """What the scores of one target amount to; prints as a sentence.

    Attributes:
        target: Name of the target.
        many: How much was scored, such as "400 test days".
        unit: What the target is counted in; "" where nobody said.
        naive: The model beside the naive forecast; None where nothing was observed.
        best: The model beside the strongest baseline, where that is another one and better than naive.
        notes: What else a reader should know, in sentences.
        of: " for Close" where there are several targets.
    """

    target: str
    many: str
    unit: str
    naive: Against | None
    best: Against | None = None
    notes: tuple[str, ...] = ()
    of: str = ""

    def __str__(self) -> str:
        if self.naive is None:
            return f"No verdict on {self.target}: nothing was observed on {self.many}."
        one, unit = self.naive, f" {self.unit}" if self.unit else ""
        sentence = (
            f"{one.words} naive{self.of} on {self.many}: MAE {number(one.mine)} against {number(one.theirs)}{unit}"
            f"{one.size}."
        )
        if one.outcome == "untested":
            sentence += f" Not tested: {one.tests[0]}"
        if self.best is not None:
            name = self.best.bar.replace("_", " ")
            sentence += (
                f" {self.best.words} {name}, the strongest baseline: {number(self.best.theirs)}{unit}{self.best.size}."
            )
        return sentence


def against(
    bar: str,
    maes: tuple[float, float],
    losses: tuple[FloatArray, FloatArray],
    series: IntArray,
    order: IntArray,
    shared: bool,
    step: int,
) -> Against:
    """Returns how a model stands beside one bar.

    Args:
        bar: Its name.
        maes: Mean absolute error of the model and of the bar.
        losses: Mean absolute error of both from each cutoff `(N,)`, in one scale; NaN where nothing was observed.
        series: Number of each cutoff's series `(N,)`.
        order: When each cutoff comes `(N,)`; see `WindowIndex.order`.
        shared: Whether cutoffs of several series with the same order are of the same time.
        step: Cutoffs whose forecasts overlap.
    """
    p_values, sides, tests, count = [], [np.sign(maes[0] - maes[1])], [], len(np.unique(series))
    try:
        if count >= FEWEST_SERIES:
            number_of = np.unique(series, return_inverse=True)[1]
            ranks = wilcoxon(*(_by(number_of, loss, losses) for loss in losses))
            p_values.append(ranks.p_value)
            sides.append(np.sign(ranks.p_better - 0.5))
            tests.append(f"Wilcoxon over {ranks.n:,} series")
        if count == 1 or shared or not p_values:
            cutoffs = len(np.unique(order[~np.isnan(losses).any(axis=0)]))
            if cutoffs >= ENOUGH * step:
                mean = over_time(losses, order, step)
                p_values += [mean.p_value, mean.p_fixed]
                sides.append(np.sign(mean.difference))
                tests.append(f"Diebold-Mariano over {mean.n:,} cutoffs")
            elif not p_values:
                few = f"{cutoffs:,} cutoff{' is' if cutoffs == 1 else 's are'} too few"
                tests.append(f"{few} to test forecasts of which {step} overlap." if step > 1 else f"{few}.")
    except DataError as error:
        tests = tests or [str(error)]
    return Against(bar, *maes, max(p_values, default=np.nan), len(set(sides)) == 1, tuple(tests))


def over_time(losses: tuple[FloatArray, FloatArray], order: IntArray, step: int) -> DieboldMariano:
    """Returns the test of two losses from each cutoff `(N,)`, averaged over the series that share its time.

    Raises:
        DataError: There are too few cutoffs.
    """
    model, naive = (_by(order - order.min(), loss, losses) for loss in losses)
    return diebold_mariano(model, naive, step)


def overlap(gap: int, step: int, stride: int) -> int:
    """Returns how many successive cutoffs have forecasts that overlap, `step` rows ahead.

    Example:
        >>> overlap(gap=0, step=5, stride=1), overlap(gap=0, step=5, stride=5), overlap(gap=1, step=5, stride=2)
        (5, 1, 3)
    """
    return -(-(gap + step) // stride)


def _by(groups: IntArray, loss: FloatArray, both: tuple[FloatArray, ...]) -> FloatArray:
    """Returns mean losses of groups 0, 1, ..., of the cutoffs that have both losses; NaN where a group has none."""
    known = ~np.isnan(both).any(axis=0)
    size = groups.max() + 1
    count = np.bincount(groups[known], minlength=size)
    total = np.bincount(groups[known], loss[known], minlength=size)
    return np.divide(total, count, out=np.full(size, np.nan), where=count > 0)


def notes(
    y_true: FloatArray, y_pred: FloatArray, last: FloatArray, scale: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[str, ...]:
    """Returns what else a reader should know, in sentences.

    Args:
        y_true, y_pred: What happened and what was forecast `(N, H)`.
        last: The value at each cutoff `(N,)`.
        scale: What brings errors of several series to one size `(N,)`; ones for one series.
        low, high: Range of the training rows `(N,)`.
    """
    found = []
    true, pred = y_true[:, 0], y_pred[:, 0]
    with suppress(DataError):  # nothing moved, or there is only one value: no copy can be told
        copy = lag_one_copy(true / scale, np.where(np.isnan(scale), 0.0, pred / scale), last / scale)
        if copy.is_copy:
            found.append(
                f"At step 1 it copies the last value: {100 * copy.to_last / copy.to_true:.0f} % as far from it as from "
                f"the truth, and its moves correlate {copy.correlation:.2f} with the true ones."
            )
    with suppress(DataError):  # no training range is known
        outside = outside_training_range(y_true, low, high)
        if outside.share >= OUTSIDE:
            found.append(str(outside).replace("values lie", "true values lie"))
    with suppress(DataError):  # nothing moved
        right, (lowest, highest) = directional_accuracy(true, pred, last), directional_interval(true, pred, last)
        found.append(
            f"Direction at step 1: {right:.1f} % right (95 % interval {lowest:.1f} to {highest:.1f}); always saying up "
            f"would be {up_share(true, pred, last):.1f} %."
        )
    return tuple(found)
