"""Seasonal LSTM: a learned mix of seasonal naive values, and a recurrent network over whole seasons that corrects it.

    last n seasons of the targets (n, m, K) - mix over seasons, one weight each -- at the horizon's phases --+
                                                                                                             + - (H, K)
    last n seasons of all inputs (n, m * F) - Dense, ReLU - LSTM - Dense - Reshape --------------------------+

A season is `m` rows, such as a day of hours, so a week is seven steps of the LSTM. It begins as the mean of the
seasonal naive forecasts, which is a strong start where a season is strong. `m` is the season length of the data, or
the option `season`.

Source: Smyl (2020), https://doi.org/10.1016/j.ijforecast.2019.03.017, for a network that corrects seasonal values; the
seasonal naive forecast is in Hyndman and Athanasopoulos, https://otexts.com/fpp3/simple-methods.html
"""

import math

import keras
from pydantic import Field

from pipelines.errors import ConfigError

from . import Shapes
from ._head import ContextOptions, beside, core, fan, inputs, joined
from ._recurrent import LSTMOptions, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `seasonal_lstm`.

    Attributes:
        season: Rows of a season; at most the lookback. By default that of the data.
    """

    season: int | None = Field(default=None, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core.

    Raises:
        ConfigError: The lookback holds no whole season.
    """
    L, H, F, K = shapes.lookback, shapes.horizon, shapes.features, shapes.targets
    m = options.season or shapes.season
    if m > L:
        raise ConfigError(
            f"`seasonal_lstm` needs a lookback of at least one season, {m} rows. Received: lookback {L}. Choose "
            f"lookback={m} or a multiple of it, or model.season."
        )
    n = L // m  # whole seasons
    given = inputs(shapes, options)
    past = keras.layers.Cropping1D((L - n * m, 0), name="whole_seasons")(given["past"])  # (N, n * m, F)
    seasons = keras.layers.Permute((2, 3, 1))(keras.layers.Reshape((n, m, K))(past[:, :, :K]))  # (N, m, K, n)
    mix = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(1 / n), name="mix")
    profile = keras.layers.Reshape((m, K), name="profile")(mix(seasons))  # (N, m, K)
    first = shapes.gap % m  # phase of the horizon's first row
    times = math.ceil((first + H) / m)
    repeated = keras.layers.Concatenate(axis=1)([profile] * times) if times > 1 else profile
    naive = keras.layers.Cropping1D((first, times * m - first - H), name="seasonal_naive")(repeated)  # (N, H, K)
    x = keras.layers.Reshape((n, m * F), name="seasons")(past)
    x = keras.layers.Dense(options.units, activation="relu", name="season_features")(x)  # (N, n, U)
    for layer in normalised(options, lstm(options)):
        x = layer(x)  # (N, U)
    state = joined(x, beside(given, shapes, options), options.units)
    correction = keras.layers.Dense(H * K, kernel_initializer="zeros", name="correction")(state)
    # A sum of vectors: for one window, Keras takes a sum of two `(1, H, 1)` for a bias of H channels, which the
    # converter for devices does not know.
    y = keras.layers.Add()([keras.layers.Flatten()(naive), correction])
    y = keras.layers.Reshape((H, K), name="answer")(y)  # (N, H, K)
    return set_forget_bias(core("seasonal_lstm", given, fan(y, state, shapes)), options.forget_bias)
