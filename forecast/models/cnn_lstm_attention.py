"""A convolution branch and a recurrent branch, fused by attention.

            +- Conv1D, causal -+
    (L, F) -+                  +- Concatenate - additive attention -+- Concatenate - Dense - Reshape - (H, K)
            +- LSTM -----------+- last state -----------------------+

Convolutions see local shape, the LSTM the order of it; attention chooses the rows where both say something. Not
`conv1d_lstm`, where the LSTM reads what the convolution gives.

Source: Karim et al. (2017), https://arxiv.org/abs/1709.05206, for the two branches side by side; Bahdanau et al.
(2014), https://arxiv.org/abs/1409.0473, for the attention.
"""

import keras
from pydantic import Field

from . import Shapes
from ._attention import attend
from ._head import ContextOptions, answered, inputs
from ._recurrent import LSTMOptions, last, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `cnn_lstm_attention`.

    Attributes:
        filters: Shapes that the convolution can tell apart.
        kernel_size: Rows that a convolution sees.
    """

    filters: int = Field(default=32, ge=1)
    kernel_size: int = Field(default=3, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    past = given["past"]
    local = keras.layers.Conv1D(options.filters, options.kernel_size, padding="causal", activation="relu")(past)
    x = past
    for layer in normalised(options, lstm(options, return_sequences=True)):
        x = layer(x)  # (N, L, U)
    both = keras.layers.Concatenate(name="branches")([local, x])  # (N, L, C + U)
    state = last(x, shapes.lookback)
    context = attend(both, state, shapes.lookback, options.units)  # (N, C + U)
    fused = keras.layers.Concatenate(name="state")([context, state])
    model = answered("cnn_lstm_attention", given, fused, shapes, options, options.units)
    return set_forget_bias(model, options.forget_bias)
