"""The LSTM cell whose gates and cell state are normalised over the units, at each step.

    (i, f, g, o) = LN(x W + h U; a) + b                  normalised over all 4U
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(LN(c'; a_c) + b_c)

    LN(z; a) = a * (z - mean(z)) / sqrt(variance(z) + epsilon)

Unlike batch normalisation it is the same in training and at prediction, and knows nothing of other windows.

Axes: `B` windows of a batch, `U` units.

Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 20 to 22, but that the sum of both products is
normalised once: an input near zero is then not blown up to the size of any other.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from ._cell import OwnCell

# Variances below these count as these: of gates, about a third of the usual one before training; of cell states, which
# grow from zero over a window. Smaller ones would blow up the first steps, and leave the integers of a device no room.
GATES, CELL = 1e-2, 1.0

# Where gains start: with 1, tanh and the gates work where their gradients fade (Cooijmans et al. 2016,
# https://arxiv.org/abs/1603.09025).
GAIN = 0.25


@keras.saving.register_keras_serializable(package="forecast")
class LayerNormLSTMCell(OwnCell):
    """One step of a layer-normalised LSTM; `keras.layers.RNN(LayerNormLSTMCell(units))` is the layer."""

    def build(self, input_shape: Any) -> None:
        """Makes the weights of an LSTM, and the gains of the normalisations."""
        super().build(input_shape)
        gain = keras.initializers.Constant(GAIN)
        self.gate_gain = self.add_weight(shape=(4 * self.units,), name="gate_gain", initializer=gain)
        self.cell_gain = self.add_weight(shape=(self.units,), name="cell_gain", initializer=gain)
        self.cell_bias = self.add_weight(shape=(self.units,), name="cell_bias", initializer="zeros")

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """Returns the new hidden state `(B, U)`, and both new states."""
        x, h, c = self.dropped(inputs, states, training)
        # The mean of `x W` over the units is `x` times the mean of `W`: taken from the kernel, once for all steps.
        z = ops.matmul(x, _centred(self.kernel)) + ops.matmul(h, _centred(self.recurrent_kernel))  # (B, 4U)
        z = scaled(z, self.gate_gain, GATES)
        i, f, g, o = ops.split(z if self.bias is None else z + self.bias, 4, axis=-1)
        c_new = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        h_new = self.recurrent_activation(o) * self.activation(
            scaled(_centred(c_new), self.cell_gain, CELL) + self.cell_bias
        )
        return h_new, [h_new, c_new]


def scaled(z: Any, gain: Any, epsilon: float) -> Any:
    """Returns values `(B, n)`, whose mean over the last axis is 0, with deviation 1, times a gain `(n,)`.

    The mean square is a product with a constant, so that on a device epsilon is the bias of it: in integers, a sum of
    two numbers so different in size has no kernel.
    """
    n = z.shape[-1]
    variance = ops.matmul(z * z, np.full((n, 1), 1 / n, np.float32)) + np.full(1, epsilon, np.float32)  # (B, 1)
    return z * (ops.rsqrt(variance) * gain)


def _centred(z: Any) -> Any:
    return z - ops.mean(z, axis=-1, keepdims=True)
