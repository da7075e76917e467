"""Processes of this machine, by the standard library. They are spawned: a process with TensorFlow must not be forked.

workers    a: task 0  a: task 2 (dies)      b: task 2        The pool is made anew for the tasks that are left.
           b: task 1                        c: task 3
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ..settings import Engine
from . import Alone, count, lost

T = TypeVar("T")
R = TypeVar("R")


def run(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
    """Yields the answers as they come; see `forecast.jobs.engines`."""
    left, deaths = dict(enumerate(tasks)), 0
    while left:
        before = len(left)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(count(engine, len(left)), context, initializer=_end_with_parent)
        try:
            futures = {pool.submit(Alone(function), task): number for number, task in left.items()}
            for future in as_completed(futures):
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield future.result()
                    del left[futures[future]]
        finally:
            pool.shutdown(cancel_futures=True)
        # Nobody knows which task killed its worker: a death counts while no task gets done.
        deaths = 1 if len(left) < before else deaths + 1
        if left and deaths > engine.retries:
            raise lost(len(left), deaths, "by a signal, or by the system")


def _end_with_parent() -> None:
    """Ends this worker when its parent dies, even by SIGKILL: it would wait for tasks for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
