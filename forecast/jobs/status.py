"""The runs of a job, as they are kept in its output folder."""

from pathlib import Path
from typing import Any

from .config import Job
from .store import Store


def status(job: Job | str | Path) -> list[dict[str, Any]]:
    """Returns each run of a job, by as_of and time: those published, and of each as_of the last that failed since.

    Returns:
        What each `run.json` says, and `folder` and `current`: whether CURRENT points to it.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    store = Store(job.output)
    now = store.current()
    return [{**about, "current": Path(about["folder"]) == now} for about in store.all()]
