"""Compiles a network and trains it until its validation loss stops falling; the best weights come back.

Epoch 0 is the untrained network: where training never beats it, its weights are kept, and the history shows it.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError

from ..config import TrainingSpec
from . import speed
from .losses import Pinball
from .progress import Progress


@dataclass(frozen=True)
class TrainingRun:
    """What a training run left behind.

    Attributes:
        history: One row an epoch: `epoch, loss, val_loss`; epoch 0 is the untrained network.
        best_epoch: The epoch whose weights were kept.
        interrupted: True where Ctrl-C ended it.
    """

    history: pd.DataFrame
    best_epoch: int
    interrupted: bool


class KeepBest(keras.callbacks.Callback):
    """Stops when the validation loss has not fallen for `patience` epochs, and keeps the best weights aside."""

    def __init__(self, patience: int, untrained_loss: float) -> None:
        super().__init__()
        self.patience, self.best, self.best_epoch = patience, untrained_loss, 0
        self.weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Takes the untrained weights as the best so far."""
        self.weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares this epoch with the best."""
        loss = logs["val_loss"]
        if not np.isfinite(logs["loss"]) or not np.isfinite(loss):
            self.model.stop_training = True
        elif loss < self.best:
            self.best, self.best_epoch, self.weights = loss, epoch + 1, self.model.get_weights()
        elif epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Puts the best weights back."""
        if self.weights is not None:
            self.model.set_weights(self.weights)


def fit(
    model: keras.Model,
    train: Any,
    validation: Any,
    spec: TrainingSpec,
    progress: Progress,
    quantiles: tuple[float, ...] = (),
) -> TrainingRun:
    """Trains a network in place.

    Args:
        model: The network; it is compiled here.
        train: Batches of `(inputs, y)`.
        validation: Batches for early stopping.
        spec: How to train.
        progress: Tells how it goes.
        quantiles: What the network answers with; none for one value a step.

    Raises:
        ConfigError: Keras does not know the loss.
        DataError: The loss is not a number in the first epoch.
    """
    interrupted = False
    with speed.training(model, len(train), spec.epochs) as settings:
        compile_model(model, spec, quantiles, **settings)
        untrained = float(model.evaluate(validation, verbose=0))
        keep = KeepBest(spec.patience, untrained if np.isfinite(untrained) else np.inf)
        rows: list[dict[str, float]] = [{"epoch": 0, "loss": np.nan, "val_loss": untrained}]
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: rows.append({"epoch": epoch + 1, **logs})
        )
        progress.begin(spec.epochs, len(train))
        try:
            model.fit(
                train,
                validation_data=validation,
                epochs=spec.epochs,
                shuffle=False,
                verbose=0,
                callbacks=[record, progress.callback(keep), keep],
            )
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress.end()
    keep.restore()
    model.compiled = False  # what is cloned and saved later is the network, not how it was trained
    history = pd.DataFrame(rows)
    last = history.iloc[-1]
    broken = [name for name in ("loss", "val_loss") if len(rows) > 1 and not np.isfinite(last[name])]
    if broken:
        which, value = {"loss": "training", "val_loss": "validation"}[broken[0]], last[broken[0]]
        if keep.best_epoch == 0:
            raise DataError(
                f"The {which} loss must stay a number. Received: {value} in epoch {len(rows) - 1}. Lower "
                "training.learning_rate, set training.clip_norm to 1, or look for extreme values: `forecast describe` "
                "names them."
            )
        progress.say(f"The {which} loss became {value} in epoch {len(rows) - 1}; training stopped.")
    if keep.best_epoch == 0 and len(rows) > 1:
        progress.say("Training never beat the untrained network, whose weights are kept. Give it more epochs or rows.")
    if interrupted:
        progress.say(f"Stopped by hand after epoch {len(rows) - 1}; the weights of epoch {keep.best_epoch} are kept.")
    return TrainingRun(history, keep.best_epoch, interrupted)


def compile_model(model: keras.Model, spec: TrainingSpec, quantiles: tuple[float, ...] = (), **settings: Any) -> None:
    """Compiles with Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980) and the loss of a spec."""
    try:
        name = "mse" if spec.loss == "auto" else spec.loss
        loss = Pinball(quantiles) if quantiles else keras.losses.get(name)
    except ValueError:
        raise ConfigError(
            f"`training.loss` must be 'mse', 'mae', 'huber' or another loss that Keras knows. Received: {spec.loss!r}"
        ) from None
    optimizer = keras.optimizers.Adam(spec.learning_rate, clipnorm=spec.clip_norm, clipvalue=spec.clip_value)
    model.compile(optimizer=optimizer, loss=loss, **settings)
