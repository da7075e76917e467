"""Which version of a bundle forecasts: the challenger takes over where its published forecasts were better.

    runs/*/forecasts.parquet     of the champion   --truth-->  error 1.02
    runs/*/challenger.parquet    of the challenger --truth-->  error 0.97   -->  champion is the challenger now

Only cutoffs of the two versions of now count, series that both forecast, and forecasts whose truth is known in full.
Errors are in units of each series' mean naive error. Rolling back undoes the last promotion.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.errors import ConfigError, DataError

from .. import bundle
from ..evaluation.verdict import against
from ..text import number
from . import groups
from .accuracy import Accuracy, score
from .config import Job
from .opened import Models, Opened, challengers

MIN_CUTOFFS = 10

_KEY = ["unique_id", "target", "as_of_utc"]


@dataclass(frozen=True)
class Promoted:
    """What became of one bundle.

    Attributes:
        bundle: Its name.
        before: The version that forecast until now.
        version: The one that forecasts from now on.
        why: What decided.
    """

    bundle: str
    before: int
    version: int
    why: str

    def __str__(self) -> str:
        what = f"{self.before} -> {self.version}" if self.version != self.before else f"{self.version} stays"
        return f"{self.bundle}  champion {what}: {self.why}"


def promote(
    job: Job | str | Path,
    *,
    to: int | None = None,
    min_cutoffs: int = MIN_CUTOFFS,
    as_of: str | None = None,
    folder: Path | None = None,
) -> list[Promoted]:
    """Makes the challenger of a job the champion, where its published forecasts were better.

    Args:
        job: A job, or the path of a job file.
        to: A version that becomes the champion whatever it was worth.
        min_cutoffs: So many cutoffs must be known in full before anything is decided.
        as_of: Up to when the truth is known, as for `score`.
        folder: Where bundles lie.

    Returns:
        What became of the bundle, or of that of each group.

    Raises:
        ConfigError: The job's bundle is one version for good, or the job has no challenger.
        UnknownName: There is no such version.
        DataError: Too few cutoffs are known.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    _movable(job)
    models = Models.open(job, folder)
    if to is not None:
        named = {
            group: Opened.at(bundle.find(f"{opened.manifest['name']}/{to}", folder))
            for group, opened in models.groups.items()
        }
        return [_point(models.groups[group], one, "by hand", folder) for group, one in named.items()]
    if job.spec.challenger is None:
        raise ConfigError(
            "Promoting by what forecasts were worth needs a challenger. Received: a job file without one. Write "
            "`challenger: challenger` into it, and run it; or name a version with --to."
        )
    rivals = challengers(job, models, folder)
    if not rivals:
        raise DataError(
            f"A challenger must be another version than the champion. Received: {models.name} alone, and no version "
            f"that {job.spec.challenger!r} points to. Train one, or name a version with --to."
        )
    found = score(job, as_of, folder=folder)
    return [_decide(found, models.groups[group], rival, min_cutoffs, folder) for group, rival in rivals.items()]


def rollback(job: Job | str | Path, *, folder: Path | None = None) -> list[Promoted]:
    """Undoes the last promotion of a job's bundle, or of that of each group.

    Raises:
        ConfigError: The job's bundle is one version for good, or no other version was its champion before.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    _movable(job)
    base = bundle.root(folder)
    members = groups.read(base / job.bundle) if job.spec.training else {}
    done = []
    for name in [groups.bundle_of(job.bundle, group) for group in members] or [job.bundle]:
        now, before = bundle.roll_back(name.split("/")[0], bundle.CHAMPION, folder)
        done.append(Promoted(name, now, before, "rolled back"))
    return done


def _movable(job: Job) -> None:
    name = job.spec.bundle or job.spec.name
    if "/" in name and not name.endswith(f"/{bundle.CHAMPION}"):
        raise ConfigError(
            "A promotion moves the champion of a bundle's name. Received: a job whose `bundle` is one version for "
            f"good, {name!r}. Write the name alone into the job file."
        )


def _decide(found: Accuracy, champion: Opened, rival: Opened, fewest: int, folder: Path | None) -> Promoted:
    ours, theirs = _of(found.rows, champion), _of(found.challenger, rival)
    both = ours.merge(theirs, on=_KEY, suffixes=("", "_rival"))
    both = both[both["scale"].notna()]
    cutoffs = both["as_of_utc"].nunique()
    name, version = champion.manifest["name"], int(champion.manifest["version"])
    if cutoffs < fewest:
        raise DataError(
            f"Between versions {version} and {rival.manifest['version']} of {name} at least {fewest:,} cutoffs decide. "
            f"Received: {cutoffs:,} that both forecast and whose truth is known in full. Score later, set "
            "--min-cutoffs, or name a version with --to."
        )
    mine, his = both["error_rival"] / both["scale"], both["error"] / both["scale"]
    beside = against(
        "champion",
        (float(mine.mean()), float(his.mean())),
        (mine.to_numpy(), his.to_numpy()),
        pd.factorize(both["unique_id"])[0],
        pd.factorize(both["as_of_utc"], sort=True)[0],
        True,
        found.step,
    )
    why = (
        f"error of version {rival.manifest['version']} {number(beside.mine)}, of version {version} "
        f"{number(beside.theirs)}{beside.size}, {cutoffs:,} cutoffs"
    )
    if beside.mine < beside.theirs:
        return _point(champion, rival, why, folder)
    return Promoted(name, version, version, why)


def _of(rows: pd.DataFrame, opened: Opened) -> pd.DataFrame:
    """Returns what a version forecast whose truth is known in full."""
    name, version = opened.manifest["name"], opened.manifest["version"]
    own = (rows["model"] == name) & (rows["model_version"] == version) & (rows["source"] == "model")
    kept: pd.DataFrame = rows[own & (rows["known"] == rows["steps"])]
    return kept


def _point(champion: Opened, rival: Opened, why: str, folder: Path | None) -> Promoted:
    name, before = champion.manifest["name"], int(champion.manifest["version"])
    version = int(rival.manifest["version"])
    if bundle.CHAMPION not in bundle.aliases(name, folder):
        bundle.point(name, bundle.CHAMPION, before, "the newest until then", folder)  # so that it can be rolled back
    bundle.point(name, bundle.CHAMPION, version, why, folder)
    return Promoted(name, before, version, why)
