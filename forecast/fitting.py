"""One fit: rows that are cut already become a pipeline, a network and intervals, which forecast together.

    panel, splits --> DataPipeline --> windows --> training --> Fitted --> forecasts (N, H, K) in original units
                      train rows       train, validation        calibration rows: intervals

`Forecaster.fit` makes one of these; a backtest that refits makes one for each fold. Nothing here knows where rows come
from, or what a score is.
"""

from __future__ import annotations

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
from .evaluation.beside import season_lengths
from .selection import calibration_windows, training_windows, validation_windows
from .uncertainty import Intervals, calibrate, uncalibrated

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from .models import Shapes
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
        run: How training went, where that is known.
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


def fit(
    panel: Panel,
    splits: Splits,
    config: ForecastConfig,
    progress: Progress,
    *,
    report: CleaningReport | None = None,
    own: keras.Model | None = None,
    start: list[np.ndarray] | None = None,
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

    Raises:
        DataError: The rows cannot be used; SeriesTooShort where no series holds one window.
    """
    from ._keras import load_keras

    keras = load_keras()
    from .training.data import training_data
    from .training.fit import fit as train

    report = CleaningReport() if report is None else report
    pipeline = DataPipeline(config.pipeline(config.target)).fit(panel, splits, report)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    training = training_windows(pipeline, rows, splits, report)
    validation = validation_windows(pipeline, rows, splits)
    calibration = calibration_windows(pipeline, rows, splits)
    progress.say(str(report))
    if splits.count("calibration") and not len(calibration):
        progress.say(uncalibrated(pipeline, splits))
    keras.utils.set_random_seed(config.seed)
    shapes = shapes_of(pipeline, config, season_lengths(panel, config.season_length)[0])
    network = build(pipeline, config, shapes, own)
    if start is not None:
        network.set_weights(start)
    learner, forced = taught(network, pipeline, config, shapes, own)
    batch = config.training.batch_size
    run = train(
        learner,
        training_data(learner, pipeline, rows, training, batch, seed=config.seed, forced=forced),
        training_data(learner, pipeline, rows, validation, max(batch, 256)),
        config.training,
        progress,
        config.quantiles,
    )
    bare = Fitted(pipeline, network, None, run, config.quantiles)
    if not len(calibration):
        return bare
    intervals = calibrate(bare.predict, pipeline, rows, calibration, splits)
    progress.say(str(intervals))
    return replace(bare, intervals=intervals)


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


def build(pipeline: DataPipeline, config: ForecastConfig, shapes: Shapes, own: keras.Model | None = None) -> Any:
    """Returns the untrained network: the core of `config.model`, or `own`, in the shared shell."""
    from .models import build_core
    from .models._shell import adopt, wrap

    core = adopt(own, shapes) if own is not None else build_core(config.model.name, shapes, config.model.options)
    return wrap(core, shapes, config.normalize, pipeline.levels_, put_back=config.predict == "level")


def taught(
    network: keras.Model, pipeline: DataPipeline, config: ForecastConfig, shapes: Shapes, own: keras.Model | None
) -> tuple[Any, Callable[[int], float] | None]:
    """Returns the network to train, and the share of steps that are told the truth by epoch.

    That is the network itself, unless its model has a form with a teacher, which shares its weights.
    """
    from .models import registry
    from .models._shell import core_of, wrap

    module: Any = None if own is not None else registry.load(config.model.name)
    if not hasattr(module, "taught"):
        return network, None
    options = module.Options(**config.model.options)
    core = module.taught(core_of(network, config.normalize), shapes)
    learner = wrap(core, shapes, config.normalize, pipeline.levels_, put_back=config.predict == "level")
    return learner, lambda epoch: module.forced_share(epoch, options)
