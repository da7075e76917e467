"""The gates of a recurrent layer by its equations, in float64: a step of each kind of cell, and the run over a window.

    x (T, C)  ->  step, step, step, ...  ->  gates and states by name (T, U) each
                  from the layer's weights

Axes: `T` steps, `C` what the layer sees of each, `U` units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LSTM = ("input gate", "forget gate", "output gate", "cell state", "hidden state")
GRU = ("update gate", "reset gate", "hidden state")

Step = Callable[..., tuple[np.ndarray, ...]]  # (x, states) -> gates and states, in the order of their names


def one_way(layer: Any) -> Any:
    """Returns the layer itself, or of one that reads both ways the one that reads forwards."""
    return getattr(layer, "forward_layer", layer)


def called(layer: Any) -> str:
    one = one_way(layer)
    cell = type(getattr(one, "cell", one)).__name__
    return f"{type(one).__name__} of {cell}" if type(one).__name__ == "RNN" else type(one).__name__


def equations(layer: Any) -> tuple[str, tuple[str, ...], Callable[[Any], Step]] | None:
    """Returns what a layer is called, the names of its gates and how a step is made; None where it is of other kinds.

    The class itself decides, not what it is derived from: a cell derived from another has equations of its own.
    """
    import keras

    from ..layers.layernorm_lstm import LayerNormLSTMCell
    from ..layers.peephole_lstm import PeepholeLSTMCell

    return {
        keras.layers.LSTMCell: ("LSTM", LSTM, _lstm),
        keras.layers.GRUCell: ("GRU", GRU, _gru),
        PeepholeLSTMCell: ("peephole LSTM", LSTM, _peephole_lstm),
        LayerNormLSTMCell: ("layer-normalised LSTM", LSTM, _layernorm_lstm),
    }.get(type(getattr(one_way(layer), "cell", None)))


def run(layer: Any, x: np.ndarray, starts: list[np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns what a layer is called, and its gates and states by name `(T, U)`, in the order of its steps.

    Args:
        layer: One whose equations are known.
        x: What it sees `(T, C)`.
        starts: The states that it starts from `(U,)` each, in Keras's order: hidden, cell; none for zeros.
    """
    kind, names, make = equations(layer) or ("", (), _lstm)
    one = one_way(layer)
    cell = one.cell
    step = make(cell)
    states = starts or [np.zeros(cell.units) for _ in range(2 if "cell state" in names else 1)]
    found = []
    for now in x[::-1] if one.go_backwards else x:
        found.append(step(now, *states))
        states = list(found[-1][: -len(states) - 1 : -1])  # hidden state, cell state
    if one is not layer:
        kind = f"forward {kind}"
    elif one.go_backwards:
        kind = f"backward {kind}"
    return kind, {name: np.stack(values) for name, values in zip(names, zip(*found, strict=True), strict=True)}


def _lstm(cell: Any) -> Step:
    """`c' = f * c + i * tanh(g)`, `h' = o * tanh(c')`; Keras's order is i, f, g, o."""
    W, U, b = _weights(cell, cell.kernel, cell.recurrent_kernel, cell.bias)
    sigmoid, tanh = _function(cell.recurrent_activation), _function(cell.activation)

    def step(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
        i, f, g, o = np.split(x @ W + h @ U + b, 4)
        i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
        c = f * c + i * tanh(g)
        return i, f, o, c, o * tanh(c)

    return step


def _gru(cell: Any) -> Step:
    """`h' = z * h + (1 - z) * tanh(...)`; Keras's order is z, r, h."""
    W, U, b = _weights(cell, cell.kernel, cell.recurrent_kernel, cell.bias)
    b, c = b if np.ndim(b) == 2 else (b, np.zeros(np.shape(b)))  # one bias for each product, where r comes after them
    sigmoid, tanh = _function(cell.recurrent_activation), _function(cell.activation)
    n = cell.units

    def step(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, ...]:
        given, held = x @ W + b, h @ U + c
        z, r = np.split(sigmoid(given[: 2 * n] + held[: 2 * n]), 2)
        inner = r * held[2 * n :] if cell.reset_after else (r * h) @ U[:, 2 * n :]
        return z, r, z * h + (1 - z) * tanh(given[2 * n :] + inner)

    return step


def _peephole_lstm(cell: Any) -> Step:
    """Those of `forecast/layers/peephole_lstm.py`."""
    W, U, b, p = _weights(cell, cell.kernel, cell.recurrent_kernel, cell.bias, cell.peepholes)
    p_i, p_f, p_o = np.split(p, 3)

    def step(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
        i, f, g, o = np.split(x @ W + h @ U + b, 4)
        i, f = _sigmoid(i + p_i * c), _sigmoid(f + p_f * c)
        c = f * c + i * np.tanh(g)
        o = _sigmoid(o + p_o * c)
        return i, f, o, c, o * np.tanh(c)

    return step


def _layernorm_lstm(cell: Any) -> Step:
    """Those of `forecast/layers/layernorm_lstm.py`."""
    from ..layers.layernorm_lstm import CELL, GATES

    W, U, b = _weights(cell, cell.kernel, cell.recurrent_kernel, cell.bias)
    of_gates, of_cell, shift = _weights(cell, cell.gate_gain, cell.cell_gain, cell.cell_bias)

    def normal(z: np.ndarray, gain: np.ndarray, least: float) -> np.ndarray:
        return gain * (z - z.mean()) / np.sqrt(z.var() + least)

    def step(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
        i, f, g, o = np.split(normal(x @ W + h @ U, of_gates, GATES) + b, 4)
        i, f, o = _sigmoid(i), _sigmoid(f), _sigmoid(o)
        c = f * c + i * np.tanh(g)
        return i, f, o, c, o * np.tanh(normal(c, of_cell, CELL) + shift)

    return step


def _weights(cell: Any, *weights: Any) -> list[np.ndarray]:
    """Returns weights of a cell as float64; a bias that it has not is zeros."""
    import keras

    width = int(cell.kernel.shape[1])
    return [
        np.zeros(width) if one is None else np.asarray(keras.ops.convert_to_numpy(one), np.float64) for one in weights
    ]


def _function(activation: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Returns an activation of Keras on float64 arrays."""
    import keras

    if activation is keras.activations.sigmoid:
        return _sigmoid
    if activation is keras.activations.tanh:
        return np.tanh
    return lambda z: np.asarray(keras.ops.convert_to_numpy(activation(keras.ops.convert_to_tensor(z))), np.float64)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * z))  # never overflows
