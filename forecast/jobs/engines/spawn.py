"""Processes of this machine. They are spawned: a process with TensorFlow must not be forked.

    this process  --task-->  worker a   --answer-->  this process        one pipe each: when it breaks, the worker died,
                  --task-->  worker b   --answer-->                      and its task goes to a new one

The pool of the standard library can wait for ever where a worker is killed while it starts, and does not say which task
killed it.
"""

import collections
import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from pipelines.errors import ForecastError

from ..settings import Engine
from . import Alone, count, lost

T = TypeVar("T")
R = TypeVar("R")


def run(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
    """Yields the answers as they come; see `forecast.jobs.engines`."""
    waiting = collections.deque((task, 0) for task in tasks)  # and how many workers died over it
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, T, int]] = {}
    size = count(engine, len(tasks))
    try:
        while waiting or busy:
            while waiting and len(busy) < size:
                task, deaths = waiting.popleft()
                worker = idle.pop() if idle else _Worker(Alone(function, own=True))
                worker.give(task)
                busy[worker.pipe] = worker, task, deaths
            for pipe in wait(list(busy)):
                worker, task, deaths = busy.pop(cast(Connection, pipe))
                answer = worker.answer()
                if answer is None:
                    worker.end()
                    if deaths == engine.retries:
                        raise lost(len(waiting) + len(busy) + 1, deaths + 1, worker.how)
                    waiting.appendleft((task, deaths + 1))
                    continue
                idle.append(worker)
                good, what = answer
                if not good:
                    raise what
                yield what
    finally:
        for worker in [*idle, *(worker for worker, _, _ in busy.values())]:
            worker.end()


class _Worker:
    """A process that answers one task after the other."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        with (
            contextlib.closing(theirs),
            contextlib.suppress(BrokenPipeError),
        ):  # killed while it started: the pipe tells
            self.process.start()

    def give(self, task: Any) -> None:
        """Sends a task; where the worker is dead, its answer tells."""
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send(task)

    def answer(self) -> tuple[bool, Any] | None:
        """Returns whether the task was done, and its answer or its error; None where the worker died."""
        try:
            found: tuple[bool, Any] = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        return found

    def end(self) -> None:
        """Ends the process."""
        self.pipe.close()
        if self.process.pid is not None:
            self.process.kill()  # it writes whole files or none
            self.process.join()

    @property
    def how(self) -> str:
        """How the process ended."""
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_done(function, task))


def _done(function: Callable[[Any], Any], task: Any) -> tuple[bool, Any]:
    try:
        return True, function(task)
    except ForecastError as error:
        return False, error
    except Exception:  # a bug: its traceback would not travel with it
        return False, RuntimeError(traceback.format_exc())


def _end_with_parent() -> None:
    """Ends this process when its parent dies, even by SIGKILL and in the middle of a task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
