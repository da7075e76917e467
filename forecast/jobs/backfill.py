"""Runs a job as of many earlier times: those of its schedule, or where it has none, every row.

    --from 2024-01-02 --to 2024-01-08, exchange XNYS
    as of                       Tue 2        Wed 3        Thu 4     Fri 5     Sat 6, Sun 7     Mon 8
    before                      published    published    failed                               published
    --reprocess none                                                run       Friday again
    --reprocess failed                                    run       run
    --reprocess completed       run          run          run       run                        run

What was published of the same rows, bundle and settings stays as it is: to run it again says "unchanged". CURRENT never
moves back, so that a backfill disturbs nobody who reads it. The network is loaded once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.calendars import DAY, Calendar
from pipelines.errors import ConfigError, ForecastError, did_you_mean

from .clock import AsOf
from .config import Job
from .cron import Cron
from .opened import Models
from .run import run
from .store import Store

Reprocess = Literal["none", "failed", "completed"]
REPROCESS: tuple[Reprocess, ...] = ("none", "failed", "completed")


@dataclass(frozen=True)
class Filled:
    """What became of one time of a backfill.

    Attributes:
        as_of: The time.
        status: "published", "unchanged", "failed"; "skipped" of what was there already; "planned" of a dry run.
        counts: Of series; empty where nothing ran.
        message: Why it failed, or was skipped.
        exit_code: What `forecast job run` would have ended with.
    """

    as_of: str
    status: str
    counts: dict[str, int]
    message: str = ""
    exit_code: int = 0


def backfill(
    job: Job | str | Path,
    first: str,
    last: str,
    *,
    reprocess: str = "none",
    dry_run: bool = False,
    folder: Path | None = None,
    told: Callable[[Filled], None] = lambda one: None,
) -> list[Filled]:
    """Runs a job as of each time between two, the earliest first; one that fails does not stop the others.

    Args:
        job: A job, or the path of a job file.
        first, last: Dates or times, as for `run`; both are included.
        reprocess: What is run that ran before: "none", also what "failed", or also what "completed".
        dry_run: Whether to say only what would run.
        folder: Where bundles lie.
        told: Called after each.

    Raises:
        ConfigError: A setting is wrong, `reprocess` is none of these, or `last` lies before `first`.
        UnknownName: There is no such bundle, source or column: what no run can do.
    """
    if reprocess not in REPROCESS:
        raise ConfigError(
            f"`reprocess` must be one of {', '.join(REPROCESS)}.{did_you_mean(reprocess, REPROCESS)} Received: "
            f"{reprocess!r}"
        )
    job = job if isinstance(job, Job) else Job.read(job)
    models, done = Models.open(job, folder), []
    before = _before(Store(job.output))
    for moment in times(job, list(models.first.codes), first, last):
        why = _skipped(before.get(moment.key), reprocess)
        if why:
            one = Filled(str(moment), "skipped", {}, why)
        elif dry_run:
            one = Filled(str(moment), "planned", {})
        else:
            one = _filled(job, str(moment), folder)
        done.append(one)
        told(one)
    return done


def _filled(job: Job, as_of: str, folder: Path | None) -> Filled:
    try:
        outcome = run(job, as_of, folder=folder)
    except ForecastError as error:
        if error.exit_code == ConfigError.exit_code:  # so would all others
            raise
        return Filled(as_of, "failed", {}, str(error), error.exit_code)
    return Filled(as_of, outcome.status, outcome.about["counts"])


def _before(store: Store) -> dict[str, str]:
    """Returns how the last run of each as_of ended, by its key."""
    found = {}
    for about in store.all():
        key = Path(about["folder"]).name
        if about["status"] == "published":
            found[key.removesuffix(f"-{about['run_id']}")] = "published"
        else:
            found[key] = "failed"  # a failure is kept only until a run of its as_of is published
    return found


def _skipped(before: str | None, reprocess: str) -> str:
    """Returns why a time is not run; "" where it is."""
    if before == "published" and reprocess != "completed":
        return "published already"
    return "failed before; --reprocess failed runs it" if before == "failed" and reprocess == "none" else ""


def times(job: Job, codes: list[str], first: str, last: str) -> Iterator[AsOf]:
    """Yields each as_of of a job between two, the earliest first.

    Raises:
        ConfigError: The last one lies before the first.
    """
    zone, schedule = job.spec.timezone, job.spec.schedule
    start, end = AsOf.of(first, codes, zone), AsOf.of(last, codes, zone)
    if end.utc < start.utc:
        raise ConfigError(f"`--to` must not lie before `--from`. Received: {first} to {last}.")
    seen: set[str] = set()
    starts = _scheduled(Cron.parse(schedule), start, end) if schedule else _rows(codes, start, end)
    for text in starts:
        moment = AsOf.of(text, codes, zone)
        if moment.key not in seen and start.utc <= moment.utc <= end.utc:
            seen.add(moment.key)
            yield moment


def _scheduled(cron: Cron, start: AsOf, end: AsOf) -> Iterator[str]:
    """Yields the starts of a schedule on the wall clock of the job, from a first day to a last one."""
    zone = start.zone
    for day in pd.date_range(_day(start), _day(end) + pd.Timedelta(days=7), freq="D"):
        if not cron.on(day.month, day.day, (day.weekday() + 1) % 7):
            continue
        for hour in cron.hours:
            for minute in cron.minutes:
                wall = day + pd.Timedelta(hours=hour, minutes=minute)
                # Skipped by summer time, it starts an hour later; where it comes twice, at the first.
                stamp = wall.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
                yield stamp.isoformat()


def _rows(codes: list[str], start: AsOf, end: AsOf) -> Iterator[str]:
    """Yields every row of the finest frequency."""
    calendars = [Calendar(code, start.zone) for code in sorted(set(codes))]
    calendar = min(calendars, key=lambda one: DAY if one.step is None else one.step)
    if start.daily:
        days = np.arange(start.wall // DAY, end.wall // DAY + 1) * DAY
        yield from (str(pd.Timestamp(int(day)).date()) for day in days)
        return
    step = calendar.step or DAY
    for utc in range(start.utc, end.utc + 1, step):
        yield pd.Timestamp(utc, tz="UTC").isoformat()


def _day(as_of: AsOf) -> pd.Timestamp:
    return pd.Timestamp(as_of.wall).normalize()
