"""A Ray cluster: the one at `address`, or one of this machine, started for the run. Extra `ray`.

    engine: {name: ray, workers: 2}
    engine: {name: ray, address: auto}          workers see the folders of the job, and have this package

Ray itself does the task of a worker that died again.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pipelines.errors import ConfigError

from ..settings import Engine
from . import Alone, count, lost, missing

T = TypeVar("T")
R = TypeVar("R")


def run(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
    """Yields the answers as they come; see `forecast.jobs.engines`."""
    with cluster(engine, len(tasks)):
        import ray

        alone = Alone(function, own=engine.address is None)

        @ray.remote(num_cpus=1, max_retries=engine.retries)
        def do(task: T) -> R:
            return alone(task)

        waiting = [do.remote(task) for task in tasks]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            try:
                answer: R = ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.WorkerCrashedError as death:
                raise lost(len(waiting) + 1, engine.retries + 1, type(death).__name__) from None
            yield answer


@contextlib.contextmanager
def cluster(engine: Engine, tasks: int) -> Iterator[None]:
    """Connects this process with a cluster, and disconnects it.

    Raises:
        ConfigError: Ray is not installed, or nobody answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
    try:
        import ray
    except ImportError:
        raise missing("ray") from None
    try:
        if engine.address is None:
            ray.init(
                num_cpus=count(engine, tasks), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
        else:
            ray.init(engine.address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"`engine.address` must be that of a Ray cluster, such as auto or ray://host:10001. Received: "
            f"{engine.address} ({error}). Start one with `ray start --head`, or leave the address out."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
