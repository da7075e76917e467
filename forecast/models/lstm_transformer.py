"""LSTM-Transformer: self-attention over the hidden states of an LSTM.

    (L, F) - LSTM, sequences -+----------------+-+---------------------+- last row - Dense - Reshape - (H, K)
                              +- self-attention + +- Dense, ReLU, Dense +
                                 heads                  depth times

The LSTM knows the order, so no positions are encoded. Each row is normalised over its units before each part (pre-norm),
and attends to all rows of the window: the past only, never the future.

Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762; Lim et al. (2019), https://arxiv.org/abs/1912.09363,
for attention above an LSTM; Xiong et al. (2020), https://arxiv.org/abs/2002.04745, for the order of parts.
"""

import keras
from pydantic import Field

from . import Shapes
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
        y = keras.layers.LayerNormalization(name=f"norm_{n}")(x)
        size = max(1, U // options.heads)
        look = keras.layers.MultiHeadAttention(options.heads, size, dropout=options.dropout, name=f"self_attention_{n}")
        x = keras.layers.Add()([x, look(y, y)])  # (N, L, U)
        y = keras.layers.LayerNormalization(name=f"norm_inner_{n}")(x)
        y = keras.layers.Dense(2 * U, activation="relu", name=f"inner_{n}")(y)
        x = keras.layers.Add()([x, keras.layers.Dense(U, name=f"outer_{n}")(y)])
    model = answered("lstm_transformer", given, last(x, shapes.lookback), shapes, options, U)
    return set_forget_bias(model, options.forget_bias)
