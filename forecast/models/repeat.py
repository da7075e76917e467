"""Repeat: the last season again, or the last value; the forecast to beat, as a network without weights.

    past (L, F) - the last m rows of the targets - again and again - the horizon's rows (H, K)

With one row, which is the default, it is the naive forecast, with a season the seasonal naive one: nothing is trained.
As a network it is saved, exported, backtested and scheduled like any other, which is what a series deserves that
nothing forecasts better.

Source: Hyndman and Athanasopoulos, https://otexts.com/fpp3/simple-methods.html
"""

import math

import keras
from pydantic import Field

from pipelines.errors import ConfigError
from pipelines.spec import Spec

from . import Shapes
from ._head import core, fan

INPUTS = ("past",)


class Options(Spec):
    """Options of `repeat`.

    Attributes:
        season: Rows that are repeated; at most the lookback. 1 repeats the last value.
    """

    season: int = Field(default=1, ge=1)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core.

    Raises:
        ConfigError: The lookback holds no whole season.
    """
    L, H, K, m = shapes.lookback, shapes.horizon, shapes.targets, options.season
    if m > L:
        raise ConfigError(
            f"`repeat` needs a lookback of at least what it repeats, {m} rows. Received: lookback {L}. Choose "
            f"lookback={m}."
        )
    past = keras.Input((L, shapes.features), name="past")
    last = keras.layers.Cropping1D((L - m, 0), name="last_season")(past[:, :, :K])  # (N, m, K)
    first = shapes.gap % m  # phase of the horizon's first row
    times = math.ceil((first + H) / m)
    again = keras.layers.Concatenate(axis=1)([last] * times) if times > 1 else last
    y = keras.layers.Cropping1D((first, times * m - first - H), name="answer")(again)  # (N, H, K)
    return core("repeat", {"past": past}, fan(y, keras.layers.Flatten()(last), shapes))
