"""Audits what is learned from rows: scaling, intervals, the ranges of an export, weights.

    part           train          validation     calibration      test
    scaling        learned        other          other            other
    export         shown          other          other            other        to the converter
    calibration    learned        learned        learned          other
    training       learned        learned        learned          other        only where asked for: it fits again

What is learned from the same rows of a part and other rows of later ones must be the same, to the last bit; and what
the forecaster has learned must be what the rows of its fit teach.

Axes: `F` inputs, `K` targets, `S` series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline

from .. import fitting, selection, uncertainty
from ..text import number
from ._poison import SHOWN, Check, Trial, difference, moved

EPOCHS = 2


def scaling(trial: Trial) -> Check:
    """Learns the pipeline again with other rows after training; what it learns must stay."""
    panel, splits, leaks = trial.panel, trial.splits, list[str]()
    kind, spec = type(trial.pipeline), trial.pipeline.spec
    first = splits.rows("train")[1]
    plain = dict(_numbers(kind(spec).fit(panel, splits)))
    for t in range(trial.tries):
        other = dict(_numbers(kind(spec).fit(trial.poisoned(first, t, reach=0), splits)))
        leaks += [
            f"{what} was {number(value)} and became {number(other[what])} when rows after training changed."
            for what, value in plain.items()
            if moved(np.array(value), np.array(other[what]))
        ]
        if leaks:
            break
    if trial.same:
        shared = set() if trial.whole else {name for name in plain if name.endswith("of all series")}
        leaks += [
            f"{what} is {number(value)}, but training rows give {number(plain[what])}: it was learned on others, too."
            for what, value in _numbers(trial.pipeline)
            if what in plain and what not in shared and not np.isclose(value, plain[what], 1e-6, 0.0, equal_nan=True)
        ]
    leaks += _cold(trial)
    shown = leaks[:SHOWN]
    if len(leaks) > SHOWN:
        shown.append(f"... and {len(leaks) - SHOWN:,} more learned numbers.")
    compared = f"{len(plain):,} learned numbers, {trial.tries} times" + (" and as stored" if trial.same else "")
    return Check("scaling", compared, tuple(shown))


def _numbers(pipeline: DataPipeline) -> Iterator[tuple[str, float]]:
    """Yields each number that a pipeline has learned, with a name for people."""
    scaler = pipeline.scaler_
    if scaler is not None:
        for name in scaler.ids_:
            of = "all series" if name == "*" else name
            for what, values in zip(("Factor", "Shift"), scaler.pair(name), strict=True):
                for column, value in zip(pipeline.inputs_, values, strict=True):
                    yield f"{what} of {column} of {of}", float(value)
    for name, bounds in pipeline.bounds_.items():
        for what, values in zip(("Lower", "Upper"), bounds, strict=True):
            for column, value in zip(pipeline.inputs_, values, strict=True):
                yield f"{what} bound of {column} of {name}", float(value)
    for name, sigma in pipeline.sigma_.items():
        for column, value in zip(pipeline.spec.targets, sigma, strict=True):
            yield f"Size of returns of {column} of {name}", float(value)
    for what, values in zip(("Lowest", "Range"), pipeline.static_ or (), strict=False):
        for column, value in zip(pipeline.spec.static, values, strict=True):
            yield f"{what} of {column} of all series", float(value)


def _cold(trial: Trial) -> list[str]:
    """Returns what leaks where series were not in training, and are scaled by their rows before the cutoff."""
    panel, lookback = trial.panel, trial.pipeline.spec.window.lookback
    cold = replace(panel, ids=tuple(f"{name} (cold)" for name in panel.ids))
    until = np.maximum(trial.splits.rows("test")[0], np.minimum(panel.offsets[:-1] + lookback, panel.offsets[1:]))
    before = trial.pipeline.transform(cold, known_until=until)
    after = trial.pipeline.transform(trial.poisoned(until, 0, panel=cold, reach=0), known_until=until)
    leaks = []
    for what in ("factor", "shift", "sigma"):
        for s, k in np.argwhere(moved(getattr(before, what), getattr(after, what))):
            of = f"{trial.pipeline.spec.targets[k]} of {panel.ids[s]}"
            leaks.append(f"As a series not seen in training, the {what} of {of} moved when {trial.unknown(until, s)}.")
    return leaks


def calibration(trial: Trial) -> Check:
    """Learns intervals again with other test rows."""
    if trial.few.intervals_ is None:
        return Check("calibration", "there are no intervals", possible=False)
    kind = type(trial.pipeline)
    panel, splits = trial.panel, trial.splits
    fitted = fitting.Fitted(kind(trial.pipeline.spec).fit(panel, splits), trial.few.network_)
    plain = _intervals(trial, fitted, panel)
    if plain is None:
        return Check("calibration", "the rows hold no calibration window", possible=False)
    leaks = list[str]()
    first = splits.rows("test")[0]
    for t in range(trial.tries):
        other = _intervals(trial, fitted, trial.poisoned(first, t, reach=0))
        leaks += [
            f"{what} moved by {difference(*_farthest(a, b))} when test rows changed."
            for what, a, b in _learned(plain, other)
            if not leaks
        ]
    if leaks and any(True for _ in _learned(plain, _intervals(trial, fitted, panel))):
        return Check("calibration", "two forecasts of the same windows differ on this machine", possible=False)
    if trial.same and trial.whole:
        stored = trial.few.intervals_
        for what, a, b in _learned(plain, stored, 1e-3):
            leaks.append(
                f"{what} are not those of the calibration part, by {difference(*_farthest(a, b))}: they rest on other "
                "rows, too."
            )
    compared = f"{plain.windows:,} windows, {trial.tries} times" + (" and as stored" if trial.same else "")
    return Check("calibration", compared, tuple(leaks[:SHOWN]))


def _intervals(trial: Trial, fitted: fitting.Fitted, panel: Panel) -> Any:
    splits, pipeline = trial.splits, fitted.pipeline
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    index = selection.calibration_windows(pipeline, rows, splits)
    return uncertainty.calibrate(fitted.predict, pipeline, rows, index, splits) if len(index) else None


def _learned(one: Any, other: Any, share: float = 0.0) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields what differs between two intervals, by more than a share of the largest."""
    pairs = {
        "Scores of calibration windows": (one.conformal.scores_, other.conformal.scores_),
        "Usual changes of the series": (one.usual, other.usual),
    }
    for what, (a, b) in pairs.items():
        noise = share * float(np.nanmax(np.abs(a), initial=0.0))
        if moved(a, b, noise).any():
            yield what, a, b


