"""Trials within a time: candidates are trained one after the other, each for a while.

    |------- trials: half of the time -------|--- what was chosen is trained, maybe for longer ---|
     1   2   3   4   5 ...

A training is given seconds; after its first epoch it plans its length by them. Where rows are many, only the first
candidates are tried, as many as can be trained for long enough to tell. A candidate that cannot be trained is noted
with the reason, and the next one begins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipelines.cleaning import CleaningReport
from pipelines.errors import ForecastError, Stopped
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.splits import Splits

from .._keras import forgetting
from ..config import ForecastConfig
from ..fitting import learned, lesson_of, looking_back
from ..judging import Judge
from ..selection import training_windows
from ..training.spec import steps_of_epoch

if TYPE_CHECKING:
    from ..training.progress import Progress

TRIALS, ALL = 0.5, 0.92  # of the budget: where the trials and the last training end
LEAST = 10.0  # seconds without which a training is not begun: compiling takes about as long
ENOUGH, TELLING = 1 / 8, 40.0  # of the budget, or seconds: that each may take as long as there is time


@dataclass(eq=False)
class Tried:
    """A candidate, and what became of it.

    Attributes:
        config: Its settings, with the epochs that were best.
        error: Of the network with the best weights, on the cutoffs of the judge.
        y_pred: What it forecast there `(N, H, K)`.
        parameters: Of the network.
        seconds: That its training took.
        growth: Of the steps of an epoch, once validation rows train, too.
        hurried: Whether the clock ended its training while it still got better.
        note: Why there is no error.
    """

    config: ForecastConfig
    error: float = np.nan
    y_pred: np.ndarray = field(default_factory=lambda: np.empty(0))
    parameters: int = 0
    seconds: float = 0.0
    growth: float = 1.0
    hurried: bool = False
    note: str = ""

    @property
    def label(self) -> str:
        """What it is called."""
        one = self.config
        return f"{one.model.name} {one.lookback}, {one.normalize}, {one.scaling.method}"


class Trials:
    """Trains candidates.

    Args:
        panel: Rows up to the end of validation.
        splits: Where they are cut.
        judge: What they are compared on.
        progress: Tells how it goes.
        began: When the budget began.
        budget: Seconds, the last training among them.

    Attributes:
        tried: All that were begun, or for which no time was left.
    """

    def __init__(
        self, panel: Panel, splits: Splits, judge: Judge, progress: Progress, began: float, budget: float
    ) -> None:
        self.panel, self.splits, self.judge, self.progress = panel, splits, judge, progress
        self.began, self.budget = began, budget
        self.tried: list[Tried] = []

    def left(self, until: float) -> float:
        """Returns the seconds until a share of the budget is spent."""
        return self.began + until * self.budget - time.monotonic()

    @property
    def best(self) -> list[Tried]:
        """Those with an error, the lowest first."""
        return sorted((one for one in self.tried if np.isfinite(one.error)), key=lambda one: one.error)

    def run(self, candidates: list[ForecastConfig]) -> None:
        """Trains candidates as long as there is time; the first one in any case."""
        for number, config in enumerate(candidates):
            left = self.left(TRIALS)
            if number and left < LEAST:
                self.tried.append(Tried(config, note="no time was left"))
                continue
            share = max(left / (len(candidates) - number), min(max(ENOUGH * self.budget, TELLING), left))
            self._try(config, max(share, LEAST))

    def _try(self, config: ForecastConfig, limit: float) -> None:
        """Trains one, and says what came of it."""
        began = time.monotonic()
        try:
            with forgetting():
                one = self._trained(config, limit)
        except Stopped:
            raise
        except (ForecastError, ValueError, ArithmeticError) as reason:  # what one cannot do, others may
            one = Tried(config, note=" ".join(str(reason).split())[:300])
        self.tried.append(one)
        what = one.note or f"error {one.error:.4g}, {one.config.training.epochs} epochs"
        self.progress.say(f"auto: {one.label}: {what}, {time.monotonic() - began:.0f} s")

    def _trained(self, config: ForecastConfig, limit: float) -> Tried:
        began = time.monotonic()
        timed = config.replace(training=config.training.replace(seconds=limit))
        pipeline = DataPipeline(timed.pipeline(timed.target)).fit(self.panel, self.splits)
        rows = pipeline.transform(self.panel, known_until=self.splits.rows("validation")[0])
        lesson = lesson_of(pipeline, rows, self.splits, timed)
        fitted = learned(lesson, timed, self.progress.silenced())
        run = fitted.run
        if run is not None and run.interrupted:
            raise KeyboardInterrupt
        spent = time.monotonic() - began
        y_pred = fitted.predict(rows, looking_back(self.judge.index, config.lookback)).astype(np.float32)
        epochs, done = (run.best_epoch, len(run.history) - 1) if run is not None else (0, 0)
        best = config.replace(training=config.training.replace(epochs=max(epochs, 1), schedule=_warm(config, epochs)))
        note = "" if epochs else "training never beat the weights it began with"
        hurried = epochs == done < config.training.epochs
        error = self.judge.error(y_pred) if epochs else np.nan
        later = len(training_windows(pipeline, rows, self.splits.learned(), CleaningReport()))
        now, then = (
            steps_of_epoch(n, config.training.batch_size, config.training.steps) for n in (len(lesson.training), later)
        )
        return Tried(best, error, y_pred, fitted.network.count_params(), spent, then / now, hurried, note)


def _warm(config: ForecastConfig, epochs: int) -> dict[str, object]:
    """Returns the schedule of a shorter training: its warm-up must end within it."""
    schedule = config.training.schedule
    return {**schedule.model_dump(), "warmup": schedule.warmup if schedule.warmup < epochs else 0.0}
