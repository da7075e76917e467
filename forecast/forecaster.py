"""Forecaster: pipeline + network. The one class that a user needs.

    fit        data -> Panel -> splits -> DataPipeline -> training
    predict    last rows -> network -> original units, real future stamps
    evaluate   every score beside the naive forecast's
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, DataError, NotFitted
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, Rows
from pipelines.splits import Splits, split
from pipelines.windows import WindowIndex, index_windows

from .config import ForecastConfig, merge
from .evaluation.backtest import Backtest, baseline_forecasts, training_scales
from .evaluation.scores import Scores
from .prepare import Data, Prepared, prepare

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes

    from .training.data import Predictor
    from .training.fit import TrainingRun


class Forecaster:
    """Learns from one or many series and forecasts each.

    Args:
        model: Name of a model, such as "lstm"; a mapping of name and options, such as {"name": "lstm", "units": 32};
            or a Sequential or functional keras.Model of your own, `(N, L, F) -> (N, H, K)`.
        target: Column to predict, or several; may be left out where there is only one.
        lookback: Rows the model sees.
        horizon: Rows one call predicts.
        config: All settings at once; the arguments go over it.
        settings: Any other field of `forecast.config.ForecastConfig`, such as `calendar="XNYS"`,
            `features=["day_of_week"]`, `training={"epochs": 20}`.

    Raises:
        ConfigError: A setting is wrong, or there is none of this name.

    Example:
        >>> import forecast
        >>> model = forecast.Forecaster(target="Close", lookback=20, training={"epochs": 1})
        >>> model = model.fit("sample:goog", quiet=True)
        >>> model.predict(steps=2)[["ds", "step"]]
                  ds  step
        0 2008-10-15     1
        1 2008-10-16     2
    """

    def __init__(
        self,
        model: str | dict[str, Any] | keras.Model | None = None,
        *,
        target: str | list[str] | None = None,
        lookback: int | None = None,
        horizon: int | None = None,
        config: ForecastConfig | dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        base = config.model_dump() if isinstance(config, ForecastConfig) else dict(config or {})
        own = None if model is None or isinstance(model, str | dict) else model
        given = {"model": "own" if own is not None else model, "target": target, "lookback": lookback, "horizon": horizon}
        settings.update({name: value for name, value in given.items() if value is not None})
        self.config = ForecastConfig(**merge(base, settings))
        self.own = own
        if own is None and self.config.model.name != "own":
            from .models import registry

            registry.check(self.config.model.name)
        self.pipeline_: DataPipeline | None = None
        self.network_: keras.Model | None = None
        self.run_: TrainingRun | None = None
        self.panel_: Panel | None = None
        self.splits_: Splits | None = None
        self.report_: CleaningReport | None = None
        self.source_ = ""
        self.unit_ = self.config.unit
        self.manifest_: dict[str, Any] = {}
        self._predictor: Predictor | None = None

    # --- fit ----------------------------------------------------------------------------------------------------

    def fit(self, data: Data, *, quiet: bool = False, **training: Any) -> Forecaster:
        """Trains on the training part of some data, with early stopping on its validation part.

        Args:
            data: A locator such as "prices.csv" or "yahoo:AAPL", a DataFrame in any accepted layout, or a Panel.
            quiet: Show no progress.
            training: Training settings for this and later fits, such as `epochs=10`.

        Raises:
            DataError: The rows cannot be used; SeriesTooShort where no series holds one window.
            UnknownName: A column is missing.

        Returns:
            Itself.
        """
        from ._keras import load_keras

        keras = load_keras()
        from .training.data import training_data
        from .training.fit import fit
        from .training.progress import Progress

        if training:
            self.config = self.config.replace(training=merge(self.config.training.model_dump(), training))
        progress = Progress(quiet)
        self._take(prepare(data, self.config))
        panel, config = self._fitted_panel(), self.config
        self.splits_ = splits = split(panel, config.split)
        self.pipeline_ = DataPipeline(config.pipeline(self.target)).fit(panel, splits, self.report_)
        rows = self.pipeline_.transform(panel, known_until=splits.rows("validation")[0])
        train, validation = (self._index(rows, splits.rows(part), part) for part in ("train", "validation"))
        self._refuse_empty(panel, train, validation, rows)
        self._name_left_out(panel, train, progress)
        progress.say(str(self.report_))
        keras.utils.set_random_seed(config.seed)
        self.network_ = self._build(len(self.pipeline_.ids_))
        batch = config.training.batch_size
        self.run_ = fit(
            self.network_,
            training_data(self.network_, self.pipeline_, rows, train, batch, seed=config.seed),
            training_data(self.network_, self.pipeline_, rows, validation, max(batch, 256)),
            config.training,
            progress,
        )
        self._predictor = None
        if config.known and "known" not in self._inputs():
            progress.say(f"Model {config.model.name!r} sees {', '.join(config.known)} up to the cutoff only, not ahead of it.")
        return self

    @property
    def target(self) -> tuple[str, ...]:
        """Names of the targets."""
        return self.pipeline_.spec.targets if self.pipeline_ else self.config.target

    def _take(self, prepared: Prepared) -> None:
        self.panel_, self.report_, self.source_ = prepared.panel, prepared.report, prepared.source
        self.config = self.config.replace(target=prepared.target)
        self.unit_ = self.config.unit or prepared.panel.unit
        self.pipeline_ = None

    def _build(self, series: int) -> keras.Model:
        from .models import Shapes, build_core
        from .models._shell import adopt, wrap

        pipeline, config = self._fitted(), self.config
        shapes = Shapes(
            lookback=config.lookback,
            horizon=config.horizon,
            features=len(pipeline.inputs_),
            targets=len(pipeline.spec.targets),
            known=len(pipeline.known_),
            static=len(config.static),
            series=series,
        )
        core = adopt(self.own, shapes) if self.own is not None else build_core(config.model.name, shapes, config.model.options)
        return wrap(core, shapes, config.normalize, pipeline.levels_, put_back=config.predict == "level")

    def _index(self, rows: Rows, part: tuple[np.ndarray, np.ndarray], name: str, stride: int | None = None) -> WindowIndex:
        """Returns the windows of a part; for training every value of the future must be there, for scores one."""
        panel, pipeline = rows.panel, self._fitted()
        columns = [panel.column(t) for t in pipeline.spec.targets]
        unknown = np.isnan(panel.values[:, columns])
        training = name in ("train", "validation")
        window = pipeline.spec.window.replace(stride=stride or (pipeline.spec.window.stride if name == "train" else 1))
        missing = unknown.any(axis=1) if training else unknown.all(axis=1)
        return index_windows(panel.offsets, window, part, rows.missing(), missing, "complete" if training else "any")

    def _refuse_empty(self, panel: Panel, train: WindowIndex, validation: WindowIndex, rows: Rows) -> None:
        spec, splits = train.spec, self.splits_
        assert splits is not None  # noqa: S101
        longest = int((splits.rows("train")[1] - splits.rows("train")[0]).max())
        if not len(train):
            if longest >= spec.width:
                raise DataError(
                    f"One complete window of {spec.width} rows without missing values must lie in the training rows. "
                    f"Received: {int(rows.missing().sum()):,} of {len(panel):,} rows have missing inputs. Raise "
                    "cleaning.fill_limit, choose cleaning.gaps=\"keep\", or shorten the lookback."
                )
            warmup = f" of training, {self._fitted().warmup} of them warm-up of features" if self._fitted().warmup else " of training"
            raise spec.too_short(longest, f"{warmup} in the longest series")
        if not len(validation):
            raise DataError(
                f"Early stopping needs at least one window whose future of {spec.horizon} rows lies in validation. Received: "
                f"{splits.count('validation')} validation rows. Raise split.validation, or give more rows."
            )

    def _name_left_out(self, panel: Panel, train: WindowIndex, progress: Any) -> None:
        left_out = sorted(set(range(len(panel.ids))) - set(np.unique(train.series).tolist()))
        if left_out and self.report_ is not None:
            for s in left_out:
                rows = panel.rows(s)
                self.report_.add(panel.ids[s], "rows in a series without a training window", rows.stop - rows.start,
                                 f"a window needs {train.spec.width} complete rows before validation", "not trained on")

    # --- predict ------------------------------------------------------------------------------------------------

    def predict(self, steps: int | None = None, data: Data | None = None, future: pd.DataFrame | None = None) -> pd.DataFrame:
        """Forecasts the next rows of each series.

        Args:
            steps: Rows to forecast, by default the horizon; beyond it the forecast is rolled forward on itself.
            data: Rows up to the cutoff, by default those of `fit`.
            future: Known covariates of the rows ahead: `unique_id`, `ds` and their columns.

        Returns:
            Long frame `unique_id, target, ds, cutoff, step, y_pred`, in original units. Its `attrs` name the series that
            were left out ("skipped": too few rows), not seen in training ("cold"), and those whose stamps lie beyond
            the exchange's known calendar ("provisional").

        Raises:
            NotFitted: There is no trained network yet.
            DataError: No series has enough rows.
            ConfigError: Covariates of rows beyond the horizon are unknown.
        """
        from .rolling import roll

        panel = self._rows_for(data)
        return roll(self._fitted(), self._predict_windows, panel, steps, future, "known" in self._inputs())

    def _predict_windows(self, rows: Rows, index: WindowIndex) -> np.ndarray:
        """Returns forecasts `(N, H, K)` in original units."""
        from .training.data import Predictor

        if self.network_ is None:
            raise NotFitted("A forecaster must be fitted before it predicts. Call fit(data), or load a bundle.")
        if self._predictor is None:
            self._predictor = Predictor(self.network_)
        scaled = self._predictor(self._fitted(), rows, index)
        return self._fitted().inverse(scaled, rows, index.cutoffs, index.series)

    def _inputs(self) -> tuple[str, ...]:
        """Names of the network's inputs."""
        from .models._shell import input_names

        if self.network_ is None:
            raise NotFitted("A forecaster must be fitted before it predicts. Call fit(data), or load a bundle.")
        return input_names(self.network_)

    # --- evaluate -----------------------------------------------------------------------------------------------

    def evaluate(self, data: Data | None = None, *, part: str = "test") -> Scores:
        """Returns every score of a part beside the naive forecast's, with a verdict; print it.

        Args:
            data: Rows that hold the part, by default those of `fit`; parts start at the same stamps as there.
            part: "train", "validation", "calibration" or "test".
        """
        return self.backtest(data, part=part).scores

    def backtest(
        self, data: Data | None = None, *, part: str = "test", stride: int = 1, cutoffs: int | None = None
    ) -> Backtest:
        """Forecasts from successive cutoffs of a part, without fitting again.

        Args:
            data: Rows that hold the part, by default those of `fit`.
            part: "train", "validation", "calibration" or "test".
            stride: Rows between cutoffs.
            cutoffs: Only the last so many of each series.

        Raises:
            NotFitted: There is no trained network yet.
            DataError: The part holds no complete window.
        """
        pipeline, panel = self._fitted(), self._rows_for(data)
        splits = self.splits_ if data is None and self.splits_ else split(panel, self.config.split, self._starts())
        first, end = splits.rows(part)
        rows = pipeline.transform(panel, known_until=first)
        index = self._index(rows, (first, end), part if part == "train" else "test", stride)
        if cutoffs is not None:
            if cutoffs < 1:
                raise ConfigError(f"`cutoffs` must be an integer >= 1. Received: {cutoffs}")
            from_end = np.concatenate([np.arange(n)[::-1] for n in np.bincount(index.series, minlength=1)])
            index = index[from_end < cutoffs]
        if not len(index):
            raise DataError(
                f"The {part} part must hold one complete window: a future of {index.spec.horizon} rows, and {index.spec.lookback} "
                f"rows without missing values before it. Received: {splits.count(part)} {part} rows. Give more rows, or "
                f"a larger split.{part}."
            )
        targets = pipeline.spec.targets
        y_pred = {self.config.model.name: self._predict_windows(rows, index)} | baseline_forecasts(panel, index, targets)
        train_end = np.where(splits.rows("train")[1] > splits.rows("train")[0], splits.rows("train")[1], first)
        return Backtest(
            panel=panel,
            index=index,
            targets=targets,
            y_true=pipeline.truth(panel, index),
            y_pred=y_pred,
            last=y_pred["naive"][:, 0],
            scales=training_scales(panel, index, targets, train_end),
            part=part,
            unit=self.unit_,
        )

    # --- show and keep ------------------------------------------------------------------------------------------

    def plot(self, kind: str = "forecast", data: Data | None = None, **options: Any) -> Axes:
        """Draws one of: "forecast", "fit", "history", "error_by_step", "splits"; returns matplotlib Axes.

        Args:
            kind: Which picture.
            data: Rows to draw, by default those of `fit`.
            options: Such as `series="AAPL"`; see `forecast.plotting`.
        """
        from . import plotting

        if data is not None:
            self.attach(data)
        return plotting.draw(self, kind, **options)

    def attach(self, data: Data) -> Forecaster:
        """Takes other rows for what comes next, cut where the training data were; returns itself."""
        prepared = prepare(data, self.config, self._fitted().spec.targets)
        starts = self._starts()
        self.panel_, self.report_, self.source_ = prepared.panel, prepared.report, prepared.source
        self.splits_ = split(prepared.panel, self.config.split, starts)
        return self

    def save(self, name: str, folder: str | Path | None = None) -> Path:
        """Writes the next version of a bundle: `saved_models/<name>/<version>/`; returns its folder."""
        from .saving import save

        return save(self, name, folder)

    @classmethod
    def load(
        cls, name: str | Path, folder: str | Path | None = None, custom_objects: dict[str, Any] | None = None
    ) -> Forecaster:
        """Returns the forecaster of a bundle, after checking every file of it.

        Args:
            name: "goog" for its newest version, "goog/2", or the path of a version's folder.
            folder: Where bundles lie, by default `saved_models`, or `$FORECAST_HOME/saved_models`.
            custom_objects: Your own Keras layers in the network, by name.

        Raises:
            UnknownName: There is no such bundle.
            BundleError: It is incomplete, was changed, or is unsafe to load.
        """
        from .saving import load

        return load(cls, name, folder, custom_objects)

    # --- inside -------------------------------------------------------------------------------------------------

    def _fitted(self) -> DataPipeline:
        if self.pipeline_ is None:
            raise NotFitted("A forecaster must be fitted first. Call fit(data), or load a bundle.")
        return self.pipeline_

    def _fitted_panel(self) -> Panel:
        if self.panel_ is None:
            raise NotFitted("There are no rows yet. Give `data`, or call fit(data) first.")
        return self.panel_

    def _rows_for(self, data: Data | None) -> Panel:
        self._fitted()
        return self._fitted_panel() if data is None else prepare(data, self.config, self.target).panel

    def _starts(self) -> dict[str, int] | None:
        """The stamps that the parts of the training data started at."""
        if self.splits_ is not None:
            return self.splits_.starts
        starts: dict[str, int] | None = self.manifest_.get("split", {}).get("starts")
        return starts
