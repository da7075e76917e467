"""The LSTM cell whose gates see the cell state.

    i = sigmoid(x W_i + h U_i + p_i * c + b_i)          input gate
    f = sigmoid(x W_f + h U_f + p_f * c + b_f)          forget gate
    c' = f * c + i * tanh(x W_c + h U_c + b_c)
    o = sigmoid(x W_o + h U_o + p_o * c' + b_o)         output gate, which sees the new cell state
    h' = o * tanh(c')

Weights lie in the order of Keras's LSTM (i, f, c, o); the peepholes, one number a unit and gate, in the order i, f, o.

Axes: `B` windows of a batch, `U` units.

Source: Gers and Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302
"""

from typing import Any

import keras
from keras import ops

from ._cell import OwnCell


@keras.saving.register_keras_serializable(package="forecast")
class PeepholeLSTMCell(OwnCell):
    """One step of a peephole LSTM; `keras.layers.RNN(PeepholeLSTMCell(units))` is the layer."""

    def build(self, input_shape: Any) -> None:
        """Makes the weights of an LSTM, and the peepholes `(3U,)`, which start at zero."""
        super().build(input_shape)
        self.peepholes = self.add_weight(shape=(3 * self.units,), name="peepholes", initializer="zeros")

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """Returns the new hidden state `(B, U)`, and both new states."""
        x, h, c = self.dropped(inputs, states, training)
        z = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel)  # (B, 4U)
        i, f, g, o = ops.split(z if self.bias is None else z + self.bias, 4, axis=-1)
        p_i, p_f, p_o = ops.split(self.peepholes, 3)
        c_new = self.recurrent_activation(f + p_f * c) * c + self.recurrent_activation(i + p_i * c) * self.activation(g)
        h_new = self.recurrent_activation(o + p_o * c_new) * self.activation(c_new)
        return h_new, [h_new, c_new]
