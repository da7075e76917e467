"""The question that all trials of a tuning answer: the same cutoffs, the same truth, errors in the same unit.

    |---------- train ----------|-- validation --|-- calibration --|---- test ----|
     each trial learns from these  c0 c1 c2 ...     cut off: no trial can see them

How they are scored is in `forecast/judging.py`. The cutoffs are those that the largest lookback of the space can
forecast from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.splits import Splits, split

from ..auto import settled
from ..config import AUTO, ForecastConfig
from ..fitting import Fitted, learned, lesson_of, looking_back
from ..judging import Judge, judge, until_validation
from ..prepare import Data, prepare
from ..selection import training_windows
from .space import Space, resolved
from .stated import stated

if TYPE_CHECKING:
    from ..training.progress import Progress


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked; make one with `ask`.

    Attributes:
        panel: Rows up to the end of the validation part; there are no later ones.
        splits: Where they are cut.
        config: The settings to begin with, their targets among them.
        space: What is tried.
        judge: What trials are compared on.
    """

    panel: Panel
    splits: Splits
    config: ForecastConfig
    space: Space
    judge: Judge

    def answer(self, config: ForecastConfig, progress: Progress, watch: Callable[[int, float], None]) -> float:
        """Trains with some settings, and returns the error of what would then forecast.

        Intervals are not learned: they change no forecast.

        Args:
            config: The settings.
            progress: Tells how the training goes.
            watch: Called after each epoch with its number and the error; what it raises ends the training.

        Raises:
            DataError: The rows cannot be used with these settings, or the loss or a forecast is no number.
            ConfigError: The network cannot be built.
            KeyboardInterrupt: Ctrl-C ended the training.
        """
        panel, splits = self.panel, self.splits
        pipeline = DataPipeline(config.pipeline(config.target)).fit(panel, splits)
        rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
        lesson = lesson_of(pipeline, rows, splits, config)
        index = looking_back(self.judge.index, config.lookback)

        def after(epoch: int, live: Fitted) -> None:
            watch(epoch, self.judge.error(live.predict(rows, index)))

        fitted = learned(lesson, config, progress, watch=after)
        if fitted.run is not None and fitted.run.interrupted:
            raise KeyboardInterrupt
        error = self.judge.error(fitted.predict(rows, index))
        if not np.isfinite(error):
            raise DataError("Every forecast must be a number. Received: some that are none. Lower the learning rate.")
        return error

    def about(self) -> dict[str, Any]:
        """Returns what a study belongs to, as plain data."""
        settings = self.config.model_dump(mode="json")
        settings["training"].pop("tensorboard")  # trials leave it out
        return {
            "settings": settings,
            "space": self.space.plain(),
            "rows": {
                "fingerprint": self.panel.fingerprint(),
                "split": hashlib.sha256(self.splits.bounds.tobytes()).hexdigest(),
                "count": len(self.panel),
                "last": str(self.panel.stamp(int(self.panel.ds.max()))),
            },
        }


def ask(
    data: Data, config: ForecastConfig, space: Space | Mapping[str, Any] | str | Path | None, progress: Progress
) -> Question:
    """Returns the question that some data put to all settings of a space.

    Raises:
        ConfigError: The settings cannot be tuned, or the space does not fit settings and rows.
        DataError: The rows cannot be used; SeriesTooShort where no series holds one window.
    """
    from .._keras import load_keras

    _refuse(config)
    load_keras()
    resolved(config)  # refuses options that the model does not have
    prepared = prepare(data, config)
    config = config.replace(target=prepared.target)
    if config.lookback == AUTO:
        config = settled(config, prepared.panel)
    config = config.replace(training=config.training.replace(tensorboard=None, monitor=False))
    panel, splits = until_validation(prepared.panel, split(prepared.panel, config.split))
    progress.say(str(prepared.report))
    pipeline = DataPipeline(config.pipeline(config.target)).fit(panel, splits)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    training_windows(
        pipeline, rows, splits, CleaningReport()
    )  # refuses what even the settings to begin with cannot use
    first, end = splits.rows("train")
    allowed = int((end - first).max()) - pipeline.warmup - config.gap - config.horizon
    chosen_space = stated(space, config, allowed)
    widest = config.replace(lookback=max(config.lookback, chosen_space.lookback))
    return Question(panel, splits, config, chosen_space, judge(panel, splits, widest))


def _refuse(config: ForecastConfig) -> None:
    if config.ensemble is not None:
        raise ConfigError(
            "Tuning tries the settings of one network. Received: an ensemble. Leave `ensemble` out, and put it into "
            "the file of the best settings afterwards."
        )
    if not config.training.early_stopping:
        raise ConfigError(
            "Tuning compares errors on validation rows. Received: training.early_stopping=False, which learns from "
            "them. Leave it out, and put it into the file of the best settings afterwards."
        )
    if config.model.name == "auto":
        raise ConfigError(
            "Tuning tries the settings of one model. Received: 'auto', which chooses among several by itself. Fit it, "
            "and tune what it chose; or name a model."
        )
    if config.model.name == "own":
        raise ConfigError(
            "Tuning builds each trial's network from a model's name and options. Received: a Keras model of your own. "
            "Name one of `forecast models`, or put yours into a file in forecast/models."
        )
