"""Finds recurrent layers, and what it takes to give one another loop over time.

    layer.inner_loop(sequences, initial_state, mask, training) -> last_output (B, U), outputs (B, T, U), states

Keras calls this method of every recurrent layer, wherever the layer sits: in a nested model, in Bidirectional, called
twice. So another loop is one function in this place, and nothing is cloned. The kernel for training (`fast_lstm.py`)
and the layouts of exported files (`forecast/export/layouts`) are such functions.
"""

from collections.abc import Callable
from typing import Any

import keras

InnerLoop = Callable[..., tuple[Any, Any, list[Any]]]


def recurrent_layers(model: keras.Model) -> list[keras.layers.RNN]:
    """Returns every recurrent layer, also in nested models and wrappers."""
    found: dict[int, keras.layers.RNN] = {}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Bidirectional):
            found.pop(id(getattr(layer, "layer", None)), None)
        if isinstance(layer, keras.layers.RNN):
            found[id(layer)] = layer
    return list(found.values())
