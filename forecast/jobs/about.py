"""What is known of a run so far, and what run.json says of it in the end."""

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import ForecastError

from ..bundle._files import versions
from .clock import AsOf
from .config import Job
from .gates import Failure
from .opened import Models, Opened
from .telling import Stages

NAMED = 100  # names of series that run.json lists, of each kind


class Attempt:
    """A run under way.

    Attributes:
        job: What is run.
        stages: Times and logs.
        as_of, models, rivals, run_id: What it is about, as soon as that is known.
        failures: Series that failed so far.
        facts: What run.json says besides, by name.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stages = Stages(job=job.spec.name)
        self.versions = versions("pyarrow", "exchange_calendars")
        self.as_of: AsOf | None = None
        self.models: Models | None = None
        self.rivals: dict[str, Opened] = {}
        self.run_id: str | None = None
        self.failures: list[Failure] = []
        self.facts: dict[str, Any] = {
            "data": None,
            "gates": {},
            "drift": {},
            "reasons": {},
            "counts": {},
            "challenger": None,
            "alerts": None,
            "outputs": [],
        }
        self._started, self._clock = _now(), time.perf_counter()

    def count(self, counts: dict[str, int], ids: Collection[str], before: set[str], trained: frozenset[str]) -> None:
        """Counts and names series that are new or vanished since the run before, and those not seen in training."""
        named = {
            "new": sorted(set(ids) - before),
            "vanished": sorted(before - set(ids)),
            "cold": sorted(set(ids) - trained),
        }
        self.facts["counts"] = {**counts, **{kind: len(names) for kind, names in named.items()}}
        self.facts["series"] = {kind: names[:NAMED] for kind, names in named.items()}

    def ended(self, status: str, error: BaseException | None = None) -> dict[str, Any]:
        """Returns how the run ended, and when."""
        return {
            "status": status,
            "exit_code": _exit_code(error),
            "message": _message(error),
            "error": None if error is None else type(error).__name__,
            "started": self._started,
            "finished": _now(),
            "seconds": round(time.perf_counter() - self._clock, 3),
        }

    def about(self, status: str, error: BaseException | None = None) -> dict[str, Any]:
        """Returns what run.json says."""
        as_of, models = self.as_of, self.models
        return {
            "job": self.job.spec.name,
            "run_id": self.run_id,
            "as_of": None if as_of is None else str(as_of),
            "as_of_utc": None if as_of is None else _iso(as_of.utc / 1e9),
            **self.ended(status, error),
            "stages": self.stages.seconds,
            "bundle": None if models is None else models.about(),
            "seed": None if models is None else models.first.config.seed,
            "config": {"digest": self.job.digest(), **self.job.spec.model_dump(mode="json", exclude={"ping"})},
            "versions": self.versions,
            **self.facts,
        }


def _message(error: BaseException | None) -> str:
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return "The run was ended by a signal. Run the job again: it goes on with the shards that are finished."
    return "" if error is None else str(error) or type(error).__name__


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return error.exit_code if isinstance(error, ForecastError) else 130 if isinstance(error, KeyboardInterrupt) else 1


def _now() -> str:
    return _iso(time.time())


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
