"""Losses that Keras lacks: quantiles, and errors in units of each series.

    loss               of each window                                       series of different size
    mse, mae, huber    of scaled values, as Keras has them                  count as their scaling makes them
    mase               |error| over the series' own naive error             count the same
    smape              2 |error| / (|y_true| + |y_pred|)                    count the same
    mixed              the mean of mase and of smape / naive's smape        count the same
    pinball            of quantiles                                         count as their scaling makes them

A loss in units of a series must know them. They travel behind the answers of a window, as three rows more:
`original = slope * scaled + intercept`, and the naive error `scale`.

    y_true (N, H + 3, K)    [ scaled truth, H rows | slope | intercept | scale ]

Axes: `N` windows, `H` horizon, `K` targets, `Q` quantiles.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipelines.errors import ConfigError

from .spec import PER_SERIES

UNITS = 3  # rows behind a window's answers
SMALL = 1e-6  # of the scale of a series: keeps sMAPE defined where truth and forecast are both zero


def make(name: str, quantiles: tuple[float, ...] = (), logged: bool = False, usual: float = 1.0) -> Any:
    """Returns a loss by name.

    Args:
        name: As in `TrainingSpec`, but for "auto".
        quantiles: What the network answers with; none for one value a step.
        logged: Scaled values are of logarithms, `log1p`.
        usual: The naive forecast's sMAPE, about, for "mixed".

    Raises:
        ConfigError: Neither Keras nor this module knows it.
    """
    if quantiles:
        return Pinball(quantiles)
    if name in PER_SERIES:
        return PerSeries(name, logged, usual)
    try:
        return keras.losses.get(name)
    except ValueError:
        raise ConfigError(
            f"`training.loss` must be 'mse', 'mae', 'huber', 'log_cosh', {', '.join(map(repr, PER_SERIES))} or another "
            f"loss that Keras knows. Received: {name!r}"
        ) from None


class Pinball(keras.losses.Loss):
    """The mean over quantiles of `max(q * e, (q - 1) * e)`, where `e = y_true - y_pred`: lowest at the true quantiles.

    Args:
        quantiles: Of the last axis of what the network answers, `Q` of them.

    Example:
        >>> loss = Pinball((0.1, 0.9))
        >>> y_true, y_pred = np.zeros((1, 1, 1), "float32"), np.array([[[[-1.0, 1.0]]]], "float32")
        >>> round(float(loss(y_true, y_pred)), 3)
        0.1

    Source: Koenker and Bassett (1978), https://doi.org/10.2307/1913643
    """

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        super().__init__(name="pinball")
        self.quantiles = np.asarray(quantiles, np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each window and step `(N, H)` from truths `(N, H, K)` and answers `(N, H, K, Q)`."""
        error = ops.expand_dims(y_true, -1) - y_pred
        return ops.mean(ops.maximum(self.quantiles * error, (self.quantiles - 1) * error), axis=(-1, -2))


class PerSeries(keras.losses.Loss):
    """Errors in units of each series, so that large and small ones count the same.

    Args:
        name: "mase", "smape", or "mixed".
        logged: Scaled values are of logarithms, `log1p`.
        usual: What "mixed" divides sMAPE by, so that it weighs as much as MASE, whose naive forecast has about 1.

    Example:
        >>> y = with_units(np.array([[[0.5]]], "float32"), slope=[[10.0]], intercept=[[0.0]], scale=[[2.0]])
        >>> round(float(PerSeries("mase")(y, np.array([[[0.9]]], "float32"))), 3)  # 4 off, and the naive forecast 2
        2.0

    Source: Hyndman and Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001, for MASE; Makridakis et al.
    (2020), https://doi.org/10.1016/j.ijforecast.2019.04.014, for sMAPE and for the mean of both over those of a naive
    forecast, which OWA is.
    """

    def __init__(self, name: str, logged: bool = False, usual: float = 1.0) -> None:
        super().__init__(name=name)
        self.logged, self.usual = logged, usual

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each window and step `(N, H)` from `(N, H + 3, K)` and answers `(N, H, K)`."""
        H = y_pred.shape[1]
        slope, intercept, scale = (y_true[:, H + i : H + i + 1] for i in range(UNITS))  # (N, 1, K)
        truth, answer = y_true[:, :H] * slope + intercept, y_pred * slope + intercept  # (N, H, K)
        if self.logged:
            truth, answer = ops.expm1(truth), ops.expm1(answer)
        error = ops.abs(truth - answer) / scale
        if self.name == "mase":
            return ops.mean(error, axis=-1)
        size = (ops.abs(truth) + ops.abs(answer)) / scale
        smape = 2 * error / (size + SMALL)
        return ops.mean(smape if self.name == "smape" else (error + smape / self.usual) / 2, axis=-1)


def with_units(y: np.ndarray, slope: Any, intercept: Any, scale: Any) -> np.ndarray:
    """Returns answers `(N, H, K)` and behind them the units of their series, `(N, K)` each: `(N, H + 3, K)`."""
    rows = [np.asarray(one, np.float32)[:, None] for one in (slope, intercept, scale)]
    return np.concatenate([y, *rows], axis=1)
