"""Checks a job without running it: the file, the bundle, the columns of the source, the output folder."""

from pathlib import Path
from typing import Any

from . import alerts
from .clock import AsOf
from .config import Job
from .opened import Models, challengers
from .parts import parts
from .rows import panel_of
from .store import Store


def validate(job: Job | str | Path, as_of: str | None = None, *, folder: Path | None = None) -> dict[str, Any]:
    """Returns what a run would work with; nothing is forecast, and nothing stays in the output folder.

    Args:
        job: A job, or the path of a job file.
        as_of: As for `run`.
        folder: Where bundles lie.

    Raises:
        ForecastError: Of the kind that a run would end with.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    models = Models.open(job, folder)
    opened, rivals = models.first, challengers(job, models, folder)
    alerts.check(job.spec.alerts, opened)
    moment = AsOf.of(as_of, opened.codes, job.spec.timezone)
    panel, missing = panel_of(job, opened, moment, *next(parts(job)[0].named()))
    Store(job.output).probe()
    return {
        "job": job.spec.name,
        "as_of": str(moment),
        "bundle": models.name,
        **({"challenger": ", ".join(one.name for one in rivals.values())} if rivals else {}),
        "model": opened.manifest["model"],
        "source": job.source,
        "data": str(panel),
        "missing": [name for name, _ in missing],
        "columns": list(opened.pipeline.needs(panel.columns)),
        "cold": len(set(panel.ids) - models.trained),
        "steps": opened.steps,
        "levels": list(opened.levels),
        "may_fail": job.spec.max_failed.among(len(panel.ids) + len(missing)),
        "output": str(job.output),
    }
