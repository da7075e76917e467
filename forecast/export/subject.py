"""What is exported: a core, the arithmetic around it, calibration windows, and held-out windows to compare on.

Forecaster -> of_forecaster.py -+
                                +-> Subject -> tflite.build
keras.Model -> of_model --------+
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import DataError

from ..models._shell import input_names
from . import preflight
from .edges import Scaling
from .trace import Core, Input

CALIBRATION = 2048  # training windows that calibration is drawn from, and that ranges are taken of


@dataclass(frozen=True)
class HeldOut:
    """Windows to compare on, `M` of them.

    Attributes:
        part: Where they lie: "validation", or what the caller calls them.
        raw: Inputs of the file in original units, by name `(M, ...)` float64.
        core: What the core sees, by name `(M, ...)` float32.
        y_core: The core's own answers in Keras `(M, H, K[, Q])`.
        y_pred: Keras's forecasts in original units, of the same shape.
        y_true: What happened `(M, H, K)`, NaN where nobody measured; None where nobody knows.
        naive: The last value known `(M, H, K)`; None where the inputs hold no targets.
        series: Whose window each is, where the host chooses the scaling; None otherwise.
    """

    part: str
    raw: dict[str, np.ndarray]
    core: dict[str, np.ndarray]
    y_core: np.ndarray
    y_pred: np.ndarray
    y_true: np.ndarray | None
    naive: np.ndarray | None
    series: list[str] | None = None


@dataclass(frozen=True)
class Windows:
    """Windows to learn intervals on, or to count how often they hold the truth, `N` of them.

    Attributes:
        raw: Inputs of the file in original units, by name `(N, ...)` float64.
        y_true: What happened `(N, H, K)`, NaN where nobody measured.
        series: Whose each is.
        cutoffs: The last row of each `(N,)`, in time order within a series.
    """

    raw: dict[str, np.ndarray]
    y_true: np.ndarray
    series: list[str]
    cutoffs: np.ndarray


@dataclass(frozen=True)
class Uncertain:
    """What a network with intervals brings along.

    Attributes:
        calibration: Windows of the calibration part of the rows, which taught the network's intervals.
        test: Windows of the test part; None where that holds none.
        network: Low and high ends `(N, H, K)` of the network's own intervals of `test`, by level.
    """

    calibration: Windows
    test: Windows | None
    network: Mapping[float, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Subject:
    """A network to export.

    Attributes:
        core: What is converted.
        about: Metadata that do not depend on the layout.
        scaling: The arithmetic around the core, see `edges.py`; None for a plain Keras model.
        per_series: Scalings by series, where the host chooses one; empty otherwise.
        calibration: Windows that the core saw in training, by input, in random order.
        held_out: Windows to compare on.
        uncertain: What intervals are learned on; None where the network has none.
    """

    core: Core
    about: dict[str, Any]
    scaling: Scaling | None
    per_series: dict[str, dict[str, Any]]
    calibration: dict[str, np.ndarray]
    held_out: HeldOut
    uncertain: Uncertain | None = None


def of_model(model: keras.Model, calibration: Any, held_out: Any, y_true: np.ndarray | None, seed: int) -> Subject:
    """Returns a plain Keras model as a subject.

    Args:
        model: Sequential or functional, built, with one output.
        calibration: Windows that it was trained on: an array, or arrays by the names of its inputs.
        held_out: Windows to compare on, likewise; every fifth of `calibration` where it is None.
        y_true: What happened after the held-out windows.
        seed: Orders the calibration windows.
    """
    preflight.check(model)
    names = input_names(model)
    shapes = [tuple(int(n) for n in tensor.shape[1:]) for tensor in model.inputs]
    core = Core(model, tuple(map(Input, names, shapes)), {})
    windows = _windows(calibration, core, "calibration")
    count = len(windows["past"])
    lookback = next((one.shape[0] for one in core.inputs if one.name == "past" and one.shape), 1)
    if held_out is None:
        every = np.arange(count) % 5 == 4
        part, kept = "every fifth calibration window", {name: values[every] for name, values in windows.items()}
        windows = {name: values[~every] for name, values in windows.items()}
        y_true = None if y_true is None else np.asarray(y_true)[every] if len(y_true) == count else y_true
    else:
        part, kept = "held-out windows", _windows(held_out, core, "held_out")
    order = np.random.default_rng(seed).permutation(len(windows["past"]))[:CALIBRATION]
    if not len(kept["past"]):
        raise DataError("At least 5 windows are needed to compare on. Received: none. Give held_out=windows.")
    y = answers(core, kept)
    if y_true is not None and np.shape(y_true) != y.shape:
        raise DataError(
            f"`y_true` must hold what happened after each window to compare on, in the shape of the model's answers "
            f"{y.shape}. Received: {np.shape(y_true)}."
        )
    about = {"name": "", "model": model.name, "columns": [], "targets": [], "unit": "", "series": None}
    about |= {"lookback": lookback, "gap": 0, "horizon": int(y.shape[1]), "quantiles": []}
    about |= {"dates": {"freq": None, "calendar": None, "zone": "", "seconds": None}, "bundle": None}
    return Subject(
        core=core,
        about=about | {"missing": {"policy": "last", "limit": 0}, "range": None},
        scaling=None,
        per_series={},
        calibration={name: values[order] for name, values in windows.items()},
        held_out=HeldOut(part, {n: v.astype(np.float64) for n, v in kept.items()}, kept, y, y, y_true, None),
    )


def _windows(given: Any, core: Core, what: str) -> dict[str, np.ndarray]:
    if not isinstance(given, Mapping):
        arrays = list(given) if isinstance(given, list | tuple) else [given]
        given = dict(zip([one.name for one in core.inputs], arrays, strict=False))
    names = {one.name: tensor.name for one, tensor in zip(core.inputs, core.model.inputs, strict=True)}
    result = {}
    for one in core.inputs:
        values = given.get(one.name, given.get(names[one.name]))
        values = None if values is None else np.asarray(values, np.float32)
        if values is None or values.shape[1:] != one.shape:
            raise DataError(
                f"`{what}` must hold windows (N, {', '.join(map(str, one.shape))}) for input {names[one.name]!r}. "
                f"Received: {'nothing' if values is None else values.shape}."
            )
        result[one.name] = values
    counts = {name: len(values) for name, values in result.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise DataError(f"`{what}` must hold as many windows of each input. Received: {said}.")
    return result


def answers(core: Core, windows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns what Keras answers to windows of what a core sees."""
    parts = []
    for first in range(0, len(windows["past"]), 256):
        inputs = [tf.constant(windows[one.name][first : first + 256]) for one in core.inputs]
        parts.append(core.call(*inputs).numpy())
    return np.concatenate(parts)
