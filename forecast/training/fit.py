"""Compiles a network and trains it until its validation loss stops falling; the best weights come back.

Epoch 0 is the untrained network: where training never beats it, its weights are kept, and the history shows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from pipelines.errors import DataError

from ..stopping import keeping
from . import losses, speed
from .adversarial import Adversarial
from .checkpoint import Checkpoint
from .course import COLUMNS, Course, Saver
from .gradients import Gradients, unusual
from .progress import Progress
from .schedules import optimizer
from .spec import TrainingSpec


@dataclass(frozen=True)
class TrainingRun:
    """What a training run left behind.

    Attributes:
        history: One row an epoch: `epoch, loss, val_loss, learning_rate`; epoch 0 is the untrained network.
        best_epoch: The epoch whose weights were kept.
        interrupted: True where Ctrl-C ended it.
        gradients: `epoch, layer, norm`, where `training.monitor` watched them.
    """

    history: pd.DataFrame
    best_epoch: int
    interrupted: bool
    gradients: pd.DataFrame | None = None


def fit(
    model: keras.Model,
    train: Any,
    validation: Any,
    spec: TrainingSpec,
    progress: Progress,
    loss: Any = None,
    *,
    checkpoint: Checkpoint | None = None,
    watch: Callable[[int], None] | None = None,
    look: Callable[[], dict[str, np.ndarray]] | None = None,
) -> TrainingRun:
    """Trains a network in place.

    Args:
        model: The network; it is compiled here.
        train: `Batches` of `(inputs, y)`.
        validation: Those for early stopping.
        spec: How to train.
        progress: Tells how it goes.
        loss: A Keras loss; by default the spec's.
        checkpoint: Where the state of the training is kept; one that is there is taken up.
        watch: Called after each epoch with its number, while the network has the weights it would forecast with.
        look: Returns gates and states by name, for TensorBoard.

    Raises:
        ConfigError: Keras does not know the loss, or TensorBoard is asked for and not there.
        DataError: The loss is not a number in the first epoch.
        Stopped: The checkpoint was told to stop; the state is kept.
    """
    if not model.trainable_variables:
        return _untrained(model, validation, spec, loss)
    course = Course(spec, train, watch)
    monitor = Gradients(model, train) if spec.monitor or spec.tensorboard else None
    learner = Adversarial(model, spec.adversarial) if spec.adversarial else model
    others = [] if monitor is None else [monitor]
    callbacks = [course, *others, *_tensorboard(spec, course, monitor, look), progress.callback(course)]
    if checkpoint is not None:
        callbacks.append(Saver(course, checkpoint, others))
    interrupted = False
    with keeping(checkpoint), speed.training(model, len(train), spec.epochs, spec.batch_size) as settings:
        compile_model(learner, spec, loss, len(train), **settings)
        scored = validation.dataset()
        state = None if checkpoint is None else checkpoint.load()
        if state is None:
            course.begin(model, float(learner.evaluate(scored, verbose=0)))
        else:
            course.restore(learner, state)
            for other in others:
                other.restore(state)
            progress.say(f"Going on after epoch {course.epoch}, batch {course.batch} of {len(train)}.")
        progress.begin(spec.epochs, len(train), course.epoch)
        try:
            while not course.finished:
                # An epoch that is taken up in its middle is a pass of its own, as it has fewer batches.
                last = course.epoch + 1 if course.batch else course.epochs
                learner.fit(
                    train.dataset(course.batch),
                    validation_data=scored,
                    initial_epoch=course.epoch,
                    epochs=last,
                    shuffle=False,
                    verbose=0,
                    callbacks=callbacks,
                )
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress.end()
    model.set_weights(course.weights)
    for network in (model, learner):
        network.compiled = False  # what is cloned and saved later is the network, not how it was trained
    history = pd.DataFrame(course.rows, columns=list(COLUMNS)).astype({"epoch": int})
    gradients = None if monitor is None else monitor.frame()
    run = TrainingRun(history, course.best_epoch, interrupted, gradients)
    _tell(run, progress)
    return run


def _untrained(model: keras.Model, validation: Any, spec: TrainingSpec, loss: Any) -> TrainingRun:
    """Returns the run of a network that has no weights: there is nothing to train, and one loss to tell."""
    compile_model(model, spec, loss)
    found = float(model.evaluate(validation.dataset(), verbose=0))
    model.compiled = False
    history = pd.DataFrame([(0, np.nan, found, np.nan)], columns=list(COLUMNS)).astype({"epoch": int})
    return TrainingRun(history, 0, False)


def _tell(run: TrainingRun, progress: Progress) -> None:
    """Says what went wrong, and refuses what never went right."""
    last, epochs = run.history.iloc[-1], len(run.history) - 1
    broken = [name for name in ("loss", "val_loss") if epochs and not np.isfinite(last[name])]
    if broken:
        which, value = {"loss": "training", "val_loss": "validation"}[broken[0]], last[broken[0]]
        if run.best_epoch == 0:
            raise DataError(
                f"The {which} loss must stay a number. Received: {value} in epoch {epochs}. Lower "
                "training.learning_rate, set training.clip_norm to 1, or look for extreme values: `forecast describe` "
                "names them."
            )
        progress.say(f"The {which} loss became {value} in epoch {epochs}; training stopped.")
    if run.best_epoch == 0 and epochs:
        progress.say("Training never beat the weights it began with, which are kept. Give it more epochs or rows.")
    if run.interrupted:
        progress.say(f"Stopped by hand after epoch {epochs}; the weights of epoch {run.best_epoch} are kept.")
    for sentence in [] if run.gradients is None else unusual(run.gradients):
        progress.say(sentence)


def _tensorboard(spec: TrainingSpec, course: Course, monitor: Gradients | None, look: Any) -> list[Any]:
    if spec.tensorboard is None:
        return []
    from .tensorboard import Board

    return [Board(spec.tensorboard, course, monitor, look)]


def compile_model(model: keras.Model, spec: TrainingSpec, loss: Any = None, batches: int = 1, **settings: Any) -> None:
    """Compiles with Adam and the loss of a spec, as `batches` steps an epoch go."""
    loss = losses.make(spec.loss_of(quantiles=False)) if loss is None else loss
    model.compile(optimizer=optimizer(spec, batches), loss=loss, **settings)
