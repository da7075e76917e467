"""Layer-normalised LSTM: gates and cell state have mean 0 and deviation 1 over the units, at each step.

    (L, F) - RNN of LayerNormLSTMCell - Dense - Reshape - (H, K)

Its equations are in `forecast/layers/layernorm_lstm.py`. The cell is of our own: whoever opens the network with plain
Keras imports `forecast.layers` first.

Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450
"""

import keras

from ..layers.layernorm_lstm import LayerNormLSTMCell
from . import Shapes
from ._head import chain
from ._recurrent import LSTMOptions, normalised, of_cell, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `layernorm_lstm`."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the core; Sequential where one value a step is asked for."""
    layer = of_cell(LayerNormLSTMCell, options, name="layernorm_lstm")
    return set_forget_bias(chain("layernorm_lstm", shapes, normalised(options, layer)), options.forget_bias)
