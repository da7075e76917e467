"""LSTM: one recurrent layer, and a dense layer on its last state.

    (L, F) - LSTM - Dense - Reshape - (H, K)

All steps of the horizon are answered at once; nothing is fed back.

Source: Hochreiter and Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, with the forget gate of Gers et
al. (2000), https://doi.org/10.1162/089976600300015015
"""

import keras

from . import Shapes
from ._head import chain
from ._recurrent import LSTMOptions, lstm, normalised, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `lstm`."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the core; Sequential where one value a step is asked for."""
    return set_forget_bias(chain("lstm", shapes, normalised(options, lstm(options))), options.forget_bias)
