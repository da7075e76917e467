"""A bundle, checked and opened without its network: all that a job needs before it computes a number.

manifest.json --sha256 of every file--> pipeline, settings, intervals     here: no TensorFlow
                                        network                           later, where something is to be scored
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.pipeline import DataPipeline

from .. import bundle
from ..config import ForecastConfig
from ..rolling import check_steps
from ..uncertainty import Intervals, wanted
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
        path = bundle.find(job.bundle, folder)
        return cls.at(path, job.spec.steps, job.spec.levels)

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
    def name(self) -> str:
        """Name and version."""
        return f"{self.manifest['name']}/{self.manifest['version']}"
