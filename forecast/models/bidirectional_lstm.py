"""Bidirectional LSTM: one layer reads the window forwards, one backwards; their last states are joined.

    (L, F) -+- LSTM forwards  -+- Concatenate - Dense - Reshape - (H, K)
            +- LSTM backwards -+

It reads the past in both directions, never the future: everything it sees lies before the cutoff.

Source: Schuster and Paliwal (1997), https://doi.org/10.1109/78.650093
"""

import keras

from . import Shapes
from ._head import chain
from ._recurrent import LSTMOptions, lstm, normalised, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `bidirectional_lstm`; `units` is the size of each direction."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the core; Sequential where one value a step is asked for."""
    both = keras.layers.Bidirectional(lstm(options), name="both_ways")
    return set_forget_bias(chain("bidirectional_lstm", shapes, normalised(options, both)), options.forget_bias)
