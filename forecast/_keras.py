"""Imports Keras on TensorFlow, without the chatter that TensorFlow writes to standard error while it starts."""

import contextlib
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

from pipelines.errors import ConfigError

# Keras imports them for its wrappers and pictures where they are there, and does without where they are not: a third
# of the time that it takes to start.
_SPARED = ("matplotlib", "sklearn")

_own = False


def own_process() -> None:
    """Says that nobody else uses Keras in this process, so that it need not import all that it can."""
    global _own
    _own = True


def load_keras() -> ModuleType:
    """Returns the module `keras`, on its TensorFlow backend.

    Raises:
        ConfigError: Keras was told to use another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" not in sys.modules:
        _import_quietly()
    import keras

    logging.getLogger("tensorflow").addFilter(_telling)
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"Keras must run on TensorFlow. Received: backend {keras.backend.backend()!r}. Set "
            "KERAS_BACKEND=tensorflow before Python starts, or leave it unset."
        )
    return keras


@contextlib.contextmanager
def forgetting() -> Iterator[None]:
    """Lets go, at the end, of all networks that were trained meanwhile and that nobody holds, for work in a long loop.

    TensorFlow remembers the gradient of every custom operation by a name of its own, and with it the graph in which it
    was traced, as long as the process lives: some ten MiB a training. `keras.utils.clear_session` does not touch these,
    and would take the caller's global settings with it.
    """
    load_keras()
    from tensorflow.python.framework import ops

    known: dict[str, object] = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    before = set(known)
    try:
        yield
    finally:
        for name in set(known) - before:
            if name.startswith("CustomGradient-"):
                del known[name]
        gc.collect()


def _telling(record: logging.LogRecord) -> bool:
    """Keeps back what tells a user nothing.

    Several networks in one process are no sign of a leak, and nothing here is traced twice for one network; and where
    an export keeps its temporary files is nobody's business.
    """
    said = record.getMessage()
    return "tf.function retracing" not in said and "Assets written to" not in said


@contextlib.contextmanager
def _spared() -> Iterator[None]:
    """Hides some packages meanwhile from whoever imports them where they are there; later imports find them."""
    hidden = [name for name in _SPARED if _own and name not in sys.modules]
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: an ImportError
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _import_quietly() -> None:
    """Imports TensorFlow with file descriptor 2 held aside: its C++ part writes there before it reads any setting."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        stderr = os.dup(2)
        os.dup2(aside.fileno(), 2)
        failed = True
        try:
            with _spared():
                import tensorflow

            tensorflow.config.list_physical_devices("GPU")  # looking for one writes there, too
            failed = False
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed:  # what it said may tell why
                aside.seek(0)
                sys.stderr.write(aside.read().decode(errors="replace"))
