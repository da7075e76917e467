"""A bundle, checked and opened without its network: all that a job needs before it computes a number.

manifest.json --sha256 of every file--> pipeline, settings, intervals     here: no TensorFlow
                                        network                           later, where something is to be scored
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.pipeline import DataPipeline

from .. import bundle
from ..config import ForecastConfig
from ..evaluation.frames import quantile_name
from ..evaluation.intervals import level_name
from ..rolling import check_steps
from ..uncertainty import Intervals, wanted
from . import groups
from .config import Job


@dataclass(frozen=True, eq=False)
class Opened:
    """What a bundle says of itself.

    Attributes:
        path: Its folder.
        manifest: What it says of itself.
        pipeline: The data pipeline.
        config: Settings, with the freq or calendar of the training rows.
        steps: Rows to forecast.
        levels: Of intervals.
    """

    path: Path
    manifest: dict[str, Any]
    pipeline: DataPipeline
    config: ForecastConfig
    steps: int
    levels: tuple[float, ...]

    @classmethod
    def of(cls, job: Job, folder: Path | None = None) -> "Opened":
        """Returns the bundle of a job, after checking every file of it.

        Args:
            folder: Where bundles lie, by default `saved_models`, or `$FORECAST_HOME/saved_models`.

        Raises:
            UnknownName: There is no such bundle.
            BundleError: It is incomplete, or was changed.
            ConfigError: It cannot forecast what the job asks for.
        """
        return cls.at(current(job.bundle, folder), job.spec.steps, job.spec.levels)

    @classmethod
    def at(cls, path: Path, steps: int | None = None, levels: tuple[float, ...] | None = None) -> "Opened":
        """Returns the bundle of a folder, after checking every file of it; see `of`."""
        manifest = bundle.verify(path)
        pipeline = DataPipeline.load(path)
        config = ForecastConfig(**manifest["config"])
        if not (config.freq or config.calendar):
            config = config.replace(**manifest.get("dated", {}))
        if pipeline.spec.known:
            raise ConfigError(
                "A job knows nothing of the rows ahead but their dates. Received: a bundle that was trained with "
                f"known covariates ({', '.join(pipeline.spec.known)}). Train one without them."
            )
        steps = pipeline.spec.window.horizon if steps is None else steps
        check_steps(pipeline, steps)
        return cls(path, manifest, pipeline, config, steps, wanted(Intervals.load(path, pipeline), levels))

    @property
    def codes(self) -> Iterable[str]:
        """Frequencies and exchanges of the training rows."""
        codes: list[str] = self.manifest["data"]["calendars"]
        return codes

    @property
    def ends(self) -> list[str]:
        """The columns of the ends of intervals, level by level, and of quantiles."""
        ends = [f"y_pred_{end}_{level_name(level)}" for level in self.levels for end in ("lo", "hi")]
        return ends + [quantile_name(q) for q in self.config.quantiles]

    @property
    def name(self) -> str:
        """Name and version."""
        return f"{self.manifest['name']}/{self.manifest['version']}"


@dataclass(frozen=True, eq=False)
class Models:
    """What forecasts which series: one bundle, or one for each group of series.

    Attributes:
        groups: The bundle of each group; of "" where there is one for all. They agree in all but what they learned.
        of: The group of each series; empty where there is one for all.
    """

    groups: dict[str, Opened]
    of: dict[str, str]

    @classmethod
    def open(cls, job: Job, folder: Path | None = None) -> "Models":
        """Returns the bundles of a job, after checking every file of them; see `Opened.of`."""
        members = groups.read(bundle.root(folder) / job.bundle) if job.spec.training else {}
        if not members:
            return cls({"": Opened.of(job, folder)}, {})
        found = {
            group: Opened.at(current(groups.bundle_of(job.bundle, group), folder), job.spec.steps, job.spec.levels)
            for group in members
        }
        return cls(found, {name: group for group, ids in members.items() for name in ids})

    @property
    def first(self) -> Opened:
        """Any one of them, for what they agree in."""
        return next(iter(self.groups.values()))

    @property
    def digest(self) -> str:
        """Of all files of all bundles, and of which series is whose."""
        if not self.of:
            return str(self.first.manifest["digest"])
        about = [{group: opened.manifest["digest"] for group, opened in self.groups.items()}, self.of]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def trained(self) -> frozenset[str]:
        """Series that one of them learned from."""
        return frozenset(name for opened in self.groups.values() for name in opened.pipeline.ids_)

    @property
    def name(self) -> str:
        """Name and version; the names of all where there are several."""
        return ", ".join(opened.name for opened in self.groups.values())

    @property
    def rows_until(self) -> str:
        """The last stamp that one of them was given."""
        return max(str(opened.manifest["data"]["last"]) for opened in self.groups.values())

    def about(self) -> dict[str, Any]:
        """Returns what run.json says of them."""
        return {"name": self.name, "digest": self.digest, "rows_until": self.rows_until}

    def group(self, unique_id: str) -> str | None:
        """Returns the group of a series; None where it belongs to none."""
        return self.of.get(unique_id) if self.of else ""


def challengers(job: Job, models: Models, folder: Path | None = None) -> dict[str, Opened]:
    """Returns the challenger of each bundle that has one, by group.

    Raises:
        BundleError: It is incomplete, or was changed.
        ConfigError: It cannot forecast what the job asks for.
        UnknownName: The job names a version that is not there.
    """
    found = dict[str, Opened]()
    if (wanted := job.spec.challenger) is None:
        return found
    for group, opened in models.groups.items():
        name = opened.manifest["name"]
        if not wanted.isdigit() and wanted not in bundle.aliases(name, folder):
            continue  # none was trained yet
        path = bundle.find(f"{name}/{wanted}", folder)
        if path.name != str(opened.manifest["version"]):
            found[group] = Opened.at(path, opened.steps, job.spec.levels)
    return found


def current(name: str, folder: Path | None = None) -> Path:
    """Returns the folder of the version that a job forecasts with: the champion of a name, where there is one.

    Raises:
        UnknownName: There is no such bundle.
    """
    has_champion = bundle.CHAMPION in bundle.aliases(name, folder)
    return bundle.find(f"{name}/{bundle.CHAMPION}" if has_champion else name, folder)
