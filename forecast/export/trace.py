"""Traces a Keras model with other inner loops in its recurrent layers; their weights and the model itself stay.

One layout is one function in the place of a layer's loop over time, see `forecast/layers/loops.py`.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..layers.loops import InnerLoop, recurrent_layers


@dataclass(frozen=True)
class Input:
    """One input of a core; `shape` is without the batch."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Core:
    """The network to convert: what lies between the float operations at both ends.

    Attributes:
        model: A built Sequential or functional model with one output.
        inputs: Its inputs that the file has, too, in the model's order.
        fixed: Values of inputs that are built into the file, such as the number of a series.
    """

    model: keras.Model
    inputs: tuple[Input, ...]
    fixed: Mapping[str, np.ndarray]

    def signature(self, batch: int, lookback: int | None = None) -> list[tf.TensorSpec]:
        """Returns what a traced function takes; `lookback` replaces the length of `past`."""
        specs = []
        for one in self.inputs:
            shape = (lookback, *one.shape[1:]) if lookback and one.name == "past" else one.shape
            specs.append(tf.TensorSpec([batch, *shape], tf.float32, name=one.name))
        return specs

    def call(self, *arguments: tf.Tensor) -> tf.Tensor:
        """Returns the model's answer to its inputs `(B, ...)`, in the order of `inputs`."""
        batch = arguments[0].shape[0]
        given = dict(zip([one.name for one in self.inputs], arguments, strict=True))
        for name, value in self.fixed.items():
            given[name] = tf.tile(tf.constant(value)[None], [batch] + [1] * np.ndim(value))
        names = [tensor.name for tensor in self.model.inputs]
        several = len(names) > 1
        inputs = keras.tree.pack_sequence_as(self.model.input, [given[n] for n in names]) if several else arguments[0]
        # `call`, not `__call__`: a step model shows it one row where it was built for a whole window.
        return self.model.call(inputs, training=False)

    @property
    def variables(self) -> list[Any]:
        """Returns what the model reads, for the converter to track."""
        return [variable.value for variable in self.model.variables]


@contextlib.contextmanager
def swapped(model: keras.Model, loop_of: Callable[[keras.layers.RNN], InnerLoop]) -> Iterator[None]:
    """Puts other inner loops into the recurrent layers of a model for as long as it is traced.

    Layer normalisations get a form that has integer kernels.
    """
    layers = recurrent_layers(model)
    normalised = [one for one in model._flatten_layers() if type(one) is keras.layers.LayerNormalization]
    nested = [one for one in model._flatten_layers(include_self=False) if isinstance(one, keras.Model)]
    try:
        for layer in layers:
            vars(layer)["inner_loop"] = loop_of(layer)
            for owner, name in _masks(layer):
                vars(owner)[name] = lambda *args: None
        for layer in normalised:
            vars(layer)["call"] = functools.partial(_layer_norm, layer)
        for one in nested:  # built for the whole window; a step model shows them one row
            vars(one)["_assert_input_compatibility"] = lambda *args, **kwargs: None
        yield
    finally:
        for layer in layers:
            vars(layer).pop("inner_loop", None)
            for owner, name in _masks(layer):
                vars(owner).pop(name, None)
        for layer in normalised:
            vars(layer).pop("call", None)
        for one in nested:
            vars(one).pop("_assert_input_compatibility", None)


def _masks(layer: keras.layers.RNN) -> list[tuple[Any, str]]:
    """Returns the methods that draw masks of dropout: they do so at inference, too, where nothing uses them."""
    cells = getattr(layer.cell, "cells", [layer.cell])
    names = ("get_dropout_mask", "get_recurrent_dropout_mask")
    found = [(cell, name) for cell in cells for name in names if hasattr(cell, name)]
    return [(layer, "_maybe_config_dropout_masks"), *found]


def _layer_norm(layer: keras.layers.LayerNormalization, inputs: tf.Tensor, **kwargs: Any) -> tf.Tensor:
    """Layer normalisation without NEG, which has no integer kernel: Keras adds the negative mean, this subtracts it."""
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    mean = tf.reduce_mean(inputs, axes, keepdims=True)
    centred = inputs - mean
    variance = tf.reduce_mean(centred * centred, axes, keepdims=True)
    result = centred * tf.math.rsqrt(variance + layer.epsilon)
    shape = [1] * len(inputs.shape)
    for axis in axes:
        shape[axis] = inputs.shape[axis]
    if layer.scale:
        result = result * tf.reshape(tf.convert_to_tensor(layer.gamma), shape)
    return result + tf.reshape(tf.convert_to_tensor(layer.beta), shape) if layer.center else result


def traced(
    core: Core, batch: int, loop_of: Callable[[keras.layers.RNN], InnerLoop], lookback: int | None = None
) -> Any:
    """Returns the core as a traced tf.function `(batch, ...) -> {"y": (batch, ...)}`."""
    function = tf.function(
        lambda *arguments: {"y": core.call(*arguments)},
        input_signature=core.signature(batch, lookback),
        autograph=False,
    )
    with swapped(core.model, loop_of):
        function.get_concrete_function()
    return function
