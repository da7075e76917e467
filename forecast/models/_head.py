"""From the state of a core to its answer, and what a functional core knows besides the past.

    state (N, U) --+-- what is known ahead, static covariates, who it is --- Dense --+-- middle (N, H, K)
                   |                     (only where there is any)                   |
                   +-- Dense - square, how far the quantiles lie apart --------------+-- (N, H, K, Q), never crossing

A quantile is the one next to it, nearer the middle, plus or minus something that is not negative: so they cannot cross,
whatever the network answers. The distances are squares: a product is precise in the integers of a device, where
exponentials are not, and a sorting is not there at all.

Axes: `N` windows, `L` lookback, `H` horizon, `F` inputs, `K` targets, `Q` quantiles, `U` units.

Source: Gasthaus et al. (2019), https://proceedings.mlr.press/v89/gasthaus19a.html, for quantiles that are sums of
parts that are not negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from pydantic import Field

from pipelines.spec import Spec

from . import Shapes

# Where the roots of distances between quantiles begin: scaled windows move by hundredths.
APART = 0.2


class ContextOptions(Spec):
    """Options of every functional model.

    Attributes:
        embedding: Numbers that the network learns of each series; 0 for none. A series that was not in training has
            zeros.
    """

    embedding: int = Field(default=0, ge=0)


Inputs = dict[str, keras.KerasTensor]


def inputs(shapes: Shapes, options: ContextOptions) -> Inputs:
    """Returns the inputs of a functional core: the past, and whatever else there is."""
    found = {"past": keras.Input((shapes.lookback, shapes.features), name="past")}
    if shapes.known:
        found["known"] = keras.Input((shapes.lookback + shapes.horizon, shapes.known), name="known")
    if shapes.static:
        found["static"] = keras.Input((shapes.static,), name="static")
    if options.embedding:
        found["series"] = keras.Input((), dtype="int32", name="series")
    return found


def ahead(given: Inputs, shapes: Shapes) -> keras.KerasTensor | None:
    """Returns what is known of the rows to forecast `(N, H, Fk)`; None where nothing is."""
    if "known" not in given:
        return None
    return keras.layers.Cropping1D((shapes.lookback, 0), name="ahead")(given["known"])


def about(given: Inputs, shapes: Shapes, options: ContextOptions) -> list[keras.KerasTensor]:
    """Returns what does not change within a window: static covariates, the series' embedding; `(N, ...)` each."""
    found = [given["static"]] if "static" in given else []
    if "series" in given:
        # One row more than series: that of a series which was not in training, and stays zero.
        embed = keras.layers.Embedding(
            shapes.series + 1, options.embedding, embeddings_initializer="zeros", name="embedding"
        )
        found.append(embed(given["series"]))  # (N, E)
    return found


def beside(given: Inputs, shapes: Shapes, options: ContextOptions) -> list[keras.KerasTensor]:
    """Returns all that is known beside the past as vectors: `about`, and what is known ahead, `(N, H * Fk)`."""
    future = ahead(given, shapes)
    flat = [] if future is None else [keras.layers.Flatten(name="ahead_flat")(future)]
    return about(given, shapes, options) + flat


def joined(state: keras.KerasTensor, others: Sequence[keras.KerasTensor], units: int) -> keras.KerasTensor:
    """Returns the state `(N, U)` together with other vectors, which may bend each other; itself without any."""
    if not others:
        return state
    both = keras.layers.Concatenate(name="joined")([state, *others])
    return keras.layers.Dense(units, activation="relu", name="context")(both)  # (N, units)


def answered(
    name: str, given: Inputs, state: keras.KerasTensor, shapes: Shapes, options: ContextOptions, units: int
) -> keras.Model:
    """Returns a functional core: what there is beside the past joins the last state `(N, U)`, and a head answers.

    Args:
        name: Of the model.
        given: As `inputs` made them.
        state: What the core made of the past.
        shapes: What it is built for.
        options: Of the model.
        units: Of the layer that joins them.
    """
    return core(name, given, head(joined(state, beside(given, shapes, options), units), shapes))


def core(name: str, given: Inputs, y: keras.KerasTensor) -> keras.Model:
    """Returns the functional model; one that takes the past alone takes it as it is, not in a mapping."""
    return keras.Model(given["past"] if list(given) == ["past"] else given, y, name=name)


def chain(name: str, shapes: Shapes, layers: Sequence[keras.layers.Layer]) -> keras.Model:
    """Returns layers from the past to the last state, and a head; Sequential where a chain suffices."""
    past = keras.Input((shapes.lookback, shapes.features), name="past")
    if not shapes.quantiles:
        return keras.Sequential([past, *layers, *_middle(shapes)], name=name)
    x = past
    for layer in layers:
        x = layer(x)
    return keras.Model(past, head(x, shapes), name=name)


def head(state: keras.KerasTensor, shapes: Shapes) -> keras.KerasTensor:
    """Returns the answer from the last state `(N, U)`: `(N, H, K)`, or `(N, H, K, Q)` where there are quantiles."""
    x = state
    for layer in _middle(shapes):
        x = layer(x)
    return fan(x, state, shapes)


def _middle(shapes: Shapes) -> list[keras.layers.Layer]:
    return [
        keras.layers.Dense(shapes.horizon * shapes.targets, name="head"),
        keras.layers.Reshape((shapes.horizon, shapes.targets), name="answer"),
    ]


def fan(middle: keras.KerasTensor, state: keras.KerasTensor, shapes: Shapes) -> keras.KerasTensor:
    """Returns the middle `(N, H, K)` itself, or where there are quantiles all of them around it `(N, H, K, Q)`.

    Args:
        middle: The quantile 0.5.
        state: What the distances between quantiles are computed of `(N, U)`.
        shapes: What it is built for.
    """
    H, K, Q = shapes.horizon, shapes.targets, len(shapes.quantiles)
    if Q < 2:
        return ops.expand_dims(middle, -1) if Q else middle
    z = keras.layers.Dense(H * K * (Q - 1), bias_initializer=keras.initializers.Constant(APART), name="apart")(state)
    apart = keras.layers.Reshape((H, K, Q - 1))(ops.multiply(z, z))  # (N, H, K, Q - 1), not negative
    m = shapes.quantiles.index(0.5)
    i, j = np.arange(Q - 1)[:, None], np.arange(Q)  # distance i lies between quantiles i and i + 1
    sums = ((m <= i) & (i < j)).astype(np.float32) - ((j <= i) & (i < m))
    moved = keras.layers.Identity(name="fan")(ops.matmul(apart, sums))  # (N, H, K, Q)
    return ops.add(ops.expand_dims(middle, -1), moved)
