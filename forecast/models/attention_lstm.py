"""LSTM with attention: the answer sees all hidden states, weighted by how much each matters.

    (L, F) - LSTM, sequences -+- additive attention -+- Concatenate - Dense - Reshape - (H, K)
                              +- last state ---------+

`forecast inspect` draws the weights over a window. They say where the network looks, not why it answers so.

Source: Bahdanau et al. (2014), https://arxiv.org/abs/1409.0473: its scores, with the last state as the query.
"""

import keras

from . import Shapes
from ._attention import attend
from ._head import ContextOptions, answered, inputs
from ._recurrent import LSTMOptions, last, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `attention_lstm`."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    x = given["past"]
    for layer in normalised(options, lstm(options, return_sequences=True)):
        x = layer(x)  # (N, L, U)
    state = last(x, shapes.lookback)
    context = attend(x, state, shapes.lookback, options.units)
    both = keras.layers.Concatenate(name="state")([context, state])  # (N, 2U)
    model = answered("attention_lstm", given, both, shapes, options, options.units)
    return set_forget_bias(model, options.forget_bias)
