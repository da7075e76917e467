"""Runs candidates and whole files beside Keras, on LiteRT and on TFLite Micro.

A whole file runs through `forecast/edge.py`, as a device would run it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import ExportError

from .. import edge
from . import edges, parity, runtimes
from .candidates import Candidate
from .parity import Comparison
from .subject import Subject


def core_alone(
    subject: Subject, candidate: Candidate, data: bytes, runtime: Any, windows: int | None = None
) -> tuple[float, float]:
    """Returns error and saturation of a core alone."""
    runner = runtimes.CoreRunner(runtime, data, candidate.kind)
    held = {name: values[:windows] for name, values in subject.held_out.core.items()}
    answers = runner.answers(held)
    error = parity.core_error(answers, subject.held_out.y_core[:windows])
    return error, runner.saturated / max(runner.shown, 1)


def latency(data: bytes, kind: str, subject: Subject) -> float:
    """Returns the median microseconds of one window."""
    runner = runtimes.CoreRunner(runtimes.LiteRT(data), data, kind)
    window = {name: values[:1] for name, values in subject.held_out.core.items()}
    times = []
    for _ in range(60):
        start = time.perf_counter()
        runner.answers(window)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1e6, 1)


def forecasts(
    data: bytes,
    raw: Mapping[str, np.ndarray],
    whose: Sequence[str] | None = None,
    times: tuple[Sequence[str], np.ndarray] | None = None,
) -> list[edge.Forecast]:
    """Runs windows through `forecast/edge.py`, as a device would.

    Args:
        data: The whole file.
        raw: Windows in original units, by input `(N, ...)`.
        whose: Series of each, where the file holds the scalings of several.
        times: Series and cutoff of each, in time order: a streaming file is then shown the rows between two windows
            alone, and keeps its state. By default each window begins anew.
    """
    names = [None] * len(raw["past"]) if whose is None else whose
    with tempfile.TemporaryDirectory(prefix="forecast-export-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        models = {name: edge.load(path, series=name) for name in dict.fromkeys(names)}
    result: list[edge.Forecast] = []
    for n, name in enumerate(names):
        model, window = models[name], {key: values[n] for key, values in raw.items()}
        past, new = window.pop("past"), 0
        if times is not None and n and times[0][n] == times[0][n - 1]:
            new = int(times[1][n] - times[1][n - 1])
        if model.streaming and 0 < new <= len(past):
            result.append([model.push(row) for row in past[-new:]][-1])
        else:
            result.append(model.predict(past, **window))
    return result


def on_litert(
    subject: Subject, candidate: Candidate, data: bytes, about: dict[str, Any]
) -> tuple[Comparison, np.ndarray]:
    """Runs the file through `forecast/edge.py`, as a device would."""
    held = subject.held_out
    core = candidate.data()
    error, saturated = core_alone(subject, candidate, core, runtimes.LiteRT(core))
    answers = forecasts(data, held.raw, held.series if subject.per_series else None)
    for one in answers:
        if one.fallback:
            raise ExportError(f"The file must answer held-out windows. Received: {'; '.join(one.flags)}")
    y_file = np.stack([one.values for one in answers]).reshape(held.y_pred.shape)
    whole = parity.mae(y_file, held.y_pred, held.y_true, held.naive)
    return (
        Comparison("LiteRT", candidate.name, error, saturated, parity.by_step(y_file, held.y_pred), whole),
        y_file,
    )


def on_micro(subject: Subject, candidate: Candidate, data: bytes, about: dict[str, Any]) -> tuple[Comparison, int]:
    """Runs the core on TFLite Micro, and the whole file for its memory."""
    held = subject.held_out
    core = candidate.data()
    runner = runtimes.CoreRunner(runtimes.Micro(core), core, candidate.kind)
    y_core = runner.answers(held.core)
    error = parity.core_error(y_core, held.y_core)
    whole = runtimes.Micro(data)
    arena, saturated = whole.arena, runner.saturated / max(runner.shown, 1)
    if subject.scaling is None:
        y_file = y_core
    elif about["scaling"]["where"] == "file":
        raw = {name: values.astype(np.float32) for name, values in held.raw.items()}
        y_file = runtimes.CoreRunner(whole, data, candidate.kind).answers(raw)
    else:
        whose = held.series or [""] * len(y_core)
        scalings = [{**subject.scaling, **subject.per_series.get(name, {})} for name in whose]
        windows = zip(scalings, y_core[:, None], held.raw["past"][:, None], strict=True)
        y_file = np.concatenate([edges.forecasts(*window) for window in windows])
    scores = parity.mae(y_file, held.y_pred, held.y_true, held.naive)
    steps = parity.by_step(y_file, held.y_pred)
    return Comparison("TFLite Micro", candidate.name, error, saturated, steps, scores), arena
