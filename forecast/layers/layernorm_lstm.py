"""The LSTM cell whose gates and cell state are normalised over the units, at each step.

    (i, f, g, o) = LN(x W; a_x) + LN(h U; a_h) + b       normalised over all 4U
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(LN(c'; a_c) + b_c)

    LN(z; a) = a * (z - mean(z)) / sqrt(variance(z) + epsilon)

Unlike batch normalisation it is the same in training and at prediction, and knows nothing of other windows.

Axes: `B` windows of a batch, `U` units.

Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 20 to 22.
"""

from typing import Any

import keras
from keras import ops

from ._cell import dropped

EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="forecast")
class LayerNormLSTMCell(keras.layers.LSTMCell):
    """One step of a layer-normalised LSTM; `keras.layers.RNN(LayerNormLSTMCell(units))` is the layer.

    Args:
        units: Size of the hidden state.
        settings: Others of `keras.layers.LSTMCell`.
    """

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(units, **settings)
        self.dropout_mask_count = None  # one mask for all gates

    def build(self, input_shape: Any) -> None:
        """Makes the weights of an LSTM, and the gains of the normalisations, which start at one."""
        super().build(input_shape)
        self.input_gain = self.add_weight(shape=(4 * self.units,), name="input_gain", initializer="ones")
        self.recurrent_gain = self.add_weight(shape=(4 * self.units,), name="recurrent_gain", initializer="ones")
        self.cell_gain = self.add_weight(shape=(self.units,), name="cell_gain", initializer="ones")
        self.cell_bias = self.add_weight(shape=(self.units,), name="cell_bias", initializer="zeros")

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """Returns the new hidden state `(B, U)`, and both new states."""
        x, h, c = dropped(self, inputs, states, training)
        # The mean of `x W` over the units is `x` times the mean of `W`: taken from the kernel, once for all steps.
        z = scaled(ops.matmul(x, _centred(self.kernel)), self.input_gain)  # (B, 4U)
        z = z + scaled(ops.matmul(h, _centred(self.recurrent_kernel)), self.recurrent_gain)
        i, f, g, o = ops.split(z if self.bias is None else z + self.bias, 4, axis=-1)
        c_new = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h_new = ops.sigmoid(o) * ops.tanh(scaled(_centred(c_new), self.cell_gain) + self.cell_bias)
        return h_new, [h_new, c_new]


def scaled(z: Any, gain: Any) -> Any:
    """Returns values `(B, n)`, whose mean over the last axis is 0, with deviation 1, times a gain `(n,)`.

    Written with operations that have integer kernels on a device: no negation, no variance.
    """
    variance = ops.mean(z * z, axis=-1, keepdims=True)
    return z * ops.rsqrt(variance + EPSILON) * gain


def _centred(z: Any) -> Any:
    return z - ops.mean(z, axis=-1, keepdims=True)
