"""A Dask cluster: the one at `address`, or processes of this machine, started for the run. Extra `dask`.

    engine: {name: dask, workers: 2}
    engine: {name: dask, address: "tcp://scheduler:8786"}      workers see the folders of the job, and have this package

Dask itself gives the task of a worker that died to another one.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pipelines.errors import ConfigError

from ..settings import Engine
from . import Alone, count, lost, missing

T = TypeVar("T")
R = TypeVar("R")


def run(function: Callable[[T], R], tasks: Sequence[T], engine: Engine) -> Iterator[R]:
    """Yields the answers as they come; see `forecast.jobs.engines`."""
    with client(engine, len(tasks)) as dask:
        from distributed import KilledWorker, as_completed

        futures = dask.map(Alone(function, own=engine.address is None), tasks, pure=False)
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as death:
            left = sum(future.status != "finished" for future in futures)
            raise lost(left, engine.retries + 1, type(death).__name__) from None
        finally:
            dask.cancel(futures)


@contextlib.contextmanager
def client(engine: Engine, tasks: int) -> Iterator[Any]:
    """Gives a client of the cluster.

    Raises:
        ConfigError: Dask is not installed, or nobody answers at the address.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise missing("dask") from None
    settings = {"distributed.scheduler.allowed-failures": engine.retries}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        address: Any = engine.address
        if address is None:
            workers = count(engine, tasks)
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                    host="127.0.0.1",
                )
            )
        try:
            found = Client(address, timeout=30)
        except (OSError, ValueError, TimeoutError) as error:
            raise ConfigError(
                f"`engine.address` must be that of a Dask scheduler, such as tcp://host:8786. Received: "
                f"{engine.address} ({error}). Start one with `dask scheduler`, or leave the address out."
            ) from None
        yield stack.enter_context(found)
