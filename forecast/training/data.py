"""Feeds windows to Keras: one gather a batch, prepared while the network computes.

    order of windows (N,) -> cutoffs of a batch (B,) -> gather -> past (B, L, F), ..., y (B, H, K)

The order of epoch `e` is a permutation drawn from (seed, e) alone, so that a run which is taken up again goes on with
the same windows. Nothing but the rows themselves is held in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.pipeline import DataPipeline, Rows
from pipelines.windows import WindowIndex

from ..layers.fast_lstm import fast
from ..models._shell import input_names
from . import speed

PREFETCH = 4  # batches


def training_data(
    model: Any,
    pipeline: DataPipeline,
    rows: Rows,
    index: WindowIndex,
    batch_size: int,
    seed: int | None = None,
    forced: Callable[[int], float] | None = None,
) -> tf.data.Dataset:
    """Returns batches of `(inputs, y)` for `model.fit`.

    Args:
        model: The network; it gets the inputs that it names.
        rows: What windows are gathered from.
        index: Which windows.
        batch_size: Windows per batch; the last one may be smaller.
        seed: Shuffles each epoch; None keeps the order, for validation.
        forced: The share of steps that are told the truth by epoch, for a network with a teacher; never where None.
    """
    names = input_names(model)
    epoch = iter(range(10**9))

    def batches() -> Iterator[tuple[Any, Any]]:
        order, number = np.arange(len(index)), next(epoch)
        random = np.random.default_rng((seed or 0, number))
        if seed is not None:
            order = random.permutation(len(index))
        for first in range(0, len(order), batch_size):
            y: Any
            inputs, y = pipeline.batch(rows, index[order[first : first + batch_size]])
            if "teacher" in names:
                told = random.random((*y.shape[:2], 1)) < (forced(number) if forced else 0.0)
                inputs |= {"teacher": y, "forced": told.astype(np.float32)}
            yield feed(inputs, names), y

    y: Any
    example, y = pipeline.batch(rows, index[:1])
    example |= {"teacher": y, "forced": y[:, :, :1]}
    signature = (_signature(feed(example, names)), _signature(y))
    count = -(-len(index) // batch_size)
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and its thread takes turns with the network's
    return data.apply(tf.data.experimental.assert_cardinality(count)).prefetch(PREFETCH).with_options(options)


def feed(inputs: dict[str, np.ndarray], names: tuple[str, ...]) -> Any:
    """Returns inputs in the shape that a model takes them: an array where it has one, else a mapping."""
    return inputs["past"] if names == ("past",) else {name: inputs[name] for name in names}


class Predictor:
    """Predicts many windows with one compiled call, traced once; and once more on the kernel, where there are many.

    Example: `Predictor(model)(pipeline, rows, index)` returns `(N, H, K)`, in scaled units.
    """

    BATCH = 1024

    def __init__(self, model: Any) -> None:
        self.names, self.shape = input_names(model), tuple(model.outputs[0].shape[1:])
        specs = {
            name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
            for name, tensor in zip(self.names, model.inputs, strict=True)
        }
        signature = specs["past"] if self.names == ("past",) else specs

        self._model, self._signature = model, signature
        self._functions: dict[bool, Any] = {}  # on the kernel or not

    def __call__(self, pipeline: DataPipeline, rows: Rows, index: WindowIndex) -> np.ndarray:
        """Returns the network's answers `(N, H, K)`, or `(N, H, K, Q)`."""
        parts, function = [], self._function(speed.prediction_pays(self._model, len(index)))
        for first in range(0, len(index), self.BATCH):
            inputs, _ = pipeline.batch(rows, index[first : first + self.BATCH], future=False)
            parts.append(function(feed(inputs, self.names)).numpy())
        return np.concatenate(parts) if parts else np.empty((0, *self.shape), np.float32)

    def _function(self, kernel: bool) -> Any:
        """Returns the network as one compiled function of a batch."""
        if kernel not in self._functions:
            function = tf.function(
                lambda inputs: self._model(inputs, training=False), input_signature=[self._signature], autograph=False
            )
            with fast(self._model) if kernel else nullcontext():
                function.get_concrete_function()
            self._functions[kernel] = function
        return self._functions[kernel]


def _signature(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _signature(array) for name, array in value.items()}
    return tf.TensorSpec((None, *value.shape[1:]), value.dtype)
