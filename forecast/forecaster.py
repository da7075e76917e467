"""Forecaster: pipeline + network. The one class that a user needs.

fit        data -> Panel -> splits -> DataPipeline -> training
predict    last rows -> network -> original units, real future stamps
evaluate   every score beside the naive forecast's
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, NotFitted
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.splits import Splits, split
from pipelines.windows import WindowIndex

from .config import AUTO, ForecastConfig, merge
from .evaluation.backtest import Backtest
from .evaluation.beside import chosen, score
from .evaluation.scores import Scores
from .fitting import Fitted, fit
from .prepare import Data, Prepared, prepare, remembered
from .presets import preset as named
from .resuming import Unfinished, begin
from .selection import scored_windows
from .uncertainty import Intervals, Levels, bars, wanted

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes

    from .auto import Leaderboard
    from .export.output import ExportReport
    from .training.fit import TrainingRun
    from .training.progress import Progress
    from .updating import Updated

T = TypeVar("T")


class Forecaster:
    """Learns from one or many series and forecasts each.

    Args:
        model: Name of a model, such as "lstm"; a mapping of name and options, such as {"name": "lstm", "units": 32};
            "auto" for what forecasts validation rows best, found within `budget`, such as "10min"; or a Sequential or
            functional keras.Model of your own, `(N, L, F) -> (N, H, K)`: each fit starts with
            fresh weights in a copy of it.
        target: Column to predict, or several; may be left out where there is only one.
        lookback: Rows the model sees; "auto" for whole seasons.
        horizon: Rows one call predicts.
        preset: Settings with a name, such as "fast", "accurate", "stock" or "edge"; all others go over them.
        config: All settings at once; the arguments go over it.
        custom_objects: Your own Keras layers in your own model, by name, so that it can be saved and loaded.
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
        lookback: int | str | None = None,
        horizon: int | None = None,
        preset: str | None = None,
        config: ForecastConfig | dict[str, Any] | None = None,
        custom_objects: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        base = config.model_dump(exclude_unset=True) if isinstance(config, ForecastConfig) else dict(config or {})
        if preset is not None:
            base = merge(named(preset), base)
        own = None if model is None or isinstance(model, str | dict) else model
        given = {
            "model": "own" if own is not None else model,
            "target": target,
            "lookback": lookback,
            "horizon": horizon,
        }
        settings.update({name: value for name, value in given.items() if value is not None})
        self.config = ForecastConfig(**merge(base, settings))
        self.own, self.custom_objects = own, custom_objects
        if own is None and self.config.model.name not in ("own", "auto"):
            from .models import registry

            registry.check(self.config.model.name)
        self._fitted: Fitted | None = None
        self._panel: Panel | None = None
        self._splits: Splits | None = None
        self._unfinished: Unfinished | None = None  # the state of the training, until it is saved
        self.report_ = CleaningReport()
        self.source_ = ""
        self.unit_ = self.config.unit
        self.path_: Path | None = None  # of the bundle that holds this very network
        self.manifest_: dict[str, Any] = {}
        self.lineage_: tuple[dict[str, Any], ...] = ()  # what became of the weights since they were trained
        self.leaderboard_: Leaderboard | None = None  # what model "auto" tried, and chose
        self.dated_: dict[str, Any] = {}  # the freq or calendar of the training rows, for later ones

    # --- fit ----------------------------------------------------------------------------------------------------

    def fit(
        self, data: Data, *, quiet: bool = False, keep: str | Path | None = None, resume: bool = False, **training: Any
    ) -> Forecaster:
        """Trains on the training part of some data, with early stopping on its validation part.

        Where the split has a calibration part, intervals are then learned from one forecast of it.

        Args:
            data: A locator such as "prices.csv" or "yahoo:AAPL", a DataFrame in any accepted layout, or a Panel.
            quiet: Show no progress.
            keep: A folder to keep the state of the training in, until this forecaster is saved, so that a killed one
                can go on.
            resume: Go on with the state in `keep`, to the same weights; begin where there is none.
            training: Training settings for this and later fits, such as `epochs=10`.

        Raises:
            DataError: The rows cannot be used; SeriesTooShort where no series holds one window.
            UnknownName: A column is missing.
            ConfigError: The state to go on with is of other settings or rows.
            Locked: The same training is under way in another process.

        Returns:
            Itself.
        """
        from ._keras import load_keras

        load_keras()
        from .training.progress import Progress

        began, config = time.monotonic(), self.config
        if training:
            config = config.replace(training=merge(config.training.model_dump(), training))
        progress = Progress(quiet)
        prepared = prepare(data, config)
        panel, report = prepared.panel, prepared.report
        asked = config.model_dump(exclude_unset=True)
        config = config.replace(target=prepared.target)
        config, leaderboard = _settled(config, panel, progress, began, resume, asked)
        splits = split(panel, config.split)
        unfinished = None
        if resume and keep is None:
            raise ConfigError("`resume` goes on with the state in a folder. Received: no `keep`. Say which folder.")
        if keep is not None:
            unfinished = begin(Path(keep), config, panel, splits, prepared.source, resume, self.own)
            progress.say(unfinished.about)
        try:
            kept = None if unfinished is None else unfinished.checkpoint
            fitted = fit(panel, splits, config, progress, report=report, own=self.own, kept=kept)
        except BaseException:  # also Ctrl-C: the state stays
            if unfinished is not None:
                unfinished.close(done=False)
            raise
        # Set together, at the end: a fit that fails leaves the forecaster as it was.
        self.config, self.source_, self.report_ = config, prepared.source, report
        self._panel, self._splits, self._fitted = panel, splits, fitted
        self.unit_, self.dated_ = config.unit or panel.unit, remembered(panel)
        self.path_, self.manifest_, self._unfinished, self.lineage_ = None, {}, unfinished, ()
        self.leaderboard_ = leaderboard
        if config.known and "known" not in fitted.inputs:
            progress.say(
                f"Model {config.label!r} sees {', '.join(config.known)} up to the cutoff only, not ahead of it."
            )
        return self

    # --- predict ------------------------------------------------------------------------------------------------

    def predict(
        self,
        steps: int | None = None,
        data: Data | None = None,
        future: pd.DataFrame | None = None,
        levels: Levels = None,
    ) -> pd.DataFrame:
        """Forecasts the next rows of each series.

        Args:
            steps: Rows to forecast, by default the horizon; beyond it the forecast is rolled forward on itself.
            data: Rows up to the cutoff, by default those of `fit`.
            future: Known covariates of the rows ahead: `unique_id`, `ds` and their columns.
            levels: Of intervals, in percent; by default 80 and 95, where the forecaster was fitted with a calibration
                part that holds enough windows. `()` for none.

        Returns:
            Long frame `unique_id, target, ds, cutoff, step, y_pred`, in original units, and `y_pred_lo_80,
            y_pred_hi_80, ...` where there are intervals, `y_pred_q10, ...` where the network answers with quantiles;
            beyond the horizon these are NaN. Its `attrs` name the series that were left out ("skipped": too few rows),
            not seen in training ("cold"), those whose stamps lie beyond the exchange's known calendar ("provisional"),
            and the steps without intervals ("uncalibrated").

        Raises:
            NotFitted: There is no trained network yet.
            DataError: No series has enough rows.
            ConfigError: Covariates of rows beyond the horizon are unknown, or levels are asked for that cannot be had.
        """
        from .rolling import roll

        panel, ends = self._rows_for(data), bars(self.intervals_, levels)
        if future is not None:
            names = {self.config.id_col: "unique_id", self.config.time_col: "ds"}
            future = future.rename(columns={old: new for old, new in names.items() if old})
        fitted = self.fitted_
        return roll(fitted, panel, steps, future, ends)

    # --- evaluate -----------------------------------------------------------------------------------------------

    def evaluate(self, data: Data | None = None, *, part: str = "test", **options: Any) -> Scores:
        """Returns every score of a part beside the naive forecast's, with a verdict; print it.

        Args:
            data: Rows that hold the part, by default those of `fit`; parts start at the same stamps as there.
            part: "train", "validation", "calibration" or "test".
            options: Others of `backtest`, such as `baselines=["arima"]`.
        """
        return self.backtest(data, part=part, **options).scores

    def backtest(
        self,
        data: Data | None = None,
        *,
        part: str = "test",
        stride: int = 1,
        cutoffs: int | None = None,
        levels: Levels = None,
        baselines: str | Sequence[str] = (),
        refit: str | int = "never",
        window: str = "expanding",
        warm_start: bool = False,
        quiet: bool = True,
    ) -> Backtest:
        """Forecasts from successive cutoffs of a part, with this model, or with models that are fitted on the way.

        Args:
            data: Rows that hold the part, by default those of `fit`.
            part: "train", "validation", "calibration" or "test".
            stride: Rows between cutoffs.
            cutoffs: Only the last so many of each series.
            levels: Of intervals, as for `predict`; of the test part only.
            baselines: Beside naive, seasonal naive, drift and mean: "ets", "theta", "arima".
            refit: "never"; "always", so that each cutoff has a model of its own; or a number of cutoffs that one model
                serves. Each is learned anew, pipeline and all, from what was known at its first cutoff.
            window: Of refits: "expanding" trains on all rows so far, "rolling" on as many as at first.
            warm_start: Start each refit but the first from the weights of the one before.
            quiet: Show no progress.

        Raises:
            NotFitted: There is no trained network yet.
            DataError: The part holds no complete window.
            ConfigError: Levels are asked for that cannot be had, a setting of refits is wrong, or what a baseline needs
                is not installed.
            UnknownName: There is no such baseline.
        """
        fitted, known = self.fitted_, chosen(baselines)
        pipeline, panel = fitted.pipeline, self._rows_for(data)
        splits = self.splits_ if data is None else self._split(panel)
        rows = pipeline.transform(panel, known_until=splits.rows(part)[0])
        index = scored_windows(pipeline, rows, splits, part, stride, cutoffs)
        if refit == "never":
            asked = wanted(fitted.intervals, levels, part)
            answers, training, fits = fitted.answers(rows, index), None, ""
            y_pred, spread = fitted.point(answers), fitted.spread(answers)
            bands = fitted.intervals.bands(rows, index, y_pred, asked) if fitted.intervals and asked else None
        else:
            from . import refitting
            from .training.progress import Progress

            config, progress = self._refittable(), Progress(quiet)
            options: Any = {"refit": refit, "window": window, "warm_start": warm_start, "levels": levels}
            y_pred, spread, bands, training, fits = refitting.forecast(
                panel, splits, index, config, progress, own=self.own, **options
            )
        return score(
            panel,
            splits,
            index,
            pipeline.truth(panel, index),
            {self.config.label: y_pred},
            pipeline.spec.targets,
            known,
            part=part,
            unit=self.unit_,
            season_length=self.config.season_length,
            bands=bands,
            quantiles=spread,
            training=training,
            how="; ".join(filter(None, [fits, _short(index, cutoffs, part)])),
        )

    def _refittable(self) -> ForecastConfig:
        """Returns the settings to fit again with."""
        if self.own is None and self.config.model.name == "own":
            raise ConfigError(
                "A model of your own is fitted again from the Keras model it was made of. Received: a bundle, which "
                "holds a trained one. Make Forecaster(model=your_model) and fit it, or choose refit='never'."
            )
        return self.config.replace(target=self.target)

    # --- learn on ---------------------------------------------------------------------------------------------------

    def update(self, data: Data, **options: Any) -> Updated:
        """Learns a little from rows that came since, and keeps that only where it forecasts better.

        Returns what became of it, with the better forecaster in `.forecaster`; this one stays as it is.

        Args:
            data: All rows up to now, or the new ones and enough before them.
            options: Such as `epochs=3`, `guard=20`; see `forecast.updating.update`.
        """
        from .updating import update

        return update(self, data, **options)

    def fine_tune(self, series: str | Sequence[str], data: Data | None = None, **options: Any) -> Updated:
        """Makes a forecaster of many series better at one, or a few; see `forecast.updating.fine_tune`."""
        from .updating import fine_tune

        return fine_tune(self, series, data, **options)

    # --- show and keep ------------------------------------------------------------------------------------------

    def plot(self, kind: str = "forecast", data: Data | None = None, **options: Any) -> Axes:
        """Draws a picture, by default the last forecast beside what happened; returns matplotlib Axes.

        Args:
            kind: "forecast", "fit", "history", "gradients", "leaderboard", "error_by_step", "splits", "moves",
                "intervals", "coverage" or "inside".
            data: Rows to draw, by default those of `fit`.
            options: Such as `series="AAPL"`; see `forecast.plotting`.
        """
        from . import plotting

        return plotting.draw(self if data is None else self.attach(data), kind, **options)

    def attach(self, data: Data) -> Forecaster:
        """Returns a copy of this forecaster that holds other rows, cut where the training data were."""
        prepared = self._prepared(data)
        other = copy.copy(self)
        other._panel, other.report_, other.source_ = prepared.panel, prepared.report, prepared.source
        other._splits = self._split(prepared.panel)
        return other

    def save(self, name: str, folder: str | Path | None = None) -> Path:
        """Writes the next version of a bundle: `saved_models/<name>/<version>/`; returns its folder."""
        from .bundle import verify
        from .saving import save

        unfinished = self._unfinished
        self.path_ = (unfinished and unfinished.saved_as(name, folder)) or save(self, name, folder)
        self.manifest_ = verify(self.path_)
        if unfinished is not None:
            unfinished.close(done=True)
            self._unfinished = None
        return self.path_

    def export(
        self, path: str | Path, quantize: str = "int8", *, data: Data | None = None, quiet: bool = False, **options: Any
    ) -> ExportReport:
        """Writes the network as a .tflite file that runs without TensorFlow and gives the same answers.

        Args:
            path: "goog.tflite" for the file and `goog.report.json` beside it; anything else is a folder that also gets
                a picture, `run.py` and C files.
            quantize: "int8", "float32", "float16", "dynamic" or "int16".
            data: Rows to calibrate with and to compare on, by default those of `fit`.
            quiet: Show no progress.
            options: Others of `forecast.export.options.ExportSpec`, such as `layout="unrolled"`, `io="int8"`,
                `state="streaming"`, `device="pi"`, `series="AAPL"`.

        Returns:
            What was written and measured; print it.

        Raises:
            ExportError: A layer cannot be converted, or the file drifted from Keras; nothing is written then.
            ConfigError: The path cannot be written, or options exclude each other.
        """
        from .export import export

        return export(self, path, quantize, data=data, quiet=quiet, **options)

    def report(self, path: str | Path, data: Data | None = None, **options: Any) -> Path:
        """Writes one HTML file that says what this forecaster is worth; see `forecast.report.of_forecaster`."""
        from .report import of_forecaster

        return of_forecaster(self, path, data, **options)

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

    # --- state: what `fit` or `load` set; asked for earlier, it is a NotFitted ---------------------------------------

    @property
    def fitted_(self) -> Fitted:
        """Pipeline, network and intervals, which forecast together."""
        return _there(self._fitted, "A forecaster must be fitted first. Call fit(data), or load a bundle.")

    @property
    def pipeline_(self) -> DataPipeline:
        """The fitted data pipeline."""
        return self.fitted_.pipeline

    @property
    def network_(self) -> keras.Model:
        """The trained network."""
        return self.fitted_.network

    @property
    def run_(self) -> TrainingRun | None:
        """How training went; None where nobody knows."""
        return self._fitted.run if self._fitted else None

    @property
    def intervals_(self) -> Intervals | None:
        """What was learned on calibration rows; None where there was nothing to learn from."""
        return self._fitted.intervals if self._fitted else None

    @property
    def panel_(self) -> Panel:
        """The cleaned rows of `fit` or `attach`."""
        remembered = f" A bundle remembers where its rows came from, not the rows: data={self.source_!r}."
        otherwise = "There are no rows yet. Give `data`, or call fit(data) first."
        return _there(self._panel, otherwise + (remembered if self.path_ and self.source_ else ""))

    @property
    def splits_(self) -> Splits:
        """Where these rows are cut."""
        return _there(self._splits, "There are no rows yet. Give `data`, or call fit(data) first.")

    @property
    def target(self) -> tuple[str, ...]:
        """Names of the targets."""
        return self._fitted.pipeline.spec.targets if self._fitted else self.config.target

    def _prepared(self, data: Data) -> Prepared:
        """Returns later rows, dated as the training rows were where nobody said how."""
        asked = self.config.freq or self.config.calendar
        config = self.config if asked else self.config.replace(**self.dated_)
        return prepare(data, config, self.pipeline_.spec.targets)

    def _rows_for(self, data: Data | None) -> Panel:
        return self.panel_ if data is None else self._prepared(data).panel

    def _split(self, panel: Panel) -> Splits:
        """Returns later rows cut at the stamps where the parts of the training data started."""
        if self._splits is not None:
            return split(panel, self.config.split, self._splits.starts, self._splits.tails)
        known = self.manifest_.get("split", {})
        return split(panel, self.config.split, known.get("starts"), known.get("tails"))


def _settled(
    config: ForecastConfig, panel: Panel, progress: Progress, began: float, resume: bool, asked: dict[str, Any]
) -> tuple[ForecastConfig, Leaderboard | None]:
    """Returns settings in which nothing is left open: what "auto" stands for follows from the rows."""
    if config.model.name == "auto":
        if resume:
            raise ConfigError(
                "A search by a clock cannot be taken up again. Received: `resume` with model 'auto'. Leave it out."
            )
        from .auto import choose

        return choose(panel, config, progress, began, asked if len(asked) < len(ForecastConfig.model_fields) else None)
    if config.lookback != AUTO:
        return config, None
    from .auto import settled

    return settled(config, panel), None


def _short(index: WindowIndex, cutoffs: int | None, part: str) -> str:
    """Returns how many cutoffs there were, where more were asked for."""
    most = int(np.bincount(index.series).max())
    if cutoffs is None or most >= cutoffs:
        return ""
    return f"{most:,} of {cutoffs:,} cutoffs, the {part} part holds no more: give more rows"


def _there(value: T | None, otherwise: str) -> T:
    if value is None:
        raise NotFitted(otherwise)
    return value
