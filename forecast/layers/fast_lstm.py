"""A faster loop for `keras.layers.LSTM` on a processor: the same weights, results and gradients.

    with fast(model):               every LSTM that the kernel covers runs on it, wherever it sits in the model
        model.compile(...)
        model.fit(...)              functions that are traced in here keep it
                                    the model itself, and what is saved of it, stays as it was

    why_not(layer) == ""            the kernel covers this layer

On a GPU the layer is left alone, since TensorFlow has cuDNN there. `FORECAST_KERNEL=stock` switches the kernel off.

This module has no layer of its own: a saved network holds Keras's.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from pipelines.errors import ConfigError

from ._fast_slices import run
from .loops import InnerLoop, recurrent_layers

log = logging.getLogger(__name__)

SETTING = "FORECAST_KERNEL"


def why_not(layer: keras.layers.RNN) -> str:
    """Returns why the kernel leaves a layer to Keras's own loop; empty where it does not."""
    if type(layer) is not keras.layers.LSTM:
        return f"the kernel is for keras.layers.LSTM, and this is {type(layer).__name__}"
    if layer.activation is not keras.activations.tanh or layer.recurrent_activation is not keras.activations.sigmoid:
        return "its activations are not tanh and sigmoid"
    if layer.recurrent_dropout:
        return "it has recurrent dropout"
    if layer.dropout and getattr(layer.cell, "dropout_mask_count", None):
        return "it draws a dropout mask for each gate"
    if layer.stateful:
        return "it is stateful"
    if layer.unroll:
        return "it is unrolled"
    if (layer.compute_dtype, layer.variable_dtype) != ("float32", "float32"):
        return f"it computes in {layer.compute_dtype}, not float32"
    return ""


@contextlib.contextmanager
def fast(model: keras.Model) -> Iterator[None]:
    """Puts the kernel into every LSTM that it covers, for functions that are traced or run meanwhile.

    Those are the functions of `fit`, `evaluate` and `predict`, or a `tf.function` of your own, at their first call:
    compile the model in here, too. What it leaves to Keras is logged with the reason.

    Raises:
        ConfigError: `FORECAST_KERNEL` is neither `fast` nor `stock`.

    Example:
        with fast(model):
            model.compile("adam", "mse", jit_compile=False)
            model.fit(x, y)
    """
    reason = why_off()
    swapped: list[tuple[dict[str, Any], bool, Any]] = []
    try:
        if reason:
            log.info("The fast LSTM kernel is off: %s.", reason)
        else:
            for layer in recurrent_layers(model):
                if why := why_not(layer):
                    log.info("Layer %r runs on Keras's own loop: %s.", layer.name, why)
                    continue
                own = vars(layer)
                swapped.append((own, "inner_loop" in own, own.get("inner_loop")))
                own["inner_loop"] = inner_loop(layer)
        yield
    finally:
        for own, had_one, before in swapped:
            own.pop("inner_loop", None)
            if had_one:
                own["inner_loop"] = before


def inner_loop(layer: keras.layers.LSTM) -> InnerLoop:
    """Returns the kernel as the loop over time of one layer; masked sequences go to the loop that it has now."""
    stock = layer.inner_loop

    def loop(
        sequences: Any, initial_state: Any, mask: Any = None, training: bool = False
    ) -> tuple[Any, Any, list[Any]]:
        if any(one is not None for one in tf.nest.flatten(mask)):
            log.info("Layer %r runs on Keras's own loop: its sequences are masked.", layer.name)
            result: tuple[Any, Any, list[Any]] = stock(sequences, initial_state, mask, training=training)
            return result
        cell = layer.cell
        x = tf.convert_to_tensor(sequences)  # (B, T, F)
        if training and layer.dropout:
            x = x * cell.get_dropout_mask(x[:, 0])[:, None]  # one mask for all steps
        if layer.go_backwards:
            x = tf.reverse(x, [1])
        W, R = tf.convert_to_tensor(cell.kernel), tf.convert_to_tensor(cell.recurrent_kernel)  # (F, 4U), (U, 4U)
        b = tf.zeros([4 * layer.units]) if cell.bias is None else tf.convert_to_tensor(cell.bias)
        h0, c0 = (tf.convert_to_tensor(state) for state in initial_state)  # (B, U) each
        outputs, h, c = run(x, h0, c0, W, R, b, sequences=layer.return_sequences, keep=bool(training))
        B, T, U = x.shape[0], x.shape[1] if layer.return_sequences else 1, layer.units
        outputs, h, c = tf.ensure_shape(outputs, [B, T, U]), tf.ensure_shape(h, [B, U]), tf.ensure_shape(c, [B, U])
        return h, outputs, [h, c]

    return loop


def why_off() -> str:
    """Returns why no layer is swapped; empty where layers are."""
    value = os.environ.get(SETTING, "fast")
    if value not in ("fast", "stock"):
        raise ConfigError(
            f"The environment variable `{SETTING}` must be 'fast' or 'stock'. Received: {value!r}. Unset it for the "
            "fast LSTM kernel, or set it to 'stock' for Keras's own."
        )
    if value == "stock":
        return f"{SETTING}=stock"
    if tf.config.list_logical_devices("GPU"):
        return "TensorFlow sees a GPU, where Keras's LSTM runs on cuDNN"
    return ""
