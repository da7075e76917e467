"""One fit: rows that are cut already become a pipeline, a network and intervals, which forecast together.

    panel, splits --> DataPipeline --> windows --> training --> Fitted --> forecasts (N, H, K) in original units
                      train rows       train, validation        calibration rows: intervals

    an ensemble       one pipeline, and a training for each member; then one network that holds them all

`Forecaster.fit` makes one of these; a backtest that refits makes one for each fold, a tuning one for each trial.
Nothing here knows where rows come from, or what a score is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.cleaning import CleaningReport
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, Rows
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

from .config import ForecastConfig
from .evaluation.beside import season_lengths, training_facts
from .selection import calibration_windows, training_windows, validation_windows
from .training.spec import PER_SERIES
from .uncertainty import Intervals, calibrate, uncalibrated

if TYPE_CHECKING:
    import keras

    from .models import Shapes
    from .training.checkpoint import Checkpoint
    from .training.data import Predictor
    from .training.fit import TrainingRun
    from .training.progress import Progress


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit, or a bundle, leaves.

    Attributes:
        pipeline: Learned on training rows.
        network: Trained.
        intervals: Learned on calibration rows, where they hold a window.
        run: How training went, where that is known; of an ensemble that of its first member.
        quantiles: What the network answers with; none for one value a step.
    """

    pipeline: DataPipeline
    network: keras.Model
    intervals: Intervals | None = None
    run: TrainingRun | None = None
    quantiles: tuple[float, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network's inputs."""
        from .models._shell import input_names

        return input_names(self.network)

    @cached_property
    def predictor(self) -> Predictor:
        """The network, compiled once."""
        from .training.data import Predictor

        return Predictor(self.network)

    def answers(self, rows: Rows, index: WindowIndex) -> np.ndarray:
        """Returns all that the network says, `(N, H, K)` or `(N, H, K, Q)`, in original units."""
        scaled = self.predictor(self.pipeline, rows, index)
        return self.pipeline.inverse(scaled, rows, index.cutoffs, index.series)

    def predict(self, rows: Rows, index: WindowIndex) -> np.ndarray:
        """Returns forecasts `(N, H, K)` in original units."""
        return self.point(self.answers(rows, index))

    def point(self, answers: np.ndarray) -> np.ndarray:
        """Returns the forecasts `(N, H, K)` among answers: the quantile 0.5, where there are quantiles."""
        return answers[..., self.quantiles.index(0.5)] if self.quantiles else answers

    def spread(self, answers: np.ndarray) -> dict[float, np.ndarray]:
        """Returns each quantile `(N, H, K)` among answers; none where there are no quantiles."""
        return {q: answers[..., i] for i, q in enumerate(self.quantiles)}


@dataclass(frozen=True, eq=False)
class Lesson:
    """What windows teach: rows that went through a pipeline, and which windows train and validate.

    Attributes:
        pipeline: Learned on training rows.
        rows: The panel, transformed.
        training, validation: Their windows.
        season: Rows of a season.
        scales: The naive error of each series in training `(S, K)`, where the loss asks for it.
        softened: Returns what to learn instead of the truth `(B, H, K)`, given the numbers of training windows and
            the truth; the truth where None.
    """

    pipeline: DataPipeline
    rows: Rows
    training: WindowIndex
    validation: WindowIndex
    season: int = 1
    scales: np.ndarray | None = None
    softened: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def shapes(self, config: ForecastConfig) -> Shapes:
        """Returns the sizes that a network is built for."""
        return shapes_of(self.pipeline, config, self.season)


def fit(
    panel: Panel,
    splits: Splits,
    config: ForecastConfig,
    progress: Progress,
    *,
    report: CleaningReport | None = None,
    own: keras.Model | None = None,
    start: list[np.ndarray] | None = None,
    kept: Callable[[str], Checkpoint] | None = None,
    watch: Callable[[int, Fitted], None] | None = None,
) -> Fitted:
    """Learns from the training part, stops early by the validation part, and learns intervals on the calibration part.

    Args:
        panel: Cleaned rows.
        splits: Where they are cut; nothing after the calibration part is looked at.
        config: All settings, the targets among them.
        progress: Tells how it goes.
        report: Gets what is found on the way.
        own: A Keras model of the user's, `(N, L, F) -> (N, H, K)`.
        start: Weights to start from; by default fresh ones, from the seed.
        kept: Returns where the state of a network's training is kept, by a name.
        watch: Called after each epoch with its number and what would forecast then.

    Raises:
        DataError: The rows cannot be used; SeriesTooShort where no series holds one window.
        Stopped: A checkpoint was told to stop.
    """
    from ._keras import load_keras

    load_keras()
    report = CleaningReport() if report is None else report
    pipeline = DataPipeline(config.pipeline(config.target)).fit(panel, splits, report)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    lesson = lesson_of(pipeline, rows, splits, config, report)
    calibration = calibration_windows(pipeline, rows, splits)
    progress.say(str(report))
    if splits.count("calibration") and not len(calibration):
        progress.say(uncalibrated(pipeline, splits))  # before the training, rather than after
    bare = learned(lesson, config, progress, own=own, start=start, kept=kept, watch=watch)
    return calibrated(bare, rows, splits, calibration, progress)


def lesson_of(
    pipeline: DataPipeline, rows: Rows, splits: Splits, config: ForecastConfig, report: CleaningReport | None = None
) -> Lesson:
    """Returns what the training part of some rows teaches.

    Raises:
        DataError: No window trains, or none validates.
    """
    panel, taught = rows.panel, splits if config.training.early_stopping else splits.learned()
    return Lesson(
        pipeline,
        rows,
        training_windows(pipeline, rows, taught, CleaningReport() if report is None else report),
        validation_windows(pipeline, rows, splits),
        season_lengths(panel, config.season_length)[0],
        naive_errors(panel, splits, config) if any(one.loss in PER_SERIES for one in config.members()) else None,
    )


def calibrated(fitted: Fitted, rows: Rows, splits: Splits, calibration: WindowIndex, progress: Progress) -> Fitted:
    """Returns it with intervals, learned from one forecast of calibration windows; as it is where there are none."""
    if not len(calibration):
        return fitted
    intervals = calibrate(fitted.predict, fitted.pipeline, rows, calibration, splits)
    progress.say(str(intervals))
    return replace(fitted, intervals=intervals)


def learned(
    lesson: Lesson,
    config: ForecastConfig,
    progress: Progress,
    *,
    own: keras.Model | None = None,
    start: list[np.ndarray] | None = None,
    kept: Callable[[str], Checkpoint] | None = None,
    watch: Callable[[int, Fitted], None] | None = None,
) -> Fitted:
    """Returns what one training makes of a lesson, or of an ensemble's several, see `fit`."""
    from .ensembles import combined

    members = config.members()
    networks = [fresh(lesson.pipeline, one, lesson.shapes(one), own) for one in members]
    network = networks[0]
    if config.ensemble is not None:
        network = combined(networks, config, lesson.shapes(config), lesson.pipeline.levels_)
    if start is not None:
        network.set_weights(start)
    runs = []
    for number, (one, member) in enumerate(zip(members, networks, strict=True), 1):
        if len(members) > 1:
            progress.say(f"network {number}/{len(members)}: {one.model.name}, seed {one.seed}")
        checkpoint = None if kept is None else kept(f"network-{number}")
        runs.append(train_network(member, lesson, one, progress, own, checkpoint, watch))
    return Fitted(lesson.pipeline, network, None, runs[0], config.quantiles)


def train_network(
    network: keras.Model,
    lesson: Lesson,
    config: ForecastConfig,
    progress: Progress,
    own: keras.Model | None = None,
    checkpoint: Checkpoint | None = None,
    watch: Callable[[int, Fitted], None] | None = None,
) -> TrainingRun:
    """Trains one network in place; see `fit`."""
    from .training.data import Batches, Extras
    from .training.fit import fit as train
    from .training.losses import make
    from .training.precision import in_sixteen_bits

    pipeline, spec, shapes = lesson.pipeline, config.training, lesson.shapes(config)
    learner = network
    if spec.precision == "mixed" and (policy := in_sixteen_bits(progress, own is not None)):
        learner = build(pipeline, config, shapes, own, policy)
        learner.set_weights(network.get_weights())
    trained, forced = taught(learner, pipeline, config, shapes, own)
    scales = lesson.scales if config.loss in PER_SERIES else None
    extras = Extras(spec.augment, forced, lesson.softened, scales)
    windows, scored = (looking_back(index, config.lookback) for index in (lesson.training, lesson.validation))
    if spec.steps is not None:
        scored = few(scored, max(spec.steps * spec.batch_size // 4, 1024))  # where not all train, not all validate
    live = Fitted(pipeline, learner, None, None, config.quantiles)
    run = train(
        trained,
        Batches(trained, pipeline, lesson.rows, windows, spec.batch_size, config.seed, extras, spec.steps),
        Batches(trained, pipeline, lesson.rows, scored, max(spec.batch_size, 256), None, Extras(scales=scales)),
        spec,
        progress,
        make(config.loss, config.quantiles, pipeline.spec.scaling.method == "log1p", usual_smape(lesson)),
        checkpoint=checkpoint,
        watch=None if watch is None else lambda epoch: watch(epoch, live),
        look=None if spec.tensorboard is None else lambda: _states(network, config, lesson, scored),
    )
    if learner is not network:
        network.set_weights(learner.get_weights())
    return run


def looking_back(index: WindowIndex, lookback: int) -> WindowIndex:
    """Returns the same windows with another lookback: of the same cutoffs."""
    return index if index.spec.lookback == lookback else replace(index, spec=index.spec.replace(lookback=lookback))


def few(index: WindowIndex, most: int) -> WindowIndex:
    """Returns at most so many windows, spread evenly over all."""
    return index if len(index) <= most else index[np.linspace(0, len(index) - 1, most).astype(np.int64)]


def _states(network: keras.Model, config: ForecastConfig, lesson: Lesson, index: WindowIndex) -> dict[str, np.ndarray]:
    """Returns gates and states of the first recurrent layer over the last validation window."""
    from .inspection import states

    inputs, _ = lesson.pipeline.batch(lesson.rows, index[-1:], future=False)
    return states(network, config.normalize, lesson.pipeline.levels_, inputs)


def naive_errors(panel: Panel, splits: Splits, config: ForecastConfig) -> np.ndarray:
    """Returns what the naive forecast misses each series by in training rows `(S, K)`, above zero."""
    first, end = splits.rows("train")
    S = len(panel.ids)
    every = WindowIndex(np.zeros(S, np.int64), np.arange(S), config.window)
    seasons = season_lengths(panel, config.season_length)
    scales = training_facts(panel, every, config.target, seasons, (first, end))["mase_scale"]  # (S, K)
    return above_zero(scales)


def usual_smape(lesson: Lesson) -> float:
    """Returns the sMAPE of the naive forecast, about: its error over the size of the series, the mean of windows."""
    if lesson.scales is None:
        return 1.0
    panel, index = lesson.rows.panel, lesson.training
    columns = [panel.column(name) for name in lesson.pipeline.spec.targets]
    size = np.abs(panel.values[index.cutoffs][:, columns].astype(np.float64))  # (N, K)
    count = np.bincount(index.series, minlength=len(panel.ids))
    sums = np.stack([np.bincount(index.series, one, minlength=len(panel.ids)) for one in size.T], axis=1)  # (S, K)
    level = sums / np.maximum(count, 1)[:, None]
    ratio = lesson.scales / np.maximum(level, lesson.scales / 2)  # sMAPE is at most 2
    return float(ratio[count > 0].mean())


def above_zero(scales: np.ndarray) -> np.ndarray:
    """Returns scales of errors; one of a series that never moved, or that nobody knows, is the mean of the others.

    Example:
        >>> above_zero(np.array([[2.0], [0.0], [np.nan], [4.0]])).ravel()
        array([2., 3., 3., 4.])
    """
    usual = np.nanmean(np.where(scales > 0, scales, np.nan)) if (scales > 0).any() else 1.0
    return np.where(scales > 0, scales, usual)


def fresh(pipeline: DataPipeline, config: ForecastConfig, shapes: Shapes, own: keras.Model | None = None) -> Any:
    """Returns the untrained network of a seed."""
    import keras

    keras.utils.set_random_seed(config.seed)
    return build(pipeline, config, shapes, own)


def shapes_of(pipeline: DataPipeline, config: ForecastConfig, season: int) -> Shapes:
    """Returns the sizes that a network is built for."""
    from .models import Shapes

    return Shapes(
        lookback=config.lookback,
        horizon=config.horizon,
        features=len(pipeline.inputs_),
        targets=len(pipeline.spec.targets),
        known=len(pipeline.known_),
        static=len(config.static),
        series=len(pipeline.ids_),
        gap=config.gap,
        season=season,
        quantiles=config.quantiles,
    )


def build(
    pipeline: DataPipeline,
    config: ForecastConfig,
    shapes: Shapes,
    own: keras.Model | None = None,
    policy: str = "float32",
) -> Any:
    """Returns the untrained network: the core of `config.model`, or `own`, in the shared shell.

    Args:
        policy: In which precision the core computes, as Keras calls it; the shell always does in 32 bits, since 16
            would lose small moves of large values.
    """
    from .models import build_core
    from .models._shell import adopt, wrap
    from .training.precision import computing_in

    with computing_in(policy):
        is_own = own is not None and config.model.name == "own"
        core = adopt(own, shapes) if is_own else build_core(config.model.name, shapes, config.model.options)
    return wrap(core, shapes, config.normalize, pipeline.levels_, put_back=config.predict == "level")


def taught(
    network: keras.Model, pipeline: DataPipeline, config: ForecastConfig, shapes: Shapes, own: keras.Model | None
) -> tuple[Any, Callable[[int], float] | None]:
    """Returns the network to train, and the share of steps that are told the truth by epoch.

    That is the network itself, unless its model has a form with a teacher, which shares its weights.
    """
    from .models import registry
    from .models._shell import core_of, wrap

    alone = config.model.name != "own" and config.ensemble is None
    module: Any = registry.load(config.model.name) if alone else None
    if not hasattr(module, "taught"):
        return network, None
    options = module.Options(**config.model.options)
    core = module.taught(core_of(network, config.normalize), shapes)
    learner = wrap(core, shapes, config.normalize, pipeline.levels_, put_back=config.predict == "level")
    return learner, lambda epoch: module.forced_share(epoch, options)
