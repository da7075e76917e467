"""How a network runs fastest here: on the LSTM kernel, compiled by XLA, or as Keras has it.

    what there is                           on a processor                       on a GPU
    LSTMs that the kernel covers            the kernel                           as Keras has it: cuDNN
    other recurrent layers                  the whole step compiled by XLA       as Keras has it
    few steps                               as Keras has it: compiling takes longer than they do
    FORECAST_KERNEL=stock                   as Keras has it

Compiling costs seconds once. Whatever is chosen, weights, results and gradients are those of Keras, but for the order
in which sums are rounded; and the same choice is made again for the same network and data.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import keras

from ..layers.fast_lstm import fast, why_not, why_off
from ..layers.loops import recurrent_layers

log = logging.getLogger(__name__)

# Rows that a network must step through until compiling has paid: about a thousand batches of 60 rows, of 32 windows.
TRAINING_PAYS = 60_000
USUAL_BATCH = 32
PREDICTION_PAYS = 2_048  # windows
AT_ONCE = 8  # steps between two looks of Keras at its callbacks
USUAL_EPOCHS = 10  # of which nobody knows before how many early stopping will allow


@contextlib.contextmanager
def training(model: keras.Model, batches: int, epochs: int, batch_size: int = USUAL_BATCH) -> Iterator[dict[str, Any]]:
    """Chooses how a network is trained, for as long as it is compiled and fitted in here.

    Args:
        model: The network.
        batches: Steps of an epoch.
        epochs: At most so many.
        batch_size: Windows of a step: a larger one takes longer, and gains more.

    Yields:
        Further settings of `model.compile`.
    """
    layers = recurrent_layers(model)
    steps = min(epochs, USUAL_EPOCHS) * batches * _rows(model) * max(batch_size / USUAL_BATCH, 1)
    why = why_off()
    if not why and layers and steps < TRAINING_PAYS:
        why = "compiling would take longer than the training"
    if why or not layers:
        if layers:
            log.info("Training runs on Keras's own loops: %s.", why)
        yield {}
    elif any(not why_not(layer) for layer in layers):
        with fast(model):
            yield {"jit_compile": False, "steps_per_execution": AT_ONCE}
    else:
        for layer in layers:
            log.info("The training step is compiled by XLA: %s.", why_not(layer))
        yield {"jit_compile": True, "steps_per_execution": AT_ONCE}


def prediction_pays(model: keras.Model, windows: int) -> bool:
    """Returns whether the kernel should predict so many windows."""
    covered = any(not why_not(layer) for layer in recurrent_layers(model))
    return covered and windows >= PREDICTION_PAYS and not why_off()


def _rows(model: keras.Model) -> int:
    """Returns how many rows the longest recurrent layer steps through."""
    found = [layer.input.shape[1] for layer in recurrent_layers(model) if len(layer._inbound_nodes) == 1]
    return max((int(rows) for rows in found if rows), default=int(model.inputs[0].shape[1] or 1))
