"""Repairs silent defects of the converter's integer LSTM in the file it wrote. Each says what it did.

    cell scale      below 2^-15 LiteRT's tanh returns without writing: two runtimes give two answers
    moved scale     an operator that joins sequences rewrites the scale of a reversed one, and not before it
    state scale     an operator behind the LSTM may rewrite its output's scale, and leave that of its state
    batch           calibration never resets the state, so it saw one batch of windows: the batch becomes 1 again
    cell clip       the converter writes 10, also for floats, and calibrates with it; Keras clips nothing
    cell peak       calibration sees a cell state at the end of a window, not its largest value inside

Two more need no repair here: a device resets the state before each window (`forecast/edge.py`), and normalisation
stays in float operations around the integer core (`graft.py`).
"""

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pipelines.errors import ExportError

from . import flatbuffer
from .runtimes import captured

PEAK_WINDOWS = 128  # windows that cell states are followed through
LOWEST_CELL_SCALE, HIGHEST_CELL_SCALE = 2.0**-15, 2.0**-9

# Where the operator UNIDIRECTIONAL_SEQUENCE_LSTM keeps its tensors.
_HIDDEN_STATE, _CELL_STATE, _HIDDEN_SCALE = 18, 19, 4

# Operators that move values and compute none: what they give has the scale of what they read.
MOVING = {"REVERSE_V2", "RESHAPE", "STRIDED_SLICE", "SLICE", "SPLIT", "SPLIT_V", "TRANSPOSE", "EXPAND_DIMS", "SQUEEZE"}

# Operators that take a shape as a constant.
_SHAPED = {"RESHAPE", "BROADCAST_TO", "FILL", "SLICE", "STRIDED_SLICE"}


def lstms(model: Any) -> list[Any]:
    """Returns the fused LSTM operators of a model, in order."""
    return [
        op
        for op in model.subgraphs[0].operators
        if isinstance(op.builtinOptions, schema.UnidirectionalSequenceLSTMOptionsT)
    ]


def cell_clip(model: Any) -> list[str]:
    """Turns clipping of the cell state off."""
    done = []
    for op in lstms(model):
        if op.builtinOptions.cellClip:
            done.append(f"cell clip {op.builtinOptions.cellClip:g} -> none")
            op.builtinOptions.cellClip = 0.0
    return done


def cell_peak(model: Any, floats: Any, windows: Mapping[str, np.ndarray]) -> list[str]:
    """Widens the scale of cell states to their largest values inside windows: calibration sees the last one only.

    Args:
        model: An int8 core, changed in place.
        floats: The same core in floats, for a batch of one window.
        windows: What the core saw in training, by input `(N, ...)`.
    """
    done = []
    for op, peak in zip(lstms(model), _peaks(floats, windows), strict=True):
        tensor = model.subgraphs[0].tensors[op.inputs[_CELL_STATE]]
        if not flatbuffer.quantised(tensor):
            continue
        before = float(tensor.quantization.scale[0])
        needed = 2.0 ** np.ceil(np.log2(max(peak, 1e-12) / 32767))
        if needed > before:
            tensor.quantization.scale = np.array([needed], np.float32)
            done.append(f"cell peak 2^{np.log2(before):.0f} -> 2^{np.log2(needed):.0f}, from inside the windows")
    return done


