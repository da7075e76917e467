"""Conv1D -> LSTM: convolutions read local shape, the LSTM reads the order of it.

    (L, F) - Conv1D, causal - MaxPool - LSTM - Dense - Reshape - (H, K)

Pooling shortens the sequence that the LSTM steps through, so it is about `pool_size` times cheaper than `lstm`. Not
`keras.layers.ConvLSTM1D`, whose recurrence is itself a convolution.

Source: Lai et al. (2018), LSTNet, https://arxiv.org/abs/1703.07015: its stem, without the skip and
autoregressive parts.
"""

import keras
from pydantic import Field

from pipelines.errors import ConfigError

from . import Shapes
from ._head import ContextOptions, answered, inputs
from ._recurrent import LSTMOptions, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `conv1d_lstm`.

    Attributes:
        filters: Shapes that the convolution can tell apart.
        kernel_size: Rows that a convolution sees.
        pool_size: Rows that become one step of the LSTM; 1 turns pooling off.
    """

    filters: int = Field(default=32, ge=1)
    kernel_size: int = Field(default=3, ge=1)
    pool_size: int = Field(default=2, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core.

    Raises:
        ConfigError: The pool is longer than the lookback.
    """
    if options.pool_size > shapes.lookback:
        raise ConfigError(
            f"`pool_size` must be at most the lookback of {shapes.lookback} rows. Received: {options.pool_size}"
        )
    given = inputs(shapes, options)
    # (N, L, C)
    x = keras.layers.Conv1D(options.filters, options.kernel_size, padding="causal", activation="relu")(given["past"])
    if options.pool_size > 1:
        x = keras.layers.MaxPooling1D(options.pool_size)(x)  # (N, L // pool, C)
    for layer in normalised(options, lstm(options)):
        x = layer(x)  # (N, U)
    model = answered("conv1d_lstm", given, x, shapes, options, options.units)
    return set_forget_bias(model, options.forget_bias)
