"""One question for several forecasters: the same cutoffs, the same truth, errors in the same unit.

    |---------- train ----------|-- validation --|-- calibration --|---- test ----|
     all learn from these         c0 c1 c2 ...     cut off: nobody can see them

An error is the mean of `|y_true - y_pred| / scale` over all cutoffs, steps and targets, in original units, whatever a
network scales and normalises; `scale` is the naive error of each series one season ahead on its training rows, as in
MASE. So errors of other lookbacks, scalings and losses compare, and series of other sizes count alike.

Axes: `N` cutoffs, `H` horizon, `K` targets, `S` series.

Source: Hyndman and Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001, for the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

from .config import ForecastConfig
from .evaluation.backtest import Backtest
from .evaluation.beside import baseline_forecasts, chosen, season_lengths, training_facts
from .fitting import above_zero, few
from .selection import validation_windows

BARS = ("naive", "seasonal_naive")


@dataclass(frozen=True, eq=False)
class Judge:
    """What forecasts are compared on; make one with `judge`.

    Attributes:
        index: The cutoffs, with the largest lookback.
        y_true: What happened `(N, H, K)`.
        scale: The naive error in training of each cutoff's series `(N, K)`.
        beside: What the naive forecast says `(N, H, K)`, and the seasonal one where there is a season.
        many: How much is scored, such as "80 validation days".
        power: 1 for absolute errors, 2 for squared ones.
    """

    index: WindowIndex
    y_true: np.ndarray
    scale: np.ndarray
    beside: dict[str, np.ndarray]
    many: str
    power: int = 1

    def error(self, y_pred: np.ndarray, which: np.ndarray | slice = slice(None)) -> float:
        """Returns the mean scaled error of forecasts `(N, H, K)`; NaN where one is no number.

        Args:
            which: Of some cutoffs alone.
        """
        errors = (np.abs(self.y_true - y_pred) / self.scale[:, None, :])[which]
        return float((errors[~np.isnan(self.y_true[which])] ** self.power).mean())

    @cached_property
    def bars(self) -> dict[str, float]:
        """The errors to beat."""
        return {name: self.error(y) for name, y in self.beside.items()}


def judge(panel: Panel, splits: Splits, config: ForecastConfig, power: int = 1, most: int | None = None) -> Judge:
    """Returns the question that the validation part of some rows puts.

    Args:
        panel: Rows up to the end of the validation part, see `until_validation`.
        config: Targets, horizon, and the largest lookback that is to be tried.
        power: 1 for absolute errors, 2 for squared ones.
        most: Of cutoffs, which are then spread evenly; all by default.

    Raises:
        DataError: There is no cutoff.
    """
    pipeline = DataPipeline(config.pipeline(config.target)).fit(panel, splits)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    index = validation_windows(pipeline, rows, splits)
    index = index if most is None else few(index, most)
    seasons = season_lengths(panel, config.season_length)
    naive = {name: one for name, one in chosen(()).items() if name in BARS}
    beside = baseline_forecasts(panel, index, config.target, seasons, naive)
    y_true = pipeline.truth(panel, index)
    y_true[np.isnan(np.sum(list(beside.values()), axis=0))] = np.nan  # all are scored on what all can forecast
    facts = training_facts(panel, index, config.target, seasons, splits.rows("train"))
    scale = above_zero(facts["mase_scale"])
    backtest = Backtest(panel, index, config.target, y_true, {}, y_true[:, 0], facts, "validation", "")
    return Judge(index, y_true, scale, beside, backtest.many, power)


def until_validation(panel: Panel, splits: Splits) -> tuple[Panel, Splits]:
    """Returns the rows up to the end of validation, and where they are cut; series that begin later are left out."""
    ends = splits.rows("validation")[1]
    kept = np.flatnonzero(ends > panel.offsets[:-1])
    inside = np.minimum(splits.bounds, ends[:, None]) - panel.offsets[:-1, None]  # (S, 5)
    cut = panel.until(ends).take(kept.tolist())
    tails = {name: tail for name, tail in splits.tails.items() if name in cut.ids}
    return cut, Splits(inside[kept] + cut.offsets[:-1, None], splits.starts, tails)
