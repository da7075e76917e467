"""MLP: the window as one long vector through dense layers; it has no notion of order.

    (L, F) - Flatten - Dense, ReLU - Dropout - ... - Dense - Reshape - (H, K)

The other bar beside `linear`: where it is as good as a recurrent network, the order of rows is not what counts.

Source: Rumelhart et al. (1986), https://doi.org/10.1038/323533a0
"""

import keras
from pydantic import Field

from . import Shapes
from ._head import ContextOptions, answered, inputs

INPUTS = ("past", "known", "static", "series")


class Options(ContextOptions):
    """Options of `mlp`.

    Attributes:
        units: Size of each hidden layer, from the input up.
        dropout: Share of a layer's outputs that a training step leaves out.
        l2: Weight of the squared kernels in the loss.
    """

    units: tuple[int, ...] = Field(default=(128, 128), min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)


def build(shapes: Shapes, options: Options) -> keras.Model:
    """Returns the functional core."""
    given = inputs(shapes, options)
    regularizer = keras.regularizers.L2(options.l2) if options.l2 else None
    x = keras.layers.Flatten(name="window")(given["past"])  # (N, L * F)
    for units in options.units:
        x = keras.layers.Dense(units, activation="relu", kernel_regularizer=regularizer)(x)
        if options.dropout:
            x = keras.layers.Dropout(options.dropout)(x)
    return answered("mlp", given, x, shapes, options, options.units[-1])
