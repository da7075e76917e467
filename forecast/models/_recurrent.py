"""What all recurrent cores share: their options, and one recurrent layer with them."""

from typing import Any

import keras
import numpy as np
from pydantic import Field, field_validator

from pipelines.spec import Spec


class RecurrentOptions(Spec):
    """Options of every recurrent model.

    Attributes:
        units: Size of the hidden state.
        dropout: Share of a recurrent layer's inputs that a training step leaves out.
        recurrent_dropout: Share of its hidden state that a training step leaves out; the fused GPU kernel then rests.
        l2: Weight of the squared kernels in the loss.
        batch_norm: Normalise what a recurrent layer gives over the batch (Ioffe and Szegedy 2015,
            https://arxiv.org/abs/1502.03167); at prediction with the running mean and deviation of training.
        kernel_initializer: Keras's name for how input kernels start.
        recurrent_initializer: Keras's name for how recurrent kernels start.
    """

    units: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
    batch_norm: bool = False
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str = "orthogonal"

    @field_validator("kernel_initializer", "recurrent_initializer")
    @classmethod
    def _exists(cls, name: str) -> str:
        try:
            keras.initializers.get(name)
        except ValueError:
            raise ValueError(f"an initializer that Keras knows, such as 'glorot_uniform'. Received: {name!r}") from None
        return name


class LSTMOptions(RecurrentOptions):
    """Options of every model made of LSTMs.

    Attributes:
        forget_bias: Where the bias of the forget gate starts; 1 lets a fresh network remember (Jozefowicz et al. 2015,
            https://proceedings.mlr.press/v37/jozefowicz15.html).
    """

    forget_bias: float = 1.0


def recurrent(
    layer: type[keras.layers.Layer], options: RecurrentOptions, units: int | None = None, **settings: Any
) -> keras.layers.Layer:
    """Returns a stock recurrent layer, such as `keras.layers.GRU`, with the options of a model."""
    regularizer = keras.regularizers.L2(options.l2) if options.l2 else None
    return layer(
        units or options.units,
        dropout=options.dropout,
        recurrent_dropout=options.recurrent_dropout,
        kernel_initializer=options.kernel_initializer,
        recurrent_initializer=options.recurrent_initializer,
        kernel_regularizer=regularizer,
        recurrent_regularizer=regularizer,
        **settings,
    )


def of_cell(cell: type[keras.layers.Layer], options: RecurrentOptions, name: str) -> keras.layers.Layer:
    """Returns a recurrent layer made of cells of our own, with the options of a model."""
    return keras.layers.RNN(recurrent(cell, options), name=name)


def normalised(options: RecurrentOptions, *layers: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns recurrent layers, each with a batch normalisation behind it where the options ask for one."""
    behind = [keras.layers.BatchNormalization() for _ in layers] if options.batch_norm else [None] * len(layers)
    return [one for pair in zip(layers, behind, strict=True) for one in pair if one is not None]


def lstm(options: RecurrentOptions, units: int | None = None, **settings: Any) -> keras.layers.Layer:
    """Returns a stock LSTM layer with the options of a model."""
    return recurrent(keras.layers.LSTM, options, units, **settings)


def set_forget_bias(model: keras.Model, value: float) -> keras.Model:
    """Sets where the forget gates start; Keras's own switch knows only 0 and 1."""
    for layer in model.layers:
        for one in (layer, getattr(layer, "forward_layer", None), getattr(layer, "backward_layer", None)):
            cell = getattr(one, "cell", one)
            if isinstance(cell, keras.layers.LSTMCell) and cell.use_bias:
                bias = np.array(keras.ops.convert_to_numpy(cell.bias))  # gates i, f, c, o
                bias[cell.units : 2 * cell.units] = value
                cell.bias.assign(bias)
    return model


def last(sequence: keras.KerasTensor, steps: int) -> keras.KerasTensor:
    """Returns the last row of a sequence `(N, steps, U)` as `(N, U)`.

    A recurrent layer that gives its whole sequence and its last state besides could not become one operator on a
    device.
    """
    return keras.layers.Flatten(name="last_state")(keras.layers.Cropping1D((steps - 1, 0))(sequence))
