"""Stacked LSTM: two to four recurrent layers, each reading the whole sequence of the one below.

    (L, F) - LSTM 64, sequences - LSTM 32 - Dense - Reshape - (H, K)

Without residual connections: beyond four layers these would be needed.

Source: Graves et al. (2013), https://arxiv.org/abs/1303.5778
"""

import keras
from pydantic import Field

from . import Shapes
from ._recurrent import LSTMOptions, head, lstm, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `stacked_lstm`.

    Attributes:
        units: Size of the hidden state of each layer, from the input up.
    """

    units: tuple[int, ...] = Field(default=(64, 32), min_length=2, max_length=4)  # type: ignore[assignment]


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the Sequential core `(N, L, F) -> (N, H, K)`."""
    *lower, top = options.units
    layers = [lstm(options, units, return_sequences=True) for units in lower]
    past = keras.Input((shapes.lookback, shapes.features), name="past")
    core = keras.Sequential([past, *layers, lstm(options, top), *head(shapes)], name="stacked_lstm")
    return set_forget_bias(core, options.forget_bias)
