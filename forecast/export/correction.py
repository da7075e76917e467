"""Takes out of an integer core's answers the error that is the same in every window, with calibration windows.

    answers of the file, of Keras  ->  y = gain * answer + bias[h, k]  ->  weights and bias of the last FULLY_CONNECTED

Rounding to integers is not fair: over the steps of a recurrence its errors add up to one direction, which a gain and a
bias for each answer take back. Both go into the scales and the 32-bit bias of the last operator, so the file has no
operator more, and its integers are the same. What varies from window to window stays.

Source: Nagel et al. (2019), https://arxiv.org/abs/1906.04721, section 4.2: bias correction by calibration windows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import flatbuffer, runtimes
from .candidates import INTEGERS, Candidate
from .repairs import MOVING
from .subject import answers
from .trace import Core

WINDOWS = 256  # that the file is run over


def correct(candidate: Candidate, core: Core, calibration: Mapping[str, np.ndarray]) -> None:
    """Corrects a candidate in place and notes it in its log; leaves it where its answers come from another operator.

    Args:
        candidate: A core of integers, of any layout.
        core: The network in Keras.
        calibration: Windows that it saw in training, by input `(N, ...)`.
    """
    if candidate.quantize not in INTEGERS:
        return
    last = _last(candidate.model)
    if last is None:
        return
    windows = {name: values[:WINDOWS] for name, values in calibration.items()}
    data = candidate.data()
    file = runtimes.CoreRunner(runtimes.LiteRT(data), data, candidate.kind).answers(windows)
    keras = answers(core, windows)
    file, keras = (y.reshape(len(y), -1).astype(np.float64) for y in (file, keras))  # (N, H * K)
    moved, wanted = file - file.mean(axis=0), keras - keras.mean(axis=0)
    square = float((moved**2).sum())
    gain = float((moved * wanted).sum()) / square if square else 1.0
    if not 0.5 < gain < 2.0:  # such a file is broken, and nothing here mends it
        gain = 1.0
    bias = keras.mean(axis=0) - gain * file.mean(axis=0)  # (H * K,)
    if _apply(candidate.model, *last, gain, bias):
        candidate.log.append(
            f"answers: gain {gain:.4f}, bias up to {np.abs(bias).max():.3g}, from {len(file)} calibration windows"
        )


def _last(model: Any) -> tuple[Any, list[int]] | None:
    """Returns the FULLY_CONNECTED that gives the answers, and the tensors from its result to the answers."""
    graph = model.subgraphs[0]
    names = flatbuffer.operators(model)
    made = {int(i): (op, name) for op, name in zip(graph.operators, names, strict=True) for i in op.outputs}
    used = [int(i) for op in graph.operators for i in op.inputs]
    index, way = int(graph.outputs[0]), []
    while index in made:
        op, name = made[index]
        if name != "DEQUANTIZE":
            way.append(index)
            if used.count(index) > 1:
                return None  # somebody else reads it, too
        if name == "FULLY_CONNECTED":
            return op, way
        if name != "DEQUANTIZE" and name not in MOVING:
            return None
        index = int(op.inputs[0])
    return None


def _apply(model: Any, op: Any, way: list[int], gain: float, bias: np.ndarray) -> bool:
    """Lets the operator answer `gain * y + bias`; returns whether it can."""
    graph = model.subgraphs[0]
    source = graph.tensors[int(op.inputs[0])]
    weights = flatbuffer.constant(model, int(op.inputs[1]))
    offsets = flatbuffer.constant(model, int(op.inputs[2])) if len(op.inputs) > 2 else None
    if weights is None or offsets is None or len(bias) % len(offsets):
        return False
    bias = bias.reshape(-1, len(offsets)).mean(
        axis=0
    )  # one bias serves several steps where a layer answers step by step
    for place in (1, 2):  # others may read them, too
        graph.tensors.append(copy.deepcopy(graph.tensors[int(op.inputs[place])]))
        op.inputs[place] = len(graph.tensors) - 1
    kernel = graph.tensors[int(op.inputs[1])]
    kernel.quantization.scale = (np.asarray(kernel.quantization.scale, np.float64) * gain).astype(np.float32)
    added = graph.tensors[int(op.inputs[2])]
    # A kernel knows the bias in units of input times weights.
    unit = float(source.quantization.scale[0]) * np.asarray(kernel.quantization.scale, np.float64)
    added.quantization.scale = unit.astype(np.float32)
    low, high = np.iinfo(offsets.dtype).min, np.iinfo(offsets.dtype).max
    flatbuffer.set_constant(
        model, int(op.inputs[2]), np.clip(np.round(offsets + bias / unit), low, high).astype(offsets.dtype)
    )
    for index in way:
        tensor = graph.tensors[index]
        tensor.quantization = copy.deepcopy(tensor.quantization)
        tensor.quantization.scale = (np.asarray(tensor.quantization.scale, np.float64) * gain).astype(np.float32)
    return True
