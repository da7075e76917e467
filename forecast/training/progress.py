"""Tells how training goes: one live line on a terminal, one line an epoch elsewhere.

epoch 7/100 ----     loss 0.000412  val 0.000387  best epoch 5 at most 00:12
"""

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

import keras

if TYPE_CHECKING:
    from .course import Course


class Progress:
    """Shows epochs as they pass.

    Args:
        quiet: Say nothing at all.
        stream: Where to; standard error by default, so that results on standard output stay clean.
    """

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.live: Any = None
        self.task: Any = None
        self.epochs = self.steps = self.before = 0
        self.started = 0.0

    def silenced(self) -> "Progress":
        """Returns one that says nothing, for work inside work."""
        return Progress(quiet=True, stream=self.stream)

    def say(self, text: str) -> None:
        """Prints a sentence."""
        if text and not self.quiet:
            print(text, file=self.stream, flush=True)

    def begin(self, epochs: int, steps: int, done: int = 0) -> None:
        """Starts the clock after some epochs, and on a terminal the live line."""
        self.epochs, self.steps, self.started, self.before = epochs, steps, time.monotonic(), done
        if self.quiet or not self.stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        self.live = Live(
            TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[scores]}"),
            TextColumn("at most"),
            TimeRemainingColumn(compact=True),  # all of it fits into 80 columns
            console=Console(file=self.stream),
            transient=False,
        )
        self.live.start()
        self.task = self.live.add_task(
            "training", total=epochs * steps, completed=done * steps, epoch=done + 1, scores=""
        )

    def end(self) -> None:
        """Ends the live line."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def callback(self, course: "Course") -> keras.callbacks.Callback:
        """Returns what Keras tells about each step and epoch."""
        return _Tell(self, course)

    def epoch(self, epoch: int, loss: float, val_loss: float, best: float, best_epoch: int) -> None:
        """Shows a finished epoch."""
        if val_loss < best:
            best, best_epoch = val_loss, epoch
        if self.live is not None:
            scores = f"loss {loss:.3g}  val {val_loss:.3g}  best epoch {best_epoch}"
            self.live.update(self.task, completed=epoch * self.steps, epoch=min(epoch + 1, self.epochs), scores=scores)
        else:
            left = (time.monotonic() - self.started) / (epoch - self.before) * (self.epochs - epoch)
            scores = f"loss {loss:.5g}  val {val_loss:.5g}  best {best:.5g} (epoch {best_epoch})"
            self.say(f"epoch {epoch}/{self.epochs}  {scores}  at most {left:.0f} s left")


class _Tell(keras.callbacks.Callback):
    def __init__(self, progress: Progress, course: "Course") -> None:
        super().__init__()
        self.progress, self.course, self.before = progress, course, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.before = epoch * self.progress.steps + self.course.batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.progress.live is not None:  # Keras may have taken several steps since the last call
            self.progress.live.update(self.progress.task, completed=self.before + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.progress.epoch(epoch + 1, logs["loss"], logs["val_loss"], self.course.best, self.course.best_epoch)
