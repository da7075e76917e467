"""Bidirectional LSTM: one layer reads the window forwards, one backwards; their last states are joined.

    (L, F) -+- LSTM forwards  -+- Concatenate - Dense - Reshape - (H, K)
            +- LSTM backwards -+

It reads the past in both directions, never the future: everything it sees lies before the cutoff.

Source: Schuster and Paliwal (1997), https://doi.org/10.1109/78.650093
"""

import keras

from . import Shapes
from ._recurrent import LSTMOptions, head, lstm, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `bidirectional_lstm`; `units` is the size of each direction."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the Sequential core `(N, L, F) -> (N, H, K)`."""
    past = keras.Input((shapes.lookback, shapes.features), name="past")
    both = keras.layers.Bidirectional(lstm(options), name="both_ways")
    return set_forget_bias(
        keras.Sequential([past, both, *head(shapes)], name="bidirectional_lstm"), options.forget_bias
    )
