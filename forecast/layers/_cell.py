"""What cells of our own share: dropout as Keras's cells do it."""

from typing import Any

import keras


def dropped(cell: keras.layers.LSTMCell, inputs: Any, states: Any, training: bool) -> tuple[Any, Any, Any]:
    """Returns input `(B, F)` and hidden state `(B, U)` without what this batch leaves out, and the cell state."""
    h, c = states
    if training and cell.dropout:
        inputs = inputs * cell.get_dropout_mask(inputs)
    if training and cell.recurrent_dropout:
        h = h * cell.get_recurrent_dropout_mask(h)
    return inputs, h, c
