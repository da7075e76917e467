"""Stacked LSTM: two to four recurrent layers, each reading the whole sequence of the one below.

    (L, F) - LSTM 64, sequences - LSTM 32 - Dense - Reshape - (H, K)

Without residual connections: beyond four layers these are needed, see `residual_lstm`.

Source: Graves et al. (2013), https://arxiv.org/abs/1303.5778
"""

import keras
from pydantic import Field

from . import Shapes
from ._head import chain
from ._recurrent import LSTMOptions, lstm, normalised, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `stacked_lstm`.

    Attributes:
        units: Size of the hidden state of each layer, from the input up.
    """

    units: tuple[int, ...] = Field(default=(64, 32), min_length=2, max_length=4)  # type: ignore[assignment]


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the core; Sequential where one value a step is asked for."""
    *lower, top = options.units
    layers = [lstm(options, units, return_sequences=True) for units in lower]
    core = chain("stacked_lstm", shapes, normalised(options, *layers, lstm(options, top)))
    return set_forget_bias(core, options.forget_bias)
