"""Residual LSTM: a deep stack, in which each layer adds to what the one below gave.

    (L, F) - Dense U -+------------+- ... - last state - Dense - Reshape - (H, K)
                      +- LSTM U -- + depth times

The gradient reaches the lowest layer along the sums, so that stacks of more than four layers train. The sums lie
between layers, not inside the cell.

Source: Wu et al. (2016), https://arxiv.org/abs/1609.08144, section 3.1; the idea is that of He et al. (2015),
https://arxiv.org/abs/1512.03385
"""

import keras
from pydantic import Field

from . import Shapes
from ._head import ContextOptions, answered, inputs
from ._recurrent import LSTMOptions, last, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `residual_lstm`.

    Attributes:
        depth: Recurrent layers.
    """

    depth: int = Field(default=4, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    # A convolution of one row is a dense layer for each row; the converter for devices takes it with one input, too.
    x = keras.layers.Conv1D(options.units, 1, name="projection")(given["past"])  # (N, L, U)
    for n in range(options.depth):
        y = x
        for layer in normalised(options, lstm(options, return_sequences=True)):
            y = layer(y)
        x = keras.layers.Add(name=f"sum_{n}")([x, y])  # (N, L, U)
    model = answered("residual_lstm", given, last(x, shapes.lookback), shapes, options, options.units)
    return set_forget_bias(model, options.forget_bias)
