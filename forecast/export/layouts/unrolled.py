"""Every time step written out, with the input projection of all steps hoisted into one product.

    (1, L, F) - one FULLY_CONNECTED - slices (1, 4U) - [ + h @ R - gates - h ] x L - ... - (1, H, K)

Ten operators a step and layer, so the file grows with the lookback. It needs no state, runs with XNNPACK's kernels on
application processors, and takes any cell: those that are not hoisted here are unrolled by Keras.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...layers.loops import InnerLoop
from ..converter import Graph
from ..trace import Core, traced

SAMPLES = 128  # calibration windows; each is one run of the float graph


def why_not(core: Core) -> str:
    """Returns why a core cannot be unrolled: any can."""
    return ""


def inner_loop(layer: keras.layers.RNN) -> InnerLoop:
    """Returns the loop over steps, written out."""
    hoisted = {keras.layers.LSTM: _lstm, keras.layers.GRU: _gru}.get(type(layer))
    if hoisted is None or (hoisted is _gru and not layer.reset_after):
        return _by_keras(layer)

    def loop(
        sequences: Any, initial_state: Any, mask: Any = None, training: bool = False
    ) -> tuple[Any, Any, list[Any]]:
        T, F = sequences.shape[1:]
        zero = [_is_zero(state) for state in initial_state]
        cell = layer.cell
        x = tf.reshape(sequences, [T, F])  # the batch is 1
        steps = range(T)[::-1] if layer.go_backwards else range(T)
        states: list[Any] = [None if empty else state for empty, state in zip(zero, initial_state, strict=True)]
        outputs = []
        projected = None
        for t in steps:
            if projected is None:
                projected = tf.matmul(x, tf.convert_to_tensor(cell.kernel)) + _bias(cell, 0)  # (T, gates * U)
            states = hoisted(layer, projected[t : t + 1], states)
            outputs.append(states[0])
        return outputs[-1], tf.stack(outputs, axis=1), states

    return loop


def _is_zero(state: Any) -> bool:
    value = tf.get_static_value(state)
    return value is not None and not np.any(value)


def _bias(cell: Any, row: int) -> Any:
    if cell.bias is None:
        return 0.0
    bias = tf.convert_to_tensor(cell.bias)
    return bias[row] if bias.shape.rank == 2 else bias


def _lstm(layer: Any, z: Any, states: list[Any]) -> list[Any]:
    """One step: gates in Keras's order i, f, c, o. No state is a state of zeros."""
    h, c = states
    U = layer.units
    gate, activation = layer.cell.recurrent_activation, layer.cell.activation
    if h is not None:
        z = z + tf.matmul(h, tf.convert_to_tensor(layer.cell.recurrent_kernel))  # (1, 4U)
    if c is None:  # nothing to forget; a SPLIT with a result that nobody uses would stay float
        c = gate(z[:, :U]) * activation(z[:, 2 * U : 3 * U])
        return [gate(z[:, 3 * U :]) * activation(c), c]
    i, f, g, o = tf.split(z, 4, axis=1)
    c = gate(f) * c + gate(i) * activation(g)
    return [gate(o) * activation(c), c]


def _gru(layer: Any, x: Any, states: list[Any]) -> list[Any]:
    """One step of a GRU with `reset_after`: gates in Keras's order z, r, h."""
    (h,) = states
    gate, activation = layer.cell.recurrent_activation, layer.cell.activation
    U = layer.units
    # Without a state some gate may come to nothing; a SPLIT with a result that nobody uses would stay float.
    xz, xr, xh = tf.split(x, 3, axis=1) if h is not None else (x[:, :U], x[:, U : 2 * U], x[:, 2 * U :])
    recurrent, bias = tf.convert_to_tensor(layer.cell.recurrent_kernel), _bias(layer.cell, 1)
    if h is None:
        bias = tf.zeros([3 * U]) if layer.cell.bias is None else bias
        hz, hr, hh = bias[None, :U], bias[None, U : 2 * U], bias[None, 2 * U :]
    else:
        hz, hr, hh = tf.split(tf.matmul(h, recurrent) + bias, 3, axis=1)
    z = gate(xz + hz)
    new = activation(xh + gate(xr + hr) * hh)
    return [new - z * new if h is None else new + z * (h - new)]


def _by_keras(layer: keras.layers.RNN) -> InnerLoop:
    original = layer.inner_loop

    def loop(*args: Any, **kwargs: Any) -> tuple[Any, Any, list[Any]]:
        before, layer.unroll = layer.unroll, True
        try:
            result: tuple[Any, Any, list[Any]] = original(*args, **kwargs)
        finally:
            layer.unroll = before
        return result

    return loop


def graph(core: Core, quantize: str, calibration: Mapping[str, np.ndarray]) -> Graph:
    """Returns what the converter is asked for; there is no state, so samples are single windows."""
    integer = quantize in ("int8", "int16")
    samples = {one.name: calibration[one.name][:SAMPLES, None] for one in core.inputs} if integer else {}
    return Graph(f"unrolled {quantize}", traced(core, 1, inner_loop), core.variables, quantize, samples)
