"""Additive attention over time steps, of stock layers: which rows of the window matter, seen from its last one.

    score_t = v . tanh(W x_t + V x_L + b)        (N, L, 1)
    weight = softmax over t of score             (N, L, 1), the layer `attention`
    context = sum over t of weight_t * x_t       (N, C)

Source: Bahdanau et al. (2014), https://arxiv.org/abs/1409.0473, with the last state in the place of the decoder's.
"""

from typing import Any

import keras

LAYER = "attention"  # its output is the weights

# Means of rows that weights are shared out among, at most, where nobody looks at single rows: all weights together are
# 1, which in the integers of a device are 256 steps, too few for a window of hundreds of rows.
GROUPS = 32


def attend(sequence: keras.KerasTensor, query: keras.KerasTensor, steps: int, units: int) -> keras.KerasTensor:
    """Returns the weighted sum of a sequence.

    Args:
        sequence: `(N, L, C)`.
        query: Seen from where `(N, Q)`.
        steps: `L`.
        units: Of the score.
    """
    asked = keras.layers.Reshape((1, units))(keras.layers.Dense(units, use_bias=False, name="query")(query))
    keys = keras.layers.Dense(units, name="keys")(sequence)  # (N, L, A)
    seen = keras.layers.Activation("tanh")(keras.layers.Add()([keys, asked]))
    score = keras.layers.Dense(1, use_bias=False, name="score")(seen)  # (N, L, 1)
    weights = keras.layers.Softmax(axis=-1, name=LAYER)(keras.layers.Reshape((1, steps))(score))  # (N, 1, L)
    return keras.layers.Flatten(name="attended")(keras.layers.Dot((2, 1))([weights, sequence]))  # (N, C)


def grouped(sequence: keras.KerasTensor, steps: int) -> keras.KerasTensor:
    """Returns means over a few rows each `(N, G, C)` of a sequence `(N, steps, C)`; itself where it is short.

    Rows that fill no whole group are left out, the oldest ones.
    """
    rows = -(-steps // GROUPS)
    if rows == 1:
        return sequence
    whole = keras.layers.Cropping1D((steps % rows, 0))(sequence) if steps % rows else sequence
    return keras.layers.AveragePooling1D(rows)(whole)


def weights_of(core: keras.Model, inputs: Any) -> Any:
    """Returns how much each row of a window counts `(N, L)`, or None where the core has no such attention.

    Args:
        core: A model of this folder.
        inputs: What it takes, by name.
    """
    if LAYER not in {layer.name for layer in core.layers}:
        return None
    asked = keras.Model(core.inputs, core.get_layer(LAYER).output)
    found = asked([inputs[tensor.name] for tensor in core.inputs])
    return keras.ops.convert_to_numpy(found)[:, 0]
