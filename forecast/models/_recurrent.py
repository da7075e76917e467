"""What all recurrent cores share: their options, one LSTM layer with them, and the head."""

from typing import Any

import keras
import numpy as np
from pydantic import Field, field_validator

from pipelines.spec import Spec

from . import Shapes


class RecurrentOptions(Spec):
    """Options of every recurrent model.

    Attributes:
        units: Size of the hidden state.
        dropout: Share of a recurrent layer's inputs that a training step leaves out.
        recurrent_dropout: Share of its hidden state that a training step leaves out; the fused GPU kernel then rests.
        l2: Weight of the squared kernels in the loss.
        kernel_initializer: Keras's name for how input kernels start.
        recurrent_initializer: Keras's name for how recurrent kernels start.
    """

    units: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
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


def lstm(options: RecurrentOptions, units: int | None = None, **settings: Any) -> keras.layers.Layer:
    """Returns a stock LSTM layer with the options of a model."""
    return recurrent(keras.layers.LSTM, options, units, **settings)


def head(shapes: Shapes) -> list[keras.layers.Layer]:
    """Returns the layers from the last hidden state `(N, U)` to the answer `(N, H, K)`."""
    return [
        keras.layers.Dense(shapes.horizon * shapes.targets, name="head"),
        keras.layers.Reshape((shapes.horizon, shapes.targets), name="answer"),
    ]


def set_forget_bias(model: keras.Model, value: float) -> keras.Model:
    """Sets where the forget gates start; Keras's own switch knows only 0 and 1."""
    for layer in model.layers:
        for one in (layer, getattr(layer, "forward_layer", None), getattr(layer, "backward_layer", None)):
            if isinstance(one, keras.layers.LSTM) and one.use_bias:
                bias = np.array(keras.ops.convert_to_numpy(one.cell.bias))  # gates i, f, c, o
                bias[one.units : 2 * one.units] = value
                one.cell.bias.assign(bias)
    return model
