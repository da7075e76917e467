"""What is kept of what a job wrote, and of what Yahoo answered. Nothing of it can make a run fail.

    runs/      2024-01-03  2024-01-04  2024-01-05  2024-01-08        retention: {runs: 2}
               removed     removed     kept        kept: CURRENT

A run is renamed out of sight before it is removed, so that nobody sees half of one. Scores stay.
"""

from datetime import UTC, datetime, timedelta

from pipelines.sources import split_locator, yahoo

from .config import Job
from .store import Store
from .telling import log


def apply(job: Job, store: Store) -> None:
    """Removes what the job's `retention` says; what goes wrong is logged."""
    kept, now = job.spec.retention, datetime.now(UTC)
    try:
        gone = store.prune(kept.runs, None if kept.days is None else now - timedelta(days=kept.days))
        if gone:
            log.info("%s", f"retention: {len(gone)} old runs and failures were removed")
        scheme, symbols, options = split_locator(job.source)
        if scheme == "yahoo" and (kept.answers or kept.answer_days):
            since = None if kept.answer_days is None else now - timedelta(days=kept.answer_days)
            removed = yahoo.prune(symbols, keep=kept.answers, since=since, store=options.get("store"))
            log.info("%s", f"retention: {removed} old answers were removed")
    except OSError as error:
        log.warning("Old runs or answers were not removed: %s", error)
