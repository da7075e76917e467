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
        z = normalised(ops.matmul(x, self.kernel), self.input_gain)  # (B, 4U)
        z = z + normalised(ops.matmul(h, self.recurrent_kernel), self.recurrent_gain)
        i, f, g, o = ops.split(z if self.bias is None else z + self.bias, 4, axis=-1)
        c_new = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h_new = ops.sigmoid(o) * ops.tanh(normalised(c_new, self.cell_gain) + self.cell_bias)
        return h_new, [h_new, c_new]


def normalised(z: Any, gain: Any) -> Any:
    """Returns values `(B, n)` with mean 0 and deviation 1 over the last axis, times a gain `(n,)`.

    Written with operations that have integer kernels on a device: no negation, no variance.
    """
    centred = z - ops.mean(z, axis=-1, keepdims=True)
    variance = ops.mean(centred * centred, axis=-1, keepdims=True)
    return centred * ops.rsqrt(variance + EPSILON) * gain
