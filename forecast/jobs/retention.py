"""What is kept of what a job wrote, and of what its source keeps of answers. Nothing of it can make a run fail.

    runs/      2024-01-03  2024-01-04  2024-01-05  2024-01-08        retention: {runs: 2}
               removed     removed     kept        kept: CURRENT

A run is renamed out of sight before it is removed, so that nobody sees half of one. Scores stay.
"""

from datetime import UTC, datetime, timedelta

from pipelines import sources

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
        if not (kept.answers or kept.answer_days):
            return
        scheme, locator, options = sources.split_locator(job.source)
        source = sources.registry.load(scheme)
        if hasattr(source, "prune"):
            since = None if kept.answer_days is None else now - timedelta(days=kept.answer_days)
            removed = source.prune(locator, keep=kept.answers, since=since, store=options.get("store"))
            log.info("%s", f"retention: {removed} old answers were removed")
    except OSError as error:
        log.warning("Old runs or answers were not removed: %s", error)
