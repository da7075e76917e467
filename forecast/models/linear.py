"""Linear: every step of the horizon is a weighted sum of the window; the bar that a deep model has to beat.

    linear      target --------------------- Dense L -> H ----- (H, K)
    dlinear     trend (moving average) ----- Dense L -> H --+
                target - trend ------------- Dense L -> H --+-- (H, K)

With `normalize="last"`, the default, `linear` is the paper's NLinear: the shell takes the last value off the window and
puts it back. All targets share the weights. Other inputs, what is known ahead, static covariates and the series'
embedding add a weighted sum of their own.

Source: Zeng et al. (2022), https://arxiv.org/abs/2205.13504
"""

from typing import Literal

import keras
from pydantic import Field

from . import Shapes
from ._head import ContextOptions, beside, core, fan, inputs

INPUTS = ("past", "known", "static", "series")


class Options(ContextOptions):
    """Options of `linear`.

    Attributes:
        kind: "linear" or "dlinear".
        moving_average: Rows of dlinear's trend.
        l2: Weight of the squared kernels in the loss.
    """

    kind: Literal["linear", "dlinear"] = "linear"
    moving_average: int = Field(default=25, ge=1)
    l2: float = Field(default=0.0, ge=0)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    L, H, F, K = shapes.lookback, shapes.horizon, shapes.features, shapes.targets
    regularizer = keras.regularizers.L2(options.l2) if options.l2 else None
    past = given["past"]
    targets = past[:, :, :K] if F > K else past  # (N, L, K)

    # Sums are of vectors `(N, K * H)`, target by target: for one window, Keras takes a sum of two `(1, H, 1)` for a
    # bias of H channels, which the converter for devices does not know.

    def mapped(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns `(N, K * H)` of `(N, L, K)`: one kernel for all targets."""
        dense = keras.layers.Dense(H, kernel_regularizer=regularizer, name=name)
        if K == 1:  # nothing to turn, and a device has an operator less
            return dense(keras.layers.Flatten()(x))
        return keras.layers.Flatten()(dense(keras.layers.Permute((2, 1))(x)))

    if options.kind == "linear":
        y = mapped(targets, "head")
    else:
        trend = _moving_average(targets, min(options.moving_average, L), L)
        rest = keras.layers.Subtract(name="rest")([targets, trend])
        y = keras.layers.Add(name="level")([mapped(trend, "trend_head"), mapped(rest, "head")])
    others = beside(given, shapes, options)
    if F > K:
        others.append(keras.layers.Flatten(name="others")(past[:, :, K:]))
    if others:
        joined = keras.layers.Concatenate(name="joined")(others) if len(others) > 1 else others[0]
        added = keras.layers.Dense(H * K, kernel_regularizer=regularizer, name="others_head")(joined)
        y = keras.layers.Add(name="with_others")([y, added])
    y = keras.layers.Reshape((H, 1), name="answer")(y) if K == 1 else keras.layers.Reshape((K, H))(y)
    y = y if K == 1 else keras.layers.Permute((2, 1), name="answer")(y)  # (N, H, K)
    state = keras.layers.Flatten()(targets)
    return core("linear", given, fan(y, state, shapes))


def _moving_average(x: keras.KerasTensor, width: int, steps: int) -> keras.KerasTensor:
    """Returns the centred moving average of a window `(N, L, K)`; its ends are repeated outwards."""
    before, after = (width - 1) // 2, width // 2
    parts = [x]
    if before:
        parts.insert(0, keras.layers.Concatenate(axis=1)([keras.layers.Cropping1D((0, steps - 1))(x)] * before))
    if after:
        parts.append(keras.layers.Concatenate(axis=1)([keras.layers.Cropping1D((steps - 1, 0))(x)] * after))
    padded = keras.layers.Concatenate(axis=1)(parts) if len(parts) > 1 else x
    return keras.layers.AveragePooling1D(width, strides=1, name="trend")(padded)
