"""A trained Forecaster as something to export: its core, its scaling, windows of its training and validation rows.

Calibration windows, which integers are fitted to, come from training rows, held-out windows from the validation part:
the comparison decides which layout is taken, so test rows stay out of it. Where the forecaster has intervals, the
file's are learned on windows of the calibration part of the rows, and counted on those of the test part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from pipelines.calendars import DAY, Calendar
from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.pipeline import DataPipeline, Rows
from pipelines.windows import WindowIndex

from ..models._shell import EPSILON, core_of, input_names
from ..selection import calibration_windows, scored_windows, training_windows
from ..uncertainty import wanted
from . import preflight
from .edges import Scaling, normalised
from .options import ExportSpec
from .subject import CALIBRATION, HeldOut, Subject, Uncertain, Windows, answers
from .trace import Core, Input

if TYPE_CHECKING:
    from ..forecaster import Forecaster
    from ..prepare import Data


LEARNED_ON, COUNTED_ON = 1000, 500  # windows for intervals, at most


def of_forecaster(model: Forecaster, spec: ExportSpec, data: Data | None = None) -> Subject:
    """Returns a trained forecaster as a subject.

    Raises:
        ConfigError: Each series has a scaling of its own, and nobody said whose goes into the file.
        UnknownName: The series was not in training.
    """
    pipeline = model.pipeline_
    if data is not None:
        model = model.attach(data)
    panel, splits, config = model.panel_, model.splits_, model.config
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    series = _series(pipeline, spec)
    if series is not None and series not in panel.ids:
        raise UnknownName.of("series of the rows to calibrate with", series, panel.ids)
    number = None if series is None else panel.ids.index(series)
    whose = series if series is not None else (pipeline.ids_[0] if pipeline.ids_ else panel.ids[0])
    many = series is None and not _serves_all(pipeline)
    scaling = _scaling(model, whose) | {
        "usual": _usual(model, pipeline.ids_ if series is None and not many else [whose])
    }
    keras_core = core_of(model.network_, config.normalize)
    preflight.check(keras_core)
    core = _core(keras_core, pipeline, rows, number, spec)
    mine = [s for s, name in enumerate(panel.ids) if number in (None, s) and not (many and name not in pipeline.ids_)]
    train = _of_series(training_windows(pipeline, rows, splits, CleaningReport()), mine)
    train = train[np.random.default_rng(spec.seed).permutation(len(train))[:CALIBRATION]]
    validation = _few(_of_series(scored_windows(pipeline, rows, splits, "validation"), mine), spec.windows)
    if not len(train) or not len(validation):
        raise DataError(
            f"Series {series!r} must have windows in training and validation. Received: {len(train)} and "
            f"{len(validation)}. Choose another series, or give more rows."
        )
    calibration = _seen(pipeline, rows, train, core, scaling)
    per_series = {name: _own(_scaling(model, name)) for name in pipeline.ids_} if many else {}
    return Subject(
        core=core,
        about=_about(model, series if series is not None else None, calibration["past"]),
        scaling=scaling,
        per_series=per_series,
        calibration=calibration,
        held_out=_held_out(model, rows, validation, core, scaling),
        uncertain=_uncertain(model, rows, mine, core),
    )


def _series(pipeline: DataPipeline, spec: ExportSpec) -> str | None:
    """Returns whose scaling goes into the file; None where one scaling serves all, or the host chooses."""
    ids = pipeline.ids_
    if spec.series is not None:
        if spec.series not in ids:
            raise UnknownName.of("series of the training data", spec.series, ids)
        return spec.series
    if len(ids) == 1:
        return ids[0]
    if not _serves_all(pipeline) and spec.io != "int8":
        raise ConfigError(
            f"Each of {len(ids)} series has a scaling of its own, and a file holds one. Name the series (--series "
            f"{ids[0]}), train with scaling.shared=true, or leave scaling to the host (--io int8)."
        )
    return None


def _serves_all(pipeline: DataPipeline) -> bool:
    """Returns whether one scaling is that of every series: returns and clipping have numbers for each."""
    spec = pipeline.spec
    return spec.scaling.shared and spec.predict == "level" and spec.cleaning.outliers != "clip"


def _scaling(model: Forecaster, series: str) -> dict[str, Any]:
    """Returns the group `scaling` of the metadata for one series."""
    pipeline = model.pipeline_
    scaler, spec = pipeline.scaler_, pipeline.spec
    if scaler is None:
        raise ConfigError("A forecaster must be fitted before it is exported.")
    factor, shift = scaler.pair(series)
    K = len(spec.targets)
    clip = spec.cleaning.outliers == "clip" and series in pipeline.bounds_
    low, high = pipeline.bounds_[series] if clip else (None, None)
    logged = pipeline.levels_ if spec.scaling.method == "log1p" else np.zeros(len(factor), bool)
    static = pipeline.static_ or (np.empty(0), np.empty(0))
    return {
        "clip_low": None if low is None else low.tolist(),
        "clip_high": None if high is None else high.tolist(),
        "log1p": logged.tolist(),
        "factor": factor.tolist(),
        "shift": shift.tolist(),
        "normalize": model.config.normalize,
        "levels": pipeline.levels_.tolist(),
        "epsilon": EPSILON,
        "predict": spec.predict,
        "bounds": list(spec.bounds),
        "sigma": pipeline.sigma_.get(series, np.ones(K)).tolist(),
        "static_low": static[0].tolist(),
        "static_range": static[1].tolist(),
        "usual": _usual(model, [series]),
    }


def _usual(model: Forecaster, series: Sequence[str]) -> list[float] | None:
    """Returns how far targets usually move from row to row: in the calmest series of some; None without intervals."""
    intervals = model.intervals_
    if intervals is None:
        return None
    return [float(u) for u in intervals.usual[[intervals.ids.index(name) for name in series]].min(axis=0)]


def _own(scaling: dict[str, Any]) -> dict[str, Any]:
    """Returns what differs between series."""
    return {name: scaling[name] for name in ("factor", "shift", "sigma", "clip_low", "clip_high", "usual")}


def _core(model: keras.Model, pipeline: DataPipeline, rows: Rows, number: int | None, spec: ExportSpec) -> Core:
    names = input_names(model)
    inputs, fixed = [], {}
    for name, tensor in zip(names, model.inputs, strict=True):
        if name == "series":
            if number is None:
                raise ConfigError(
                    "The network knows each series by its number, and a file is for one of them. Name it: --series "
                    f"{pipeline.ids_[0]}"
                )
            fixed["series"] = np.asarray(rows.codes[number], np.int32)
        elif name == "static" and number is not None:
            fixed["static"] = rows.static[number]
        else:
            inputs.append(Input(name, tuple(int(n) for n in tensor.shape[1:])))
    order = sorted(inputs, key=lambda one: ("past", "known", "static").index(one.name))
    return Core(model, tuple(order), fixed)


def _of_series(index: WindowIndex, series: Sequence[int]) -> WindowIndex:
    return index[np.isin(index.series, series)]


def _few(index: WindowIndex, most: int) -> WindowIndex:
    """Returns an even share of windows, at most so many."""
    return index[np.unique(np.linspace(0, len(index) - 1, min(most, len(index))).astype(int))]


def _seen(
    pipeline: DataPipeline, rows: Rows, index: WindowIndex, core: Core, scaling: Scaling
) -> dict[str, np.ndarray]:
    """Returns what the core sees of some windows, by input."""
    inputs, _ = pipeline.batch(rows, index, future=False)
    inputs["past"] = normalised(inputs["past"], scaling)
    return {one.name: inputs[one.name] for one in core.inputs}


def _raw(model: Forecaster, index: WindowIndex, core: Core) -> dict[str, np.ndarray]:
    """Returns what the file sees of some windows in original units, by input."""
    pipeline, panel = model.pipeline_, model.panel_
    raw_rows = pipeline.raw(panel)  # (R, F)
    raw = {"past": index.past(raw_rows)}
    known = len(pipeline.known_)
    if known:
        raw["known"] = index.both(raw_rows[:, -known:])
    if pipeline.spec.static:
        raw["static"] = pipeline.static(panel)[index.series]
    return {one.name: raw[one.name] for one in core.inputs}


def _uncertain(model: Forecaster, rows: Rows, mine: Sequence[int], core: Core) -> Uncertain | None:
    """Returns windows to learn intervals on and to count on; None where the forecaster has no intervals."""
    pipeline, panel, splits, intervals = model.pipeline_, model.panel_, model.splits_, model.intervals_
    if intervals is None:
        return None

    def of(index: WindowIndex) -> Windows:
        names = [panel.ids[s] for s in index.series]
        return Windows(_raw(model, index, core), pipeline.truth(panel, index), names, index.cutoffs)

    calibration = of(_few(_of_series(calibration_windows(pipeline, rows, splits), mine), LEARNED_ON))
    try:
        test = _few(_of_series(scored_windows(pipeline, rows, splits, "test"), mine), COUNTED_ON)
    except DataError:  # it holds no window
        return Uncertain(calibration, None, {})
    if not len(test):
        return Uncertain(calibration, None, {})
    bands = intervals.bands(rows, test, model.fitted_.predict(rows, test), wanted(intervals, None))
    return Uncertain(calibration, of(test), bands.ends)


def _held_out(model: Forecaster, rows: Rows, index: WindowIndex, core: Core, scaling: Scaling) -> HeldOut:
    pipeline, panel = model.pipeline_, model.panel_
    raw = _raw(model, index, core)
    seen = _seen(pipeline, rows, index, core, scaling)
    K, H = len(pipeline.spec.targets), pipeline.spec.window.horizon
    return HeldOut(
        part="validation",
        raw=raw,
        core=seen,
        y_core=answers(core, seen),
        y_pred=model.fitted_.answers(rows, index),
        y_true=pipeline.truth(panel, index),
        naive=np.repeat(raw["past"][:, -1:, :K], H, axis=1),
        series=[panel.ids[s] for s in index.series],
    )


def _about(model: Forecaster, series: str | None, seen: np.ndarray) -> dict[str, Any]:
    pipeline, config = model.pipeline_, model.config
    calendar = model.panel_.calendars[0]
    kinds = ["target"] * len(pipeline.spec.targets) + ["past"] * len(pipeline.spec.past)
    means = [f"Measured: {name}." for name in (*pipeline.spec.targets, *pipeline.spec.past)]
    for feature in pipeline.features_:
        if not feature.known:
            kinds += ["feature"] * len(feature.columns)
            means += [feature.means] * len(feature.columns)
    kinds += ["known"] * len(pipeline.known_)
    means += [f"Known ahead: {name}." for name in pipeline.spec.known]
    means += [f.means for f in pipeline.features_ if f.known for _ in f.columns]
    flat = seen.reshape(-1, seen.shape[-1])
    manifest = model.manifest_
    bundle = {name: manifest[name] for name in ("name", "version", "digest")} if manifest else None
    return {
        "name": f"{bundle['name']}/{bundle['version']}" if bundle else "",
        "model": config.label,
        "bundle": bundle,
        "lookback": config.lookback,
        "gap": config.gap,
        "horizon": config.horizon,
        "targets": list(pipeline.spec.targets),
        "unit": model.unit_,
        "quantiles": list(config.quantiles),
        "series": series,
        "dates": {
            "freq": calendar.code if calendar.code and not calendar.is_exchange else None,
            "calendar": calendar.code if calendar.is_exchange else None,
            "zone": calendar.zone,
            "seconds": _seconds(calendar),
        },
        "columns": [
            {"name": name, "kind": kind, "level": bool(level), "means": text}
            for name, kind, level, text in zip(pipeline.inputs_, kinds, pipeline.levels_, means, strict=True)
        ],
        "range": {"low": flat.min(axis=0).tolist(), "high": flat.max(axis=0).tolist()},
        "missing": {"policy": "last", "limit": config.cleaning.fill_limit},
    }


def _seconds(calendar: Calendar) -> int | None:
    """Returns the seconds between rows, where they are always the same."""
    if calendar.step is None or (calendar.step >= DAY and calendar.zone not in ("", "UTC")):
        return None
    return int(calendar.step // 1_000_000_000)
