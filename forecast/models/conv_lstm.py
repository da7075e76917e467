"""ConvLSTM: a recurrence over sub-windows, whose gates are convolutions along each.

    (L, F) - Reshape (L / W, W, F) - ConvLSTM1D - Flatten - Dense - Reshape - (H, K)

A step of the recurrence is a sub-window of `segment` rows, such as a day of hours, so that the hidden state keeps its
place within the day. Not `conv1d_lstm`, which convolves first and then runs an ordinary LSTM.

Source: Shi et al. (2015), https://arxiv.org/abs/1506.04214
"""

import keras
from pydantic import Field

from . import Shapes
from ._head import ContextOptions, answered, inputs
from ._recurrent import RecurrentOptions, normalised, recurrent
from ._segments import segment_of

INPUTS = ("past", "known", "static", "series")


class Options(RecurrentOptions, ContextOptions):
    """Options of `conv_lstm`; `units` are its filters.

    Attributes:
        units: Filters of the convolutions.
        segment: Rows of a sub-window; it divides the lookback. By default the season where that divides it, else the
            divisor of the lookback that is nearest to its square root.
        kernel_size: Rows that a convolution sees.
    """

    units: int = Field(default=16, ge=1)
    segment: int | None = Field(default=None, ge=1)
    kernel_size: int = Field(default=3, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core.

    Raises:
        ConfigError: Segments do not divide the lookback.
    """
    given = inputs(shapes, options)
    width = segment_of(options.segment, shapes, of="lookback")
    x = keras.layers.Reshape((shapes.lookback // width, width, shapes.features))(given["past"])  # (N, L / W, W, F)
    layer = recurrent(
        keras.layers.ConvLSTM1D, options, kernel_size=options.kernel_size, padding="same", name="conv_lstm"
    )
    for one in normalised(options, layer):
        x = one(x)  # (N, W, U)
    state = keras.layers.Flatten()(x)  # (N, W * U)
    return answered("conv_lstm", given, state, shapes, options, 4 * options.units)
