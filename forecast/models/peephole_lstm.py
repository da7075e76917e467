"""Peephole LSTM: the gates see the cell state, and so how long ago something was.

    (L, F) - RNN of PeepholeLSTMCell - Dense - Reshape - (H, K)

Its equations are in `forecast/layers/peephole_lstm.py`. The cell is of our own: whoever opens the network with plain
Keras imports `forecast.layers` first.

Source: Gers and Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302
"""

import keras

from ..layers.peephole_lstm import PeepholeLSTMCell
from . import Shapes
from ._head import chain
from ._recurrent import LSTMOptions, normalised, of_cell, set_forget_bias

INPUTS = ("past",)


class Options(LSTMOptions):
    """Options of `peephole_lstm`."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the core; Sequential where one value a step is asked for."""
    layer = of_cell(PeepholeLSTMCell, options, name="peephole_lstm")
    return set_forget_bias(chain("peephole_lstm", shapes, normalised(options, layer)), options.forget_bias)
