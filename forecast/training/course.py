"""The course of one training: where it is, what it has seen, and the best weights so far. All of it is plain state.

epoch 0                 the untrained network
epoch e, batch b        state: weights, seeds, moments, history, best weights --> checkpoint, exact resume
validation              on the averaged weights, where there is an average
end of an epoch         history, best weights, early stopping, learning rate of a plateau
"""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pipelines.errors import Stopped

from .checkpoint import Checkpoint, State, arrays, put, taken
from .schedules import plateau, rate_now
from .spec import TrainingSpec

COLUMNS = ("epoch", "loss", "val_loss", "learning_rate")


class Course(keras.callbacks.Callback):
    """Keeps the best weights, stops where the validation loss has not fallen for `patience` epochs, and remembers all.

    Without early stopping the last weights are the best.

    Args:
        spec: How to train.
        feed: The training batches; told which epoch it is.
        watch: Called after each epoch with its number, from 1, while the network has the weights it would forecast
            with.

    Attributes:
        rows: A row of `COLUMNS` for each epoch so far.
        epoch, batch: How much is done: so many epochs, and so many batches of the next.
        best, best_epoch, weights: The lowest validation loss, and where it was.
        epochs: How many there will be at most.
    """

    def __init__(self, spec: TrainingSpec, feed: Any, watch: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.spec, self.feed, self.watch = spec, feed, watch
        self.rows: list[tuple[float, ...]] = []
        self.epoch = self.batch = 0
        self.best, self.best_epoch = np.inf, 0
        self.weights: list[np.ndarray] = []
        self.stopped = False
        self.epochs = spec.epochs
        self._began, self._done = time.monotonic(), 0  # when this process took it up, and after how many epochs
        self._running: float | None = None  # since when steps are taken: compiling is over
        self._late = False  # no time was left in the middle of an epoch
        self._metrics: list[np.ndarray] = []  # of the part of an epoch that was done before
        self._raw: list[np.ndarray] = []  # what the averages stand in for

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.stopped or self.epoch >= self.epochs

    def begin(self, model: keras.Model, untrained: float) -> None:
        """Takes the untrained weights as the best so far."""
        self._began = time.monotonic()
        self.best = untrained if np.isfinite(untrained) else np.inf
        self.rows, self.weights = [(0, np.nan, untrained, np.nan)], model.get_weights()

    # --- state ----------------------------------------------------------------------------------------------------

    def state(self, batch: int) -> State:
        """Returns all that the training hangs on, after so many batches of this epoch."""
        model = self.model
        place = [self.epoch, batch, self.best_epoch, self.stopped, self.epochs]
        return {
            **taken("model", model.variables),
            **taken("optimizer", model.optimizer.variables),
            **taken("metric", model.metrics_variables),
            **{f"best/{i}": array for i, array in enumerate(self.weights)},
            "history": np.array(self.rows, np.float64),
            "best_loss": np.array(self.best),
            "place": np.array(place, np.int64),
        }

    def restore(self, model: keras.Model, state: State) -> None:
        """Takes a training up again."""
        model.optimizer.build(model.trainable_variables)
        put(state, "model", model.variables)
        put(state, "optimizer", model.optimizer.variables)
        self._metrics, self.weights = arrays(state, "metric"), arrays(state, "best")
        self.rows = [tuple(row) for row in state["history"].tolist()]
        self.best = float(state["best_loss"])
        self.epoch, self.batch, self.best_epoch, stopped, self.epochs = (int(n) for n in state["place"])
        self.stopped = bool(stopped)
        self._began, self._done = time.monotonic(), self.epoch
        self._shorten(model)
        self._shrink(model)

    # --- what Keras calls -----------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Tells the batches which epoch it is; in the middle of one, the loss so far counts on."""
        self.feed.epoch = epoch
        if self.batch and self._metrics:
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends an epoch for which no time is left."""
        now = time.monotonic()
        if self._running is None:
            self._running = now
        if self.spec.seconds is not None and now - self._began > self.spec.seconds:
            self._late = self.model.stop_training = True

    def on_test_begin(self, logs: Any = None) -> None:
        """Validates what would forecast: the averaged weights, where there are any."""
        averages = getattr(_bare(self.model.optimizer), "averages", [])
        self._raw = [variable.numpy() for variable in self.model.trainable_variables] if averages else []
        for variable, average in zip(self.model.trainable_variables, averages, strict=bool(averages)):
            variable.assign(average)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares this epoch with the best."""
        loss, val_loss = logs["loss"], logs["val_loss"]
        self.rows.append((epoch + 1, loss, val_loss, rate_now(self.model.optimizer)))
        if not np.isfinite(loss) or not np.isfinite(val_loss):
            self.stopped = True
        elif val_loss < self.best or not self.spec.early_stopping:
            self.best, self.best_epoch, self.weights = val_loss, epoch + 1, self.model.get_weights()
        elif epoch + 1 - self.best_epoch >= self.spec.patience:
            self.stopped = True
        self.stopped |= self._late
        self.epoch, self.batch = epoch + 1, 0
        if self.spec.seconds is not None:
            self._plan(self.spec.seconds)
        self._shrink(self.model)
        if self.watch is not None:
            self.watch(self.epoch)
        for variable, value in zip(self.model.trainable_variables, self._raw, strict=bool(self._raw)):
            variable.assign(value)
        self._raw = []
        self.model.stop_training = self.finished

    def _plan(self, seconds: float) -> None:
        """Shortens the run to the epochs that fit into the time."""
        now = time.monotonic()
        each = (now - (self._running or self._began)) / (self.epoch - self._done)
        left = math.floor((seconds - (now - self._began)) / max(each, 1e-9))
        self.epochs = min(self.epochs, self.epoch + max(left, 0))
        self._shorten(self.model)

    def _shorten(self, model: keras.Model) -> None:
        """Lets the schedule end with the run."""
        _bare(model.optimizer)._learning_rate.epochs.assign(float(self.epochs))

    def _shrink(self, model: keras.Model) -> None:
        """Lowers the learning rate where the loss has not fallen."""
        if self.spec.schedule.name == "plateau":
            rate = _bare(model.optimizer)._learning_rate  # the schedule itself, which Keras hands out as numbers
            rate.scale.assign(plateau(self.spec, [row[2] for row in self.rows]))


class Saver(keras.callbacks.Callback):
    """Writes the state of a course now and then, and stops it where that is asked for.

    Args:
        course: What to write; it is called first.
        checkpoint: Where to.
        others: Callbacks that have a state of their own.
    """

    def __init__(self, course: Course, checkpoint: Checkpoint, others: list[Any]) -> None:
        super().__init__()
        self.course, self.checkpoint, self.others = course, checkpoint, others
        self._first = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers where in the epoch this pass begins."""
        self._first = self.course.batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Writes in the middle of an epoch; Keras may have taken several steps since the last call."""
        done = self._first + batch + 1
        if done < len(self.course.feed):  # after the last one comes validation, and then the end of the epoch
            self._save(done)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes after an epoch; after the last one always."""
        self._save(0, self.course.finished)

    def _save(self, batch: int, always: bool = False) -> None:
        asked = self.checkpoint.stop and not self.course.finished
        if always or asked or self.checkpoint.due():
            state = self.course.state(batch)
            for other in self.others:
                state |= other.state()
            self.checkpoint.save(state)
        if asked:
            raise Stopped(
                f"Training was asked to stop, and did in epoch {self.course.epoch + 1} of {self.course.spec.epochs}. "
                "Its state is kept: the same command with --resume goes on with it, to the same weights."
            )


def _bare(optimizer: Any) -> Any:
    """Returns the optimizer inside one that scales losses for 16 bits."""
    return getattr(optimizer, "inner_optimizer", optimizer)
