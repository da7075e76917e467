"""Feeds windows to Keras: one gather a batch, prepared while the network computes.

    order of windows (N,) -> cutoffs of a batch (B,) -> gather -> past (B, L, F), ..., y (B, H, K)
                                                        `-> augmented, taught, with units, where that is asked for

The order of epoch `e` is drawn from (seed, e) alone, and all chance in its batch `b` from (seed, e, b), so that a run
which is taken up again in the middle of an epoch goes on with the same windows. Nothing but the rows themselves is held
in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.pipeline import DataPipeline, Rows
from pipelines.windows import WindowIndex

from ..layers.fast_lstm import fast
from ..models._shell import input_names
from . import speed
from .augment import augment
from .losses import with_units
from .spec import AugmentSpec, steps_of_epoch

PREFETCH = 4  # batches


@dataclass(frozen=True, eq=False)
class Extras:
    """What else goes into training batches; nothing by default.

    Attributes:
        augment: Windows that never were.
        forced: The share of steps that are told the truth by epoch, for a network with a teacher.
        softened: Returns what to learn instead of the truth `(B, H, K)`, given the numbers of windows in the index
            and the truth, see `forecast.distilling`.
        scales: The naive error of each series `(S, K)`, for a loss in units of series.
    """

    augment: AugmentSpec = field(default_factory=AugmentSpec)
    forced: Callable[[int], float] | None = None
    softened: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    scales: np.ndarray | None = None


class Batches:
    """Batches of `(inputs, y)` for `model.fit`.

    Args:
        model: The network; it gets the inputs that it names.
        rows: What windows are gathered from.
        index: Which windows.
        batch_size: Windows per batch; the last one may be smaller.
        seed: Shuffles each epoch; None keeps the order, for validation.
        steps: Batches of a pass, at most; by default all.
        extras: What else goes into them.

    Attributes:
        epoch: Which epoch the next pass is; whoever trains sets it.
    """

    def __init__(
        self,
        model: Any,
        pipeline: DataPipeline,
        rows: Rows,
        index: WindowIndex,
        batch_size: int,
        seed: int | None = None,
        extras: Extras | None = None,
        steps: int | None = None,
    ) -> None:
        self.names, self.pipeline, self.rows, self.index = input_names(model), pipeline, rows, index
        self.batch_size, self.seed, self.extras = batch_size, seed, extras or Extras()
        self.epoch, self.steps = 0, steps

    def __len__(self) -> int:
        return steps_of_epoch(len(self.index), self.batch_size, self.steps)

    def dataset(self, first: int = 0) -> tf.data.Dataset:
        """Returns one pass over the windows, from a batch on."""
        signature = tuple(map(_signature, self.batch(np.arange(1), np.random.default_rng(0))))
        data = tf.data.Dataset.from_generator(lambda: self._pass(first), output_signature=signature)
        options = tf.data.Options()
        options.autotune.enabled = False  # there is nothing to tune, and its thread takes turns with the network's
        count = tf.data.experimental.assert_cardinality(len(self) - first)
        return data.apply(count).prefetch(PREFETCH).with_options(options)

    def _pass(self, first: int) -> Iterator[tuple[Any, Any]]:
        epoch, order = self.epoch, np.arange(len(self.index))
        if self.seed is not None:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(order))
        for number in range(first, len(self)):
            which = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield self.batch(which, np.random.default_rng((self.seed or 0, epoch, number)), epoch)

    def batch(self, which: np.ndarray, random: np.random.Generator, epoch: int = 0) -> tuple[Any, np.ndarray]:
        """Returns some windows of the index, by their numbers."""
        extras, pipeline, index = self.extras, self.pipeline, self.index[which]
        y: Any
        inputs, y = pipeline.batch(self.rows, index)  # y (B, H, K)
        answers = [y] if extras.softened is None else [y, extras.softened(which, y)]
        if extras.augment.on:
            relative = pipeline.spec.predict == "return"
            inputs, answers = augment(extras.augment, random, inputs, answers, pipeline.levels_, relative)
        if "teacher" in self.names:
            told = random.random((*y.shape[:2], 1)) < (extras.forced(epoch) if extras.forced else 0.0)
            inputs |= {"teacher": answers[0], "forced": told.astype(np.float32)}
        y = answers[-1]
        if extras.scales is not None:
            y = with_units(y, *pipeline.units(self.rows, index), extras.scales[index.series])
        return feed(inputs, self.names), y


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
