"""Encoder and decoder: one LSTM reads the window, another writes the forecast step by step, looking back at it.

    past (L, F) - LSTM, sequences -+----- means of a few rows each: keys and values of additive attention
                                   +- last state - Dense - first state of the decoder
                                                              |
    y_0 = last value, known_1  -> LSTM cell + attention -> y_1 -+
    y_1, known_2               -> LSTM cell + attention -> y_2 -+-> (H, K)
    ...

Each step sees what the step before answered, and what is known ahead of its own row. In training a coin decides for
each step and window whether it sees the truth instead: always at first, never from epoch `teacher_epochs` on (scheduled
sampling), and never in validation. The loop is written out, so time and file grow with the horizon.

Source: Sutskever et al. (2014), https://arxiv.org/abs/1409.3215; Bahdanau et al. (2014),
https://arxiv.org/abs/1409.0473; Bengio et al. (2015), https://arxiv.org/abs/1506.03099, for the schedule.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from pydantic import Field

from . import Shapes
from ._attention import grouped
from ._head import ContextOptions, about, ahead, core, fan, inputs, joined
from ._recurrent import LSTMOptions, last, lstm, normalised, set_forget_bias

INPUTS = ("past", "known", "static", "series")


class Options(LSTMOptions, ContextOptions):
    """Options of `encoder_decoder`.

    Attributes:
        teacher_epochs: Epochs over which the share of steps that see the truth falls from 1 to 0; 0 for never.
    """

    teacher_epochs: int = Field(default=10, ge=0)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    L, H, K, U = shapes.lookback, shapes.horizon, shapes.targets, options.units
    x = given["past"]
    for layer in normalised(options, lstm(options, return_sequences=True)):
        x = layer(x)
    state = joined(last(x, L), about(given, shapes, options), U)
    x = keras.layers.Identity(name="encoded")(grouped(x, L))  # (N, G, U)
    keys = keras.layers.Dense(U, name="keys")(x)  # (N, G, U)
    h = keras.layers.Dense(U, activation="tanh", name="first_h")(state)
    c = keras.layers.Dense(U, name="first_c")(state)
    now = keras.layers.Cropping1D((L - 1, 0))(given["past"])[:, :, :K]
    now = keras.layers.Reshape((K,), name="now")(now)  # (N, K), the last values known
    future = ahead(given, shapes)
    y = _decoded(_Decoder.fresh(options, shapes), x, keys, h, c, now, future, H, None)
    return set_forget_bias(core("encoder_decoder", given, fan(y, state, shapes)), options.forget_bias)


def taught(model: keras.Model, shapes: Shapes) -> keras.Model:
    """Returns a core for training: the same layers, and two inputs more.

    Args:
        model: The core; weights are shared with it.
        shapes: What it was built for.

    Returns:
        A model that also takes `teacher (N, H, K)`, what each step should answer, and `forced (N, H, 1)`, 1 where the
        next step sees it.
    """
    H, K = shapes.horizon, shapes.targets
    teacher, forced = keras.Input((H, K), name="teacher"), keras.Input((H, 1), name="forced")
    names = {layer.name for layer in model.layers}
    x, keys, h, c, now = (model.get_layer(name).output for name in ("encoded", "keys", "first_h", "first_c", "now"))
    future = model.get_layer("ahead").output if "ahead" in names else None
    y = _decoded(_Decoder.of(model), x, keys, h, c, now, future, H, (teacher, forced))
    if len(shapes.quantiles) > 1:
        y = ops.add(ops.expand_dims(y, -1), model.get_layer("fan").output)
    elif shapes.quantiles:
        y = ops.expand_dims(y, -1)
    given = {tensor.name: tensor for tensor in model.inputs}
    return keras.Model({**given, "teacher": teacher, "forced": forced}, y, name=f"{model.name}_taught")


def forced_share(epoch: int, options: Options) -> float:
    """Returns the share of steps that see the truth in an epoch, from 0."""
    return max(0.0, 1.0 - epoch / options.teacher_epochs) if options.teacher_epochs else 0.0


class _Decoder:
    """The layers that every step shares, by name."""

    def __init__(self, layers: Mapping[str, keras.layers.Layer]) -> None:
        self.cell, self.dropped = layers["decoder"], layers["dropped"]
        self.query, self.score = layers["query"], layers["score"]
        # What a step sees is added, not joined: side by side, integers of a device would have one scale for all of it.
        self.seen, self.context, self.ahead = layers["seen"], layers["context_in"], layers.get("ahead_in")
        self.readout = layers["readout"]

    @classmethod
    def fresh(cls, options: Options, shapes: Shapes) -> "_Decoder":
        regularizer = keras.regularizers.L2(options.l2) if options.l2 else None
        cell = keras.layers.LSTMCell(
            options.units,
            kernel_initializer=options.kernel_initializer,
            recurrent_initializer=options.recurrent_initializer,
            kernel_regularizer=regularizer,
            recurrent_regularizer=regularizer,
            name="decoder",
        )
        layers = [
            cell,
            keras.layers.Dropout(options.dropout, name="dropped"),
            keras.layers.Dense(options.units, use_bias=False, name="query"),
            keras.layers.Dense(1, use_bias=False, name="score"),
            keras.layers.Dense(options.units, name="seen"),
            keras.layers.Dense(options.units, use_bias=False, name="context_in"),
            keras.layers.Dense(shapes.targets, name="readout"),
        ]
        if shapes.known:
            layers.append(keras.layers.Dense(options.units, use_bias=False, name="ahead_in"))
        return cls({layer.name: layer for layer in layers})

    @classmethod
    def of(cls, model: keras.Model) -> "_Decoder":
        return cls({layer.name: layer for layer in model.layers})


def _decoded(
    by: _Decoder,
    encoded: keras.KerasTensor,
    keys: keras.KerasTensor,
    h: keras.KerasTensor,
    c: keras.KerasTensor,
    now: keras.KerasTensor,
    future: keras.KerasTensor | None,
    horizon: int,
    teaching: tuple[Any, Any] | None,
) -> keras.KerasTensor:
    """Returns the answers of all steps `(N, H, K)`."""
    states: list[Any] = []
    G, U = encoded.shape[1:]
    seen = now  # (N, K)
    for step in range(horizon):
        score = by.score(ops.tanh(keys + ops.reshape(by.query(h), (-1, 1, U))))  # (N, G, 1)
        weights = ops.softmax(ops.reshape(score, (-1, 1, G)))  # (N, 1, G)
        context = ops.reshape(ops.matmul(weights, encoded), (-1, U))  # (N, U)
        x = by.seen(seen) + by.context(context)  # (N, U)
        if future is not None and by.ahead is not None:
            x = x + by.ahead(future[:, step])
        h, (_, c) = by.cell(by.dropped(x), [h, c])
        states.append(ops.concatenate([h, context], axis=-1))  # (N, 2U)
        if step + 1 < horizon:
            seen = by.readout(states[-1])  # (N, K)
        if teaching is not None and step + 1 < horizon:
            teacher, forced = teaching
            seen = seen + forced[:, step] * (teacher[:, step] - seen)
    return by.readout(ops.stack(states, axis=1))  # (N, H, K)