def _peaks(floats: Any, windows: Mapping[str, np.ndarray]) -> list[float]:
    """Returns the largest absolute cell state of each LSTM operator."""
    from ai_edge_litert.interpreter import Interpreter

    operators = lstms(floats)
    data = flatbuffer.write(copy.deepcopy(floats))
    with warnings.catch_warnings(), captured():  # keeping all tensors takes memory, and says so
        warnings.simplefilter("ignore")
        interpreter = Interpreter(model_content=data, num_threads=1, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    seen: list[list[np.ndarray]] = [[] for _ in operators]
    details = interpreter.get_input_details()
    for n in range(min(PEAK_WINDOWS, len(windows["past"]))):
        interpreter.reset_all_variables()
        for detail in details:
            interpreter.set_tensor(detail["index"], windows[detail["name"]][n][None].astype(np.float32))
        interpreter.invoke()
        for op, kept in zip(operators, seen, strict=True):
            kept.append(interpreter.get_tensor(int(op.inputs[0]))[0])
    return [_peak(floats, op, np.stack(kept)) for op, kept in zip(operators, seen, strict=True)]


def _peak(floats: Any, op: Any, x: np.ndarray) -> float:
    """Runs one LSTM over sequences `(N, T, F)`; its gates stand in the order input, forget, cell, output."""

    def joined(places: range) -> np.ndarray:
        parts = [flatbuffer.constant(floats, int(op.inputs[place])) for place in places]
        return np.concatenate([np.asarray(part, np.float64) for part in parts])

    kernel, recurrent, bias = joined(range(1, 5)).T, joined(range(5, 9)).T, joined(range(12, 16))
    h = c = np.zeros((len(x), recurrent.shape[0]))
    largest = 0.0
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        largest = max(largest, float(np.abs(c).max()))
    return largest


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def cell_scale(model: Any) -> list[str]:
    """Brings the scale of cell states into the range that every runtime computes."""
    done = []
    tensors = model.subgraphs[0].tensors
    for op in lstms(model):
        tensor = tensors[op.inputs[_CELL_STATE]]
        if not flatbuffer.quantised(tensor):
            continue
        before = float(tensor.quantization.scale[0])
        after = min(max(before, LOWEST_CELL_SCALE), HIGHEST_CELL_SCALE)
        if after != before:
            tensor.quantization.scale = np.array([after], np.float32)
            done.append(f"cell scale 2^{np.log2(before):.0f} -> 2^{np.log2(after):.0f}")
    return done


def moved_scale(model: Any) -> list[str]:
    """Brings values that were only moved to the scale on which they are read: moving computes no other one."""
    done = []
    graph = model.subgraphs[0]
    names = flatbuffer.operators(model)
    for op, name in list(zip(graph.operators, names, strict=True)):
        moved = int(op.inputs[1 if name == "SPLIT" else 0])
        before = graph.tensors[moved]
        for index in map(int, op.outputs if name in MOVING else ()):
            after = graph.tensors[index]
            if not flatbuffer.quantised(before) or not flatbuffer.quantised(after):
                continue
            old, new = before.quantization, after.quantization
            if old.scale[0] != new.scale[0] or old.zeroPoint[0] != new.zeroPoint[0]:
                done.append(f"moved scale {old.scale[0]:.3g} -> {new.scale[0]:.3g}, computed after {name}")
                flatbuffer.requantise(model, op, index, old)
    return done


def state_scale(model: Any) -> list[str]:
    """Gives a layer's hidden state the scale of its output: they are the same values."""
    done = []
    tensors = model.subgraphs[0].tensors
    for op in lstms(model):
        output = tensors[op.outputs[0]].quantization
        if not flatbuffer.quantised(tensors[op.outputs[0]]):
            continue
        for index in (op.inputs[_HIDDEN_STATE], op.intermediates[_HIDDEN_SCALE]):
            state = tensors[index].quantization
            if state.scale[0] != output.scale[0] or state.zeroPoint[0] != output.zeroPoint[0]:
                done.append(f"state scale {state.scale[0]:.3g} -> {output.scale[0]:.3g}, as its output's")
                state.scale, state.zeroPoint = np.array(output.scale), np.array(output.zeroPoint)
    return done


def batch(model: Any, size: int) -> list[str]:
    """Turns a graph for `size` windows at once into one for a single window.

    Args:
        model: Changed in place.
        size: A prime that divides no dimension of the graph but those that hold the batch.

    Raises:
        ExportError: A constant differs between the windows of a batch.
    """
    graph = model.subgraphs[0]

    def smaller(shape: Any) -> Any:
        return (
            None if shape is None else np.array([n // size if n > 0 and n % size == 0 else n for n in shape], np.int32)
        )

    shared = {int(i) for op in graph.operators for i in op.inputs if i >= 0}
    for index in sorted(shared):
        tensor, values = graph.tensors[index], flatbuffer.constant(model, index)
        if values is None or not values.ndim or values.shape[0] % size:
            continue
        windows = values.reshape(size, -1)
        if (windows != windows[0]).any():
            raise ExportError(
                f"Constants must be the same for all windows. Received: {tuple(values.shape)}, which differs along the "
                'batch. Choose layout="unrolled".'
            )
        flatbuffer.set_constant(model, index, windows[0])
    for tensor in graph.tensors:
        tensor.shape, tensor.shapeSignature = smaller(tensor.shape), None
    for op, name in zip(graph.operators, flatbuffer.operators(model), strict=True):
        options = op.builtinOptions
        if isinstance(options, schema.ReshapeOptionsT):
            options.newShape = smaller(options.newShape)
        for index in op.inputs if name in _SHAPED else ():
            values = flatbuffer.constant(model, int(index))
            if values is not None and values.dtype == np.int32:
                flatbuffer.set_constant(model, int(index), smaller(values.reshape(-1)))
    return [f"calibrated with one batch of {size} windows, batch {size} -> 1"]


def dimensions(model: Any) -> set[int]:
    """Returns every size that occurs in a graph, in shapes and in constants that are shapes."""
    graph = model.subgraphs[0]
    found = {int(n) for tensor in graph.tensors if tensor.shape is not None for n in tensor.shape}
    for op, name in zip(graph.operators, flatbuffer.operators(model), strict=True):
        for index in op.inputs if name in _SHAPED else ():
            values = flatbuffer.constant(model, int(index))
            if values is not None and values.dtype == np.int32:
                found |= {abs(int(n)) for n in values.reshape(-1)}
    return found
