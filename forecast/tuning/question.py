"""The question that all trials of a tuning answer: the same cutoffs, the same truth, errors in the same unit.

    |---------- train ----------|-- validation --|-- calibration --|---- test ----|
     each trial learns from these  c0 c1 c2 ...     cut off: no trial can see them

An error is the mean of `|y_true - y_pred| / scale` over all cutoffs, steps and targets, in original units, whatever a
trial scales and normalises; `scale` is the naive error of each series one season ahead on its training rows, as in
MASE. So errors of other lookbacks, scalings and losses compare, and series of other sizes count alike. The cutoffs are
those that the largest lookback of the space can forecast from.

Axes: `N` cutoffs, `H` horizon, `K` targets, `S` series.

Source: Hyndman and Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001, for the scale.
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
from pipelines.windows import WindowIndex

from ..config import ForecastConfig
from ..evaluation.backtest import Backtest
from ..evaluation.beside import baseline_forecasts, chosen, season_lengths, training_facts
from ..fitting import Fitted, above_zero, learned, lesson_of, looking_back
from ..prepare import Data, prepare
from ..selection import training_windows, validation_windows
from .space import Space, resolved
from .stated import stated

if TYPE_CHECKING:
    from ..training.progress import Progress

BARS = ("naive", "seasonal_naive")


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked; make one with `ask`.

    Attributes:
        panel: Rows up to the end of the validation part; there are no later ones.
        splits: Where they are cut.
        config: The settings to begin with, their targets among them.
        space: What is tried.
        index: The cutoffs, with the largest lookback.
        y_true: What happened `(N, H, K)`.
        scale: The naive error in training of each cutoff's series `(N, K)`.
        bars: The errors of the naive forecast, and of the seasonal one where there is a season.
        many: How much is scored, such as "80 validation days".
    """

    panel: Panel
    splits: Splits
    config: ForecastConfig
    space: Space
    index: WindowIndex
    y_true: np.ndarray
    scale: np.ndarray
    bars: dict[str, float]
    many: str

    def error(self, y_pred: np.ndarray) -> float:
        """Returns the mean scaled error of forecasts `(N, H, K)`; NaN where one is no number."""
        return _error(self.y_true, y_pred, self.scale)

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
        index = looking_back(self.index, config.lookback)

        def after(epoch: int, live: Fitted) -> None:
            watch(epoch, self.error(live.predict(rows, index)))

        fitted = learned(lesson, config, progress, watch=after)
        if fitted.run is not None and fitted.run.interrupted:
            raise KeyboardInterrupt
        error = self.error(fitted.predict(rows, index))
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
    config = config.replace(training=config.training.replace(tensorboard=None, monitor=False))
    panel, splits = _until_validation(prepared.panel, split(prepared.panel, config.split))
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
    pipeline = DataPipeline(widest.pipeline(widest.target)).fit(panel, splits)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    index = validation_windows(pipeline, rows, splits)
    seasons = season_lengths(panel, config.season_length)
    naive = {name: one for name, one in chosen(()).items() if name in BARS}
    beside = baseline_forecasts(panel, index, config.target, seasons, naive)
    y_true = pipeline.truth(panel, index)
    y_true[np.isnan(np.sum(list(beside.values()), axis=0))] = np.nan  # all are scored on what all can forecast
    facts = training_facts(panel, index, config.target, seasons, (first, end))
    scale = above_zero(facts["mase_scale"])
    bars = {name: _error(y_true, y, scale) for name, y in beside.items()}
    backtest = Backtest(panel, index, config.target, y_true, {}, y_true[:, 0], facts, "validation", "")
    return Question(panel, splits, config, chosen_space, index, y_true, scale, bars, backtest.many)


def _error(y_true: np.ndarray, y_pred: np.ndarray, scale: np.ndarray) -> float:
    there = ~np.isnan(y_true)
    return float((np.abs(y_true - y_pred) / scale[:, None, :])[there].mean())


def _refuse(config: ForecastConfig) -> None:
    if config.ensemble is not None:
        raise ConfigError(
            "Tuning tries the settings of one network. Received: an ensemble. Leave `ensemble` out, and put it into "
            "the file of the best settings afterwards."
        )
    if config.model.name == "own":
        raise ConfigError(
            "Tuning builds each trial's network from a model's name and options. Received: a Keras model of your own. "
            "Name one of `forecast models`, or put yours into a file in forecast/models."
        )


def _until_validation(panel: Panel, splits: Splits) -> tuple[Panel, Splits]:
    """Returns the rows up to the end of validation, and where they are cut; series that begin later are left out."""
    ends = splits.rows("validation")[1]
    kept = np.flatnonzero(ends > panel.offsets[:-1])
    inside = np.minimum(splits.bounds, ends[:, None]) - panel.offsets[:-1, None]  # (S, 5)
    cut = panel.until(ends).take(kept.tolist())
    tails = {name: tail for name, tail in splits.tails.items() if name in cut.ids}
    return cut, Splits(inside[kept] + cut.offsets[:-1, None], splits.starts, tails)
