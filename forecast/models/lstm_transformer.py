"""LSTM-Transformer: self-attention over the hidden states of an LSTM.

    (L, F) - LSTM, sequences -+----------------+-+---------------------+- last row - Dense - Reshape - (H, K)
                              +- self-attention + +- Dense, ReLU, Dense +
                                 heads                  depth times

The LSTM knows the order, so no positions are encoded. Each row attends to all of the window, in means of a few rows
where it is long: the past only, never the future. Nothing is normalised between the parts: hidden states are within -1
and 1 already, so a few blocks train without, and the integers of a device lose most where small states are blown up.

Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762; Lim et al. (2019), https://arxiv.org/abs/1912.09363,
for attention above an LSTM. Without the normalisations of either.
"""

import keras
from pydantic import Field

from . import Shapes
from ._attention import grouped
from ._head import ContextOptions, answered, inputs
from ._recurrent import LSTMOptions, last, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `lstm_transformer`.

    Attributes:
        heads: Of the self-attention.
        depth: Blocks of self-attention.
    """

    heads: int = Field(default=4, ge=1)
    depth: int = Field(default=1, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    U = options.units
    x = given["past"]
    for layer in normalised(options, lstm(options, return_sequences=True)):
        x = layer(x)  # (N, L, U)
    for n in range(options.depth):
        size = max(1, U // options.heads)
        look = keras.layers.MultiHeadAttention(options.heads, size, dropout=options.dropout, name=f"self_attention_{n}")
        x = keras.layers.Add()([x, look(x, grouped(x, shapes.lookback))])  # (N, L, U)
        y = keras.layers.Dense(2 * U, activation="relu", name=f"inner_{n}")(x)
        x = keras.layers.Add()([x, keras.layers.Dense(U, name=f"outer_{n}")(y)])
    model = answered("lstm_transformer", given, last(x, shapes.lookback), shapes, options, U)
    return set_forget_bias(model, options.forget_bias)
