"""Joblib: processes of this machine by its own backend, loky, or what another backend of joblib's reaches.

engine: {name: joblib, workers: 4}
engine: {name: joblib, backend: dask, address: "tcp://scheduler:8786"}
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..settings import Engine
from . import Alone, count, lost

T = TypeVar("T")
R = TypeVar("R")


def run(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
    """Yields the answers as they come; see `forecast.jobs.engines`."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left, deaths = dict(enumerate(tasks)), 0
    with _backend(engine, len(tasks)):
        while left:
            before = len(left)
            workers = max(2, count(engine, len(left)))  # of one, joblib makes none: it would be this process
            parallel = joblib.Parallel(workers, return_as="generator_unordered", batch_size=1)
            alone = Alone(function, own=engine.backend == "loky")
            answers = parallel(joblib.delayed(_numbered)(alone, *pair) for pair in list(left.items()))
            try:
                for number, answer in answers:
                    yield answer
                    del left[number]
            except TerminatedWorkerError as death:
                deaths = 1 if len(left) < before else deaths + 1
                if deaths > engine.retries:
                    raise lost(len(left), deaths, type(death).__name__) from None


def _numbered(function: Callable[[T], R], number: int, task: T) -> tuple[int, R]:
    return number, function(task)


@contextlib.contextmanager
def _backend(engine: Engine, tasks: int) -> Iterator[None]:
    import joblib

    with contextlib.ExitStack() as stack:
        if engine.backend == "dask":
            from .dask import client

            stack.enter_context(client(engine, tasks))
        elif engine.backend == "ray":
            from .ray import cluster

            stack.enter_context(cluster(engine, tasks))
            from ray.util.joblib import register_ray

            register_ray()
        stack.enter_context(joblib.parallel_config(engine.backend))
        yield