def _farthest(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    if a.shape != b.shape:
        return float("nan"), float("nan")
    at = np.unravel_index(np.nanargmax(np.abs(a - b)), a.shape)
    return float(a[at]), float(b[at])


def export(trial: Trial) -> Check:
    """Chooses the windows that a converter is shown, with other rows after training."""
    from ..export.of_forecaster import of_forecaster
    from ..export.options import ExportSpec

    known = [name for name in trial.panel.ids if name in trial.pipeline.ids_]
    spec = ExportSpec(series=known[0] if len(trial.pipeline.ids_) > 1 and known else None, windows=8)
    plain, leaks = of_forecaster(trial.few, spec), list[str]()
    first = trial.splits.rows("train")[1]
    for t in range(trial.tries):
        other = of_forecaster(trial.few.attach(trial.poisoned(first, t, reach=0)), spec)
        for name, windows in plain.calibration.items():
            gone = moved(windows, other.calibration[name])
            if gone.any():
                count = int(gone.reshape(len(gone), -1).any(axis=1).sum())
                leaks.append(
                    f"The converter is shown windows whose {name!r} holds rows after training: {count:,} of "
                    f"{len(gone):,} moved when these changed."
                )
        if leaks:
            break
    return Check("export", f"{len(plain.calibration['past']):,} calibration windows", tuple(leaks))


def training(trial: Trial) -> Check:
    """Fits twice, with other test rows; and forecasts with models that are fitted again on the way."""
    from ..training.progress import Progress

    few = trial.few.attach(trial.panel)
    epochs = min(EPOCHS, few.config.training.epochs)
    few.config = few.config.replace(target=few.target, training=few.config.training.replace(epochs=epochs))
    own = few.own
    if few.config.model.name == "own" and own is None:
        return Check("training", "a bundle holds no untrained model of yours", possible=False)
    first = trial.splits.rows("test")[0]

    def fitted(panel: Panel) -> fitting.Fitted:
        return fitting.fit(panel, trial.splits, few.config, Progress(True), own=own)

    plain = fitted(trial.panel)
    leaks = [
        f"{what} moved by {difference(*_farthest(a, b))} when test rows changed."
        for what, a, b in _apart(plain, fitted(trial.poisoned(first, 0, reach=0)))
    ]
    before = few.backtest(cutoffs=1)
    first = trial.among(before.index, 0.0)
    known = before.index.cutoffs < first[before.index.series]
    one, other = (
        f.backtest(cutoffs=1, refit=1, quiet=True).y_pred[before.model][known]
        for f in (few, few.attach(trial.poisoned(first, 0)))
    )
    if moved(one, other).any():
        far = difference(*_farthest(one, other))
        leaks.append(f"Forecasts of a model that is fitted again moved by {far} when {trial.unknown(first, 0)}.")
    if leaks and any(True for _ in _apart(plain, fitted(trial.panel))):
        return Check("training", "two fits on the same rows differ on this machine", possible=False)
    return Check("training", f"{epochs} epoch{'s' * (epochs > 1)}, and a backtest that refits", tuple(leaks[:SHOWN]))


def _apart(one: fitting.Fitted, other: fitting.Fitted) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields what differs between two fits."""
    if one.run is not None and other.run is not None:
        for name in ("loss", "val_loss"):
            a, b = (run.history[name].to_numpy() for run in (one.run, other.run))
            if moved(a, b).any():
                yield f"The {name} by epoch", a, b
    for weight, a, b in zip(one.network.weights, one.network.get_weights(), other.network.get_weights(), strict=True):
        if moved(a, b).any():
            yield f"Weight {weight.path}", a, b
    if one.intervals is not None and other.intervals is not None:
        yield from _learned(one.intervals, other.intervals)
