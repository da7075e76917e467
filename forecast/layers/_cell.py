"""What cells of our own share: the options of Keras's LSTM cell, and its dropout."""

from typing import Any

import keras


class OwnCell(keras.layers.LSTMCell):
    """A cell with the options and weights of an LSTM's, whose step is its own.

    Args:
        units: Size of the hidden state.
        settings: Others of `keras.layers.LSTMCell`.
    """

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(units, **settings)
        self.dropout_mask_count = None  # one mask for all gates

    def dropped(self, inputs: Any, states: Any, training: bool) -> tuple[Any, Any, Any]:
        """Returns input `(B, F)` and hidden state `(B, U)` without what this batch leaves out, and the cell state."""
        h, c = states
        if training and self.dropout:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and self.recurrent_dropout:
            h = h * self.get_recurrent_dropout_mask(h)
        return inputs, h, c
