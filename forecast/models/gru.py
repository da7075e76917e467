"""GRU: one recurrent layer of two gates, and a dense layer on its last state.

    (L, F) - GRU - Dense - Reshape - (H, K)

    z = sigmoid(x W_z + h U_z + b_z)                     update gate
    r = sigmoid(x W_r + h U_r + b_r)                     reset gate
    h' = z * h + (1 - z) * tanh(x W_h + r * (h U_h + c_h) + b_h)

A quarter fewer weights than an LSTM of the same size, and no cell state. Not one operator on a device: it becomes a
network of one step, or is unrolled.

Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078; the reset gate behind the product, as Keras and cuDNN do it.
"""

import keras

from . import Shapes
from ._head import chain
from ._recurrent import RecurrentOptions, normalised, recurrent

INPUTS = ("past",)


class Options(RecurrentOptions):
    """Options of `gru`."""


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the core; Sequential where one value a step is asked for."""
    return chain("gru", shapes, normalised(options, recurrent(keras.layers.GRU, options)))
