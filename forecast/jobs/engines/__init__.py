"""Where the tasks of a run are done. ONE FILE = ONE ENGINE; all of them run the same function, with the same answers.

    inline    in this process, one after the other
    spawn     in processes of this machine
    joblib    the same by joblib; its backend may be another one
    dask      on a Dask cluster: one at an address, or processes of this machine
    ray       on a Ray cluster, likewise

A task is a part or a shard of whole series. What travels is a function's name and some paths, never rows: workers on
other machines must see the same folders. Each worker opens the bundle once, and has one thread for itself. A worker
that dies costs its tasks another try.

The template for another engine, `forecast/jobs/engines/mine.py`:

    def run(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
        ...                    # yields answers as they come; what a task raises goes on; WorkerLost after `retries`
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.errors import ConfigError, WorkerLost
from pipelines.registry import Registry

from ..._keras import own_process
from ..settings import Engine

registry = Registry(__name__, "engine")

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
    """Yields what a function answers for each task, as the answers come.

    Args:
        function: Of a module, so that other processes find it by its name.
        tasks: Small things: they are pickled.

    Raises:
        UnknownName: There is no such engine.
        ConfigError: Its package is missing, or its cluster cannot be reached.
        WorkerLost: A worker died again and again.
        Exception: What the function raises.

    Example:
        >>> list(each(abs, [-1, 2], Engine()))
        [1, 2]
    """
    module = registry.load(engine.name)
    if tasks:
        yield from module.run(function, tasks, engine)


@dataclass(frozen=True)
class Alone:
    """A function as a worker calls it: with one thread for itself, since its neighbours use the other cores.

    Attributes:
        function: What is called.
        own: Whether the worker was started for this run, and nobody else works in it.
    """

    function: Callable[[Any], Any]
    own: bool = False

    def __call__(self, task: Any) -> Any:
        _one_thread()
        if self.own:
            own_process()
        return self.function(task)


@functools.cache
def _one_thread() -> None:
    """Acts on libraries that are imported after this: a worker imports TensorFlow for its first shard."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    os.environ.update(dict.fromkeys(names, "1"))


def count(engine: Engine, tasks: int) -> int:
    """Returns how many workers to start on this machine."""
    return max(1, min(tasks, engine.workers or len(os.sched_getaffinity(0))))


def lost(left: int, tries: int, why: object) -> WorkerLost:
    """Returns the error that ends a run whose workers die."""
    return WorkerLost(
        f"A worker must live until its task is done. Received: {left:,} tasks left, and workers that died {tries} "
        f"times over the same ({why}). Often memory is short: give it, or set fewer `engine.workers` or a smaller "
        "`shard_size`. Tasks that are done are kept; run the job again."
    )


def missing(extra: str) -> ConfigError:
    """Returns the error for an engine whose package is not installed."""
    return ConfigError(
        f"Engine {extra!r} needs a package that is not installed. Install it: pip install 'keras-forecast[{extra}]', "
        "or choose another engine: inline, spawn, joblib."
    )
