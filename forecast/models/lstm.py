"""LSTM: one recurrent layer, and a dense layer on its last state.

    (L, F) - LSTM - Dense - Reshape - (H, K)

All steps of the horizon are answered at once; nothing is fed back.

Source: Hochreiter and Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, with the forget gate of Gers et
al. (2000), https://doi.org/10.1162/089976600300015015
"""

import keras

from . import Shapes
from ._recurrent import LSTMOptions, head, lstm, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `lstm`."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the Sequential core `(N, L, F) -> (N, H, K)`."""
    past = keras.Input((shapes.lookback, shapes.features), name="past")
    return set_forget_bias(keras.Sequential([past, lstm(options), *head(shapes)], name="lstm"), options.forget_bias)
