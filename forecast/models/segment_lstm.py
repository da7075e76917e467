"""SegRNN: the window is cut into segments, one recurrent step each; those of the horizon are decoded side by side.

    past (L, F) - Reshape (L / W, W * F) - Dense, ReLU - GRU or LSTM - last state h (D)
                                                                            |
    position 1, ..., M of the horizon's segments, each with h - one step - Dropout - Dense W * K - (H, K)

With segments of a day a window of 720 hours is 30 steps, so it is cheap on a CPU and on a device, and gradients reach
far back. Segments of the horizon do not wait for each other: M = H / W of them are one step of one cell.

For one network over many series, `embedding` gives each its own vector, as the paper's channels have.

Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200. Here the decoding cell has weights of its own,
and positions are biases of its gates, which is what an embedding of them comes to.
"""

from typing import Any, Literal

import keras
from keras import ops
from pydantic import Field

from . import Shapes
from ._head import ContextOptions, about, ahead, core, fan, inputs
from ._recurrent import RecurrentOptions, normalised, recurrent
from ._segments import segment_of

INPUTS = ("past", "known", "static", "series")


class Options(RecurrentOptions, ContextOptions):
    """Options of `segment_lstm`.

    Attributes:
        units: Size of the hidden state.
        segment: Rows of a segment; it divides lookback and horizon. By default the season where that divides both,
            else the largest that does, up to 48.
        cell: "gru" or "lstm".
    """

    units: int = Field(default=128, ge=1)
    segment: int | None = Field(default=None, ge=1)
    cell: Literal["gru", "lstm"] = "gru"


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core.

    Raises:
        ConfigError: Segments do not divide the lookback and the horizon.
    """
    given = inputs(shapes, options)
    L, H, F, K, D = shapes.lookback, shapes.horizon, shapes.features, shapes.targets, options.units
    W = segment_of(options.segment, shapes, of="both")
    M = H // W
    x = keras.layers.Reshape((L // W, W * F), name="segments")(given["past"])
    x = keras.layers.Dense(D, activation="relu", name="segment_features")(x)  # (N, L / W, D)
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[options.cell]
    for one in normalised(options, recurrent(layer, options, name="encoder")):
        x = one(x)
    state = x  # (N, D)
    # What is known of each segment of the horizon, and of the series.
    marks = [keras.layers.RepeatVector(M)(one) for one in about(given, shapes, options)]
    future = ahead(given, shapes)
    if future is not None:
        marks.append(keras.layers.Reshape((M, W * shapes.known))(future))
    told = keras.layers.Concatenate(name="marks")(marks) if len(marks) > 1 else (marks[0] if marks else None)
    y = {"gru": _gru, "lstm": _lstm}[options.cell](state, told, M, options)  # (N, M, D)
    y = keras.layers.Dropout(options.dropout)(y)
    y = keras.layers.Dense(W * K, name="segment_head")(y)  # (N, M, W * K)
    y = keras.layers.Reshape((H, K), name="answer")(y)
    return core("segment_lstm", given, fan(y, state, shapes))


def _placed(x: Any, told: Any, units: int, options: Options, name: str) -> Any:
    """Returns `x U + p_m + told V` for states `(N, M, D)`: `p_m` is learned for each segment `m` of the horizon."""
    place = keras.layers.EinsumDense(
        "nmd,de->nme",
        (x.shape[1], units),
        bias_axes="me",
        kernel_initializer=options.recurrent_initializer,
        name=name,
    )
    y = place(x)
    if told is None:
        return y
    marks = keras.layers.Dense(
        units, use_bias=False, kernel_initializer=options.kernel_initializer, name=f"{name}_marks"
    )
    return y + marks(told)


def _gru(state: Any, told: Any, segments: int, options: Options) -> Any:
    """One step of a GRU for each segment of the horizon, `(N, D)` to `(N, M, D)`."""
    D = options.units
    h = keras.layers.RepeatVector(segments)(state)  # (N, M, D)
    z, r = ops.split(ops.sigmoid(_placed(h, told, 2 * D, options, "decoder_gates")), 2, axis=-1)
    new = ops.tanh(_placed(r * h, told, D, options, "decoder_state"))
    return new + z * (h - new)


def _lstm(state: Any, told: Any, segments: int, options: Options) -> Any:
    """One step of an LSTM for each segment of the horizon, `(N, D)` to `(N, M, D)`."""
    D = options.units
    h = keras.layers.RepeatVector(segments)(state)  # (N, M, D)
    c = keras.layers.Dense(D, name="decoder_cell")(h)
    i, f, g, o = ops.split(_placed(h, told, 4 * D, options, "decoder_gates"), 4, axis=-1)
    return ops.sigmoid(o) * ops.tanh(ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g))
