"""The files by which a scheduler runs a job. ONE FILE = ONE TARGET; no scheduler is imported.

    job file --> Plan --> target.files(plan) --> {file name: text}

The template for another one, `forecast/jobs/schedules/mine.py`:

    \"\"\"One line: what it is, and how it is installed.

    What it does about a run that overlaps the next, a run that was missed, and a run that failed.
    \"\"\"

    def files(plan: Plan) -> dict[str, str]:
        ...                                                 # a string.Template, filled with quoted values

Each value is quoted by the rules of the file it goes into. What no rule can quote, a line break in a path, is refused.
"""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ConfigError
from pipelines.registry import Registry

from ... import bundle
from ..config import Job, variables
from ..cron import Cron

registry = Registry(__name__, "target")


@dataclass(frozen=True)
class Plan:
    """What is run, where, and when.

    Attributes:
        name: Of the job.
        job: The job file, absolute.
        home: FORECAST_HOME, absolute; bundles and outputs lie in it, and it is the working folder.
        program: The command `forecast`, absolute.
        cron: When, in the time zone.
        zone: The job's time zone.
        output: The folder that the job writes.
        variables: Of the environment, which the job file asks for.
        image: The container image; empty for none.
    """

    name: str
    job: Path
    home: Path
    program: Path
    cron: Cron
    zone: str
    output: Path
    variables: tuple[str, ...] = ()
    image: str = ""

    @property
    def slug(self) -> str:
        """A name that Kubernetes takes, too: small letters, digits and `-`, at most 52."""
        return f"forecast-{re.sub(r'[^a-z0-9]+', '-', self.name.lower())}"[:52].rstrip("-")


def schedule(
    job: str | os.PathLike[str], target: str, at: str | None = None, image: str | None = None
) -> dict[str, str]:
    """Returns the files that make a scheduler run a job.

    Args:
        job: A job file.
        target: Which scheduler: a file in this folder.
        at: Five fields of cron; by default the job's `schedule`.
        image: The container image with keras-forecast in it, for Kubernetes.

    Returns:
        Texts by file name.

    Raises:
        UnknownName: There is no such target.
        ConfigError: The job file or the time is wrong or missing, an image is missing or of no use, or a path cannot be
            written into a file of settings.
    """
    registry.check(target)
    found = Job.read(job)
    text = at if at is not None else found.spec.schedule
    if text is None:
        raise ConfigError(
            "`schedule` must say when the job runs. Received: none. Write five fields of cron into the job file, such "
            "as `schedule: 0 22 * * 1-5`, or give `--at`."
        )
    if (target == "kubernetes") != bool(image):
        raise ConfigError(
            "`--image` must be given for kubernetes, and only there: a container image that has `forecast` in it. "
            f"Received: {image!r} for {target}."
        )
    plan = Plan(
        found.spec.name,
        Path(job).absolute(),
        bundle.root().absolute().parent,
        _program(),
        Cron.parse(text, "schedule" if at is None else "--at"),
        found.spec.timezone,
        found.output,
        variables(job),
        image or "",
    )
    for value in (plan.job, plan.home, plan.program, plan.output, plan.image):
        if not str(value).isprintable():
            raise ConfigError(
                f"A path for a scheduler must have no line breaks and control characters. Received: {str(value)!r}. "
                "Rename it."
            )
    for name in plan.variables:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigError(
                f"A variable for a scheduler must be letters, digits and _. Received: {name!r}. Rename it."
            )
    files: dict[str, str] = registry.load(target).files(plan)
    return files


def _program() -> Path:
    folder = Path(sys.executable).absolute().parent
    found = shutil.which("forecast", path=str(folder))
    if found is None:
        raise ConfigError(
            f"The command `forecast` must lie beside this Python, because a scheduler has no PATH. Received: none in "
            f"{folder}. Install keras-forecast into an environment of its own."
        )
    return Path(found)
