"""Losses that Keras lacks.

Axes: `N` windows, `H` horizon, `K` targets, `Q` quantiles.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


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
