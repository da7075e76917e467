"""Golden values of a file, and the C files that hold them: windows with the answers that the file itself gave.

held-out windows, raw units - the host's arithmetic - tensors - [ the file on LiteRT ] - y - the host's - forecast
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from pipelines.errors import ExportError

from . import edges, flatbuffer
from .c_files import Golden, Tensor, c_files
from .runtimes import CoreRunner, LiteRT

if TYPE_CHECKING:
    from .tflite import Built

ON_MICRO = ("float32", "int8", "int16")


def c_sources(built: Built) -> dict[str, str]:
    """Returns the C files of a file by name.

    Raises:
        ExportError: TFLite Micro lacks an operator of it or its kernels, or refused it when it was compared.
    """
    if built.about["quantize"] not in ON_MICRO:
        raise ExportError(
            f"TFLite Micro has kernels for {', '.join(ON_MICRO)}. Received: {built.about['quantize']}. Choose one of "
            "those."
        )
    for row in built.tried:
        _, refused, why = str(row["result"]).partition("not on TFLite Micro: ")
        if refused:
            raise ExportError(why)
    runner = runner_of(built)
    inputs, outputs = (
        [Tensor(t.name, t.shape, t.dtype.name, t.scale, t.zero) for t in ends]
        for ends in (runner.inputs, runner.outputs)
    )
    about, operators = built.about, flatbuffer.operators(flatbuffer.read(built.data))
    if not about["targets"]:  # nobody named what a plain Keras model answers
        many = outputs[0].size // (about["horizon"] * max(1, len(about["quantiles"])))
        about = {**about, "targets": [f"output {k + 1}" for k in range(many)]}
    return c_files(built.data, about, operators, inputs, outputs, golden(built, runner), built.cost["arena"])


def runner_of(built: Built) -> CoreRunner:
    """Returns the file on LiteRT, fed as its metadata say."""
    about = built.about
    kind = "step" if about["layout"] == "step" else "window" if about["state"]["kind"] == "windowed" else "streaming"
    return CoreRunner(LiteRT(built.data), built.data, kind)


def golden(built: Built, runner: CoreRunner) -> Golden:
    """Returns a few held-out windows: in original units, as the file takes them, and what it answers."""
    scaling, few = built.about["scaling"], built.shown["few"]
    raw = {name: np.asarray(values[few], np.float32) for name, values in built.shown["raw"].items()}
    host = scaling is not None and scaling["where"] == "host"
    seen = _scaled(scaling, raw) if host else raw
    y = runner.answers(seen)  # state reset before each
    named = {tensor.name: tensor for tensor in runner.inputs}
    return Golden(
        raw=raw,
        tensors={name: named[name].quantised(values) for name, values in seen.items()},
        y=runner.outputs[0].quantised(y),  # the integers that it was made of
        forecast=edges.forecasts(scaling, y, raw["past"].astype(np.float64)) if host else y,
    )


def _scaled(scaling: Mapping[str, Any], raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what the core sees of windows, by input."""
    found = edges.before(scaling, {name: tf.constant(values) for name, values in raw.items()})
    return {name.removeprefix("x_"): value.numpy() for name, value in found.items() if name.startswith("x_")}
