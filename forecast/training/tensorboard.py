"""Writes what TensorBoard shows: losses, the learning rate, gradients, and histograms of gates and cell states.

    tensorboard --logdir logs        then open the address that it prints

Needs the extra `tensorboard`, since TensorFlow no longer brings it.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import ConfigError


class Board(keras.callbacks.Callback):
    """Writes one point an epoch.

    Args:
        folder: Where to; runs that lie in folders side by side are shown together.
        course: What is told; it is called first.
        monitor: Gradients, where they are watched.
        look: Returns gates and states by name.
    """

    def __init__(
        self, folder: str, course: Any, monitor: Any, look: Callable[[], dict[str, np.ndarray]] | None
    ) -> None:
        super().__init__()
        self.course, self.monitor, self.look = course, monitor, look
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise ConfigError(
                "`training.tensorboard` needs the package tensorboard. Received: it is not installed. Run: pip install "
                "'keras-forecast[tensorboard]'"
            ) from None
        try:
            self.writer = tf.summary.create_file_writer(folder)
            self.writer.init()
        except tf.errors.OpError as error:
            raise ConfigError(
                f"`training.tensorboard` must be a folder that can be written. Received: {folder!r} "
                f"({type(error).__name__})."
            ) from None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes a point."""
        number, loss, val_loss, rate = self.course.rows[-1]
        with self.writer.as_default(step=int(number)):
            for name, value in (("loss/training", loss), ("loss/validation", val_loss), ("learning_rate", rate)):
                tf.summary.scalar(name, value)
            if self.monitor is not None:
                for layer, norm in zip(self.monitor.layers, self.monitor.norms[-1], strict=True):
                    tf.summary.scalar(f"gradient/{layer}", norm)
            for name, values in ({} if self.look is None else self.look()).items():
                tf.summary.histogram(name, values)
        self.writer.flush()
