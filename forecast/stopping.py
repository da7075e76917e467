"""SIGTERM, by which schedulers end what takes too long: work that can be taken up again stops at the next chance.

    SIGTERM -> in the middle of a training that is kept: it writes its state, then raises Stopped    exit code 75
            -> anywhere else: Stopped at once, nothing is half-written

Only commands listen; a notebook's process belongs to the notebook.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.errors import Stopped

if TYPE_CHECKING:
    from .training.checkpoint import Checkpoint

_kept: list[Checkpoint] = []  # of the training under way, the innermost last


@contextlib.contextmanager
def stoppable(advice: str) -> Iterator[None]:
    """Makes SIGTERM a `Stopped` meanwhile.

    Args:
        advice: What to do then, such as "Run the same command again."
    """

    def stop(number: int, frame: object) -> None:
        if _kept:
            _kept[-1].stop = True
        else:
            raise Stopped(f"The command was asked to stop before its end (SIGTERM). {advice}")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def keeping(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Says that a training is under way, which writes its state itself before it stops."""
    if checkpoint is None:
        yield
        return
    _kept.append(checkpoint)
    try:
        yield
    finally:
        _kept.remove(checkpoint)
    if checkpoint.stop:  # asked for when it was about to end
        raise Stopped(
            "Training was asked to stop, when it had just ended. Its state is kept: the same command with --resume "
            "goes on with it."
        )
