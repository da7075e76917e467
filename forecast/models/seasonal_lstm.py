"""Seasonal LSTM: a recurrent network over whole seasons mixes seasonal and naive values, and corrects the mix.

    last n seasons of the targets, and the last value (n + 1, m * K) ------- weighted sums (R, m * K) --+
                                                                                     |                  + - (H, K)
                                                     +- Dense - softmax over n + 1 (R, n + 1)           |
    last n seasons of all inputs (n, m * F) - Dense, ReLU - LSTMs - state (U) ---+- Dense (H, K) -------+
                                                     last rows of the targets ---+

A season is `m` rows, such as a day of hours, so a week is seven steps of the LSTM. Each of the `R` seasons that the
horizon reaches into has weights of its own, which follow from the window: the day before, the same day of the week
before, a mean of them, or the last value. Training begins with the mean of the seasons, and with the last value where
the horizon is less than a quarter of a season: both are strong there. The last rows reach the correction themselves,
as a state that sums up seasons no longer knows how the last hours moved. `m` is the season length of the data, or the
option `season`; where the lookback holds no season, such as a day of minutes, the horizon takes its place.

Source: Smyl (2020), https://doi.org/10.1016/j.ijforecast.2019.03.017, for a network that corrects seasonal values; the
seasonal naive forecast is in Hyndman and Athanasopoulos, https://otexts.com/fpp3/simple-methods.html; weights that a
window chooses are attention, Bahdanau et al. (2014), https://arxiv.org/abs/1409.0473
"""

import math

import keras
import numpy as np
from pydantic import Field

from pipelines.errors import ConfigError

from . import Shapes
from ._head import ContextOptions, beside, core, fan, inputs, joined
from ._recurrent import LSTMOptions, lstm, normalised, set_forget_bias

RECENT = 24  # rows that reach the correction themselves, at most

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `seasonal_lstm`.

    Attributes:
        season: Rows of a season; at most the lookback. By default that of the data, or the horizon where the lookback
            holds no whole one.
        layers: LSTMs, one on the other.
    """

    season: int | None = Field(default=None, ge=1)
    layers: int = Field(default=1, ge=1, le=8)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core.

    Raises:
        ConfigError: The lookback holds no whole season.
    """
    L, H, F, K = shapes.lookback, shapes.horizon, shapes.features, shapes.targets
    m = options.season or (shapes.season if shapes.season <= L else H)
    if m > L:
        raise ConfigError(
            f"`seasonal_lstm` needs a lookback of at least one season, or of the horizon, {m} rows. Received: lookback "
            f"{L}. Choose lookback={m} or a multiple of it, or model.season."
        )
    n = L // m  # whole seasons
    given = inputs(shapes, options)
    past = keras.layers.Cropping1D((L - n * m, 0), name="whole_seasons")(given["past"])  # (N, n * m, F)
    x = keras.layers.Reshape((n, m * F), name="seasons")(past)
    x = keras.layers.Dense(options.units, activation="relu", name="season_features")(x)  # (N, n, U)
    stack = [lstm(options, return_sequences=i < options.layers - 1) for i in range(options.layers)]
    for layer in normalised(options, *stack):
        x = layer(x)  # (N, U) after the last
    state = joined(x, beside(given, shapes, options), options.units)
    first = shapes.gap % m  # phase of the horizon's first row
    R = math.ceil((first + H) / m)
    seasons = keras.layers.Reshape((n, m * K), name="seasonal_values")(past[:, :, :K])
    last = past[:, -1:, :K]
    while last.shape[1] < m:  # doubled until it is long enough: micro-controllers have no operator that repeats
        last = keras.layers.Concatenate(axis=1)([last, last])
    last = keras.layers.Reshape((1, m * K), name="last_value")(last[:, :m])
    values = keras.layers.Concatenate(axis=1)([seasons, last])  # (N, n + 1, m * K)
    choice = keras.layers.Dense(R * (n + 1), kernel_initializer="zeros", name="choice")
    chosen = choice(state)
    share = 0.02 if shapes.season <= 4 * H else 0.95  # of the last value, to begin with
    choice.bias.assign(np.tile([0.0] * n + [math.log(n * share / (1 - share))], R))
    weights = keras.layers.Softmax(name="weights_of_seasons")(keras.layers.Reshape((R, n + 1))(chosen))
    mixed = keras.layers.Dot((2, 1), name="mix")([weights, values])  # (N, R, m * K)
    repeated = keras.layers.Reshape((R * m, K))(mixed)
    naive = keras.layers.Cropping1D((first, R * m - first - H), name="naive")(repeated)  # (N, H, K)
    recent = keras.layers.Flatten(name="last_rows")(past[:, -min(m, RECENT) :, :K])
    correction = keras.layers.Dense(H * K, kernel_initializer="zeros", name="correction")(
        keras.layers.Concatenate()([state, recent])
    )
    # A sum of vectors: for one window, Keras takes a sum of two `(1, H, 1)` for a bias of H channels, which the
    # converter for devices does not know.
    y = keras.layers.Add()([keras.layers.Flatten()(naive), correction])
    y = keras.layers.Reshape((H, K), name="answer")(y)  # (N, H, K)
    return set_forget_bias(core("seasonal_lstm", given, fan(y, state, shapes)), options.forget_bias)
