"""One operator a layer: UNIDIRECTIONAL_SEQUENCE_LSTM, which keeps its state inside.

    (1, L, F) - LSTM operator - ... - FULLY_CONNECTED - (1, H, K)

TensorFlow's converter puts the operator in the place of a function that says what it is: the attribute `api_implements`
begins with "lstm_", six arguments stand in this order, five results come back. What the function computes is thrown
away, yet it is right, so that a model which was not fused gives the same answers. Keras 2 called its LSTM that way;
Keras 3 does not.

Source: prepare_composite_functions_tf.cc and lstm_utils.cc of TensorFlow 2.21.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import DataError, ExportError

from ...layers.loops import InnerLoop, recurrent_layers
from ..converter import Graph
from ..trace import Core, traced

# Primes, so that a dimension of the batch is told from all others when it becomes 1 again.
BATCHES = (
    *(251, 241, 239, 233, 229, 227, 223, 211, 199, 197, 193, 191, 181, 179, 173, 167, 163, 157, 151, 149, 139, 137),
    *(131, 127, 113, 109, 107, 103, 101, 97, 89, 83, 79, 73, 71, 67, 61, 59, 53, 47, 43, 41, 37, 31),
)


def why_not(core: Core) -> str:
    """Returns why some layer of a core cannot be one operator; nothing where all can."""
    for layer in recurrent_layers(core.model):
        if type(layer) is not keras.layers.LSTM:
            return f"layer {layer.name!r} is a {type(layer).__name__}, and the operator is an LSTM's"
        cell = layer.cell
        if keras.activations.serialize(cell.activation) != "tanh":
            return f"layer {layer.name!r} has activation {_name(cell.activation)}, and the operator knows tanh"
        if keras.activations.serialize(cell.recurrent_activation) != "sigmoid":
            return (
                f"layer {layer.name!r} has recurrent activation {_name(cell.recurrent_activation)}, and the operator "
                "knows sigmoid"
            )
        if layer.return_state:
            return f"layer {layer.name!r} returns its state, and the operator keeps it inside"
    return ""


def _name(activation: Any) -> str:
    return str(getattr(activation, "__name__", activation))


def inner_loop(layer: keras.layers.LSTM) -> InnerLoop:
    """Returns the loop that the converter recognises."""

    def loop(
        sequences: Any, initial_state: Any, mask: Any = None, training: bool = False
    ) -> tuple[Any, Any, list[Any]]:
        h, c = initial_state
        for state in (h, c):
            value = tf.get_static_value(state)
            if value is None or np.any(value):
                raise ExportError(
                    f"A fused LSTM must start at zero. Received: an initial state for layer {layer.name!r}, which no "
                    'device could reset. Choose layout="unrolled", or leave initial_state out.'
                )
        function = tf.function(
            lambda x, h, c, kernel, recurrent, bias: _lstm(x, h, c, kernel, recurrent, bias, layer.go_backwards),
            autograph=False,
            experimental_attributes={
                "api_implements": f"lstm_{uuid.uuid4()}",
                "api_preferred_device": "CPU",
                "time_major": False,  # the pass fails without it
                "go_backwards": bool(layer.go_backwards),
            },
        )
        cell = layer.cell
        bias = tf.zeros([4 * layer.units]) if cell.bias is None else tf.convert_to_tensor(cell.bias)
        kernel, recurrent = tf.convert_to_tensor(cell.kernel), tf.convert_to_tensor(cell.recurrent_kernel)
        last, outputs, h, c, _ = function(sequences, h, c, kernel, recurrent, bias)
        return last, outputs, [h, c]

    return loop


def _lstm(x: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any, backwards: bool) -> tuple[Any, ...]:
    """One LSTM in Keras's order of gates; the converter replaces it."""
    x = tf.transpose(x, [1, 0, 2])  # (T, B, F)
    if backwards:
        x = tf.reverse(x, [0])
    T = x.shape[0]

    def step(t: Any, h: Any, c: Any, outputs: Any) -> tuple[Any, ...]:
        z = tf.matmul(x[t], kernel) + tf.matmul(h, recurrent) + bias  # (B, 4U)
        i, f, g, o = tf.split(z, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return t + 1, h, c, outputs.write(t, h)

    outputs = tf.TensorArray(tf.float32, T, element_shape=h.shape)
    _, h, c, outputs = tf.while_loop(lambda t, *_: t < T, step, [0, h, c, outputs])
    return h, tf.transpose(outputs.stack(), [1, 0, 2]), h, c, tf.constant(1.0)


def graph(core: Core, quantize: str, calibration: Mapping[str, np.ndarray], batch: int, streaming: bool) -> Graph:
    """Returns what the converter is asked for.

    The converter's calibration never resets the state between samples. So an integer core is calibrated with ONE batch
    of windows, and the batch becomes 1 afterwards; or, for a stream, with one row of each window after the other, where
    a state that goes on is what is wanted.

    Args:
        core: What is converted.
        quantize: As in `Graph`.
        calibration: Windows by input `(N, ...)`; the first `batch` of them are used.
        batch: Windows at once while calibrating, see `batch_size`; 1 for floats.
        streaming: Whether a call takes one row, `past (1, 1, F)`.
    """
    samples: dict[str, np.ndarray] = {}
    if quantize == "int8":
        samples = {one.name: calibration[one.name][None, :batch] for one in core.inputs}
        if streaming:
            samples = {"past": np.moveaxis(samples["past"][0][:, :, None], 1, 0)}  # (L, batch, 1, F)
    function = traced(core, batch, inner_loop, 1 if streaming else None)
    return Graph(f"fused {quantize}", function, core.variables, quantize, samples)


def batch_size(core: Core, windows: int) -> int:
    """Returns how many windows to calibrate with: a prime that no other dimension of the network is a multiple of.

    Raises:
        DataError: There are too few.
    """
    sizes = {int(n) for one in core.inputs for n in one.shape}
    for layer in core.model._flatten_layers():
        sizes |= {int(n) for weight in layer.weights for n in weight.shape}
        for node in layer._inbound_nodes:
            for tensor in node.output_tensors:
                sizes |= {int(n) for n in tensor.shape if n is not None}
    for prime in BATCHES:
        if prime <= windows and all(n % prime for n in sizes):
            return prime
    raise DataError(
        f"Calibration needs at least {BATCHES[-1]} windows of training rows. Received: {windows}. Give more rows, or "
        'choose quantize="float32".'
    )
