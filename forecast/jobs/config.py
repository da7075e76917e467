"""The job file: what is read, forecast, checked and written.

    name: nightly                       # jobs/nightly/ holds all that it writes
    source: prices/*.parquet            # any locator: a file, a folder, a glob, or scheme:locator
    bundle: stocks                      # its newest version, NAME/VERSION, or a path
    steps: 5
    timezone: America/New_York
    schedule: 0 22 * * 1-5              # for `forecast job schedule`, which prints a scheduler's files
    gates: {freshness: 1, jump: 10}
    max_failed: {fraction: 0.02, floor: 10}
    ping: ${PING_URL}/{exit_code}

Paths are relative to the job file. `${NAME}` stands for a variable of the environment in `ping`, in the URL of a `sql:`
source and in that of a `sql` sink, which are secrets or hold one, and nowhere else: what decides the numbers stands in
the file.
"""

import hashlib
import json
import os
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from pydantic import Field, SecretStr, field_validator, model_validator

from pipelines import environment, sources
from pipelines.databases import check_secret
from pipelines.errors import ConfigError, did_you_mean
from pipelines.spec import Spec

from .. import bundle
from ..config import read_config
from . import settings
from .cron import Cron
from .settings import Alert, Engine, Gates, MaxFailed, Retention, SqliteSink, SqlSink, Training

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class JobSpec(Spec):
    """The settings of a job file.

    Attributes:
        name: Of the job: letters, digits, `.`, `_` and `-`.
        source: Where rows come from: a file, a folder, a glob, or scheme:locator.
        bundle: What forecasts: a bundle's name (its champion, or its newest version where there is none), NAME/VERSION,
            or the path of a version's folder. By default the job's name, where it has a recipe to train it by.
        training: How `forecast job train` trains it.
        challenger: Another version of the bundle, by its number or an alias such as challenger, whose forecasts are
            kept beside, to be compared when truth arrives.
        steps: Rows to forecast, by default the horizon.
        levels: Of intervals, in percent; by default 80 and 95 where the bundle has them, [] for none.
        timezone: Of as_of, of the schedule, and of stamps that carry no zone.
        schedule: When a scheduler runs the job: five fields of cron, such as 0 22 * * 1-5, for `forecast job schedule`.
        output: The folder for all that the job writes; by default jobs/NAME, or $FORECAST_HOME/jobs/NAME.
        gates: What must hold of each series.
        max_failed: How many series may fail until nothing is published.
        partitioned: Whether each file of the source holds whole series: then files are read a few at a time, and memory
            grows with them, not with all rows.
        engine: Where parts and shards are done: inline, spawn, joblib, dask or ray; a name, or a mapping.
        shard_size: Series that are forecast and kept together: what a killed run need not do again.
        sinks: Tables that get the forecasts, too.
        alerts: Thresholds that a forecast should not cross unseen.
        retention: What is kept of old runs and answers; by default all.
        metrics: The file for Prometheus, by default metrics.prom in the output folder.
        ping: An http(s) URL that gets a POST after each run; {status} and {exit_code} in it are filled in. A secret.
    """

    name: str
    source: str
    bundle: str | None = None
    training: Training | None = None
    challenger: str | None = None
    steps: int | None = Field(default=None, ge=1)
    levels: tuple[float, ...] | None = None
    timezone: str = "UTC"
    schedule: str | None = None
    output: str | None = None
    gates: Gates = Gates()
    max_failed: MaxFailed = MaxFailed()
    partitioned: bool = False
    engine: Engine = Engine()
    shard_size: int = Field(default=2_000, ge=1)
    sinks: tuple[SqliteSink | SqlSink, ...] = ()
    alerts: tuple[Alert, ...] = ()
    retention: Retention = Retention()
    metrics: str | None = None
    ping: SecretStr | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"`name` must be letters, digits, '.', '_' and '-', not '.' or '-' first. Received: {value!r}"
            )
        return value

    @field_validator("sinks", mode="before")
    @classmethod
    def _of_a_kind(cls, value: Any) -> Any:
        return tuple(map(_sink, value)) if isinstance(value, list | tuple) else value

    @field_validator("source")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if value.startswith("sql:"):
            check_secret(value.removeprefix("sql:"))
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            near = did_you_mean(value, zoneinfo.available_timezones())
            raise ValueError(
                f"`timezone` must be a name of the time zone database, such as America/New_York.{near} "
                f"Received: {value!r}"
            ) from None
        return value

    @field_validator("schedule")
    @classmethod
    def _of_cron(cls, value: str | None) -> str | None:
        return value if value is None else Cron.parse(value).text

    @model_validator(mode="after")
    def _forecasts_with_something(self) -> Self:
        if self.bundle is None and self.training is None:
            raise ValueError(
                "`bundle` must name what forecasts, such as goog; or `training` must hold a recipe to train it by. "
                "Received: neither"
            )
        if self.training is not None and self.bundle is not None and not re.fullmatch(r"[^/:]+", self.bundle):
            raise ValueError(
                "`bundle` must be a name alone where the job trains it: versions are numbered. Received: "
                f"{self.bundle!r}"
            )
        if self.challenger is not None and not re.fullmatch(r"[a-z0-9_-]+", self.challenger):
            raise ValueError(
                "`challenger` must be another version of the same bundle, by its number or an alias such as "
                f"challenger. Received: {self.challenger!r}"
            )
        names = [alert.name for alert in self.alerts]
        if len(set(names)) < len(names):
            raise ValueError(f"`alerts` must have different names. Received: {', '.join(names)}")
        return self

    @field_validator("metrics")
    @classmethod
    def _collected(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith(".prom"):
            raise ValueError(f"`metrics` must end in .prom, or no collector reads it. Received: {value!r}")
        return value

    @field_validator("ping")
    @classmethod
    def _web(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"https?://[^/\s]", value.get_secret_value()):
            raise ValueError("`ping` must begin with http:// or https://. What was received is a secret.")
        return value


def _sink(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if ("sqlite" in value) == ("sql" in value):
        raise ValueError(
            f"A sink must name `sqlite`, a file, or `sql`, a database's URL. Received: {', '.join(map(str, value))}"
        )
    return SqlSink.of(dict(value)) if "sql" in value else SqliteSink.of(dict(value))


@dataclass(frozen=True)
class Job:
    """A job file that was read and checked.

    Attributes:
        spec: Its settings.
        folder: What its paths are relative to.

    Example:
        >>> job = Job(JobSpec(name="nightly", source="prices.csv", bundle="goog"), Path("/srv"))
        >>> job.source, job.bundle
        ('/srv/prices.csv', 'goog')
    """

    spec: JobSpec
    folder: Path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Returns the job of a YAML file.

        Raises:
            ConfigError: It cannot be read, or a setting in it is wrong.
        """
        spec = JobSpec(**_with_secrets(read_config(os.fspath(path))))
        return cls(spec, Path(path).absolute().parent)

    @property
    def source(self) -> str:
        """The locator, independent of the working folder."""
        scheme, locator, options = sources.split_locator(self.spec.source)
        if scheme not in sources.PATHS:
            return self.spec.source
        query = f"?{urlencode(options)}" if options else ""
        return ("" if scheme == "file" else f"{scheme}:") + f"{self._path(locator)}{query}"

    @property
    def bundle(self) -> str:
        """A bundle's name, or an absolute path where the job file names one."""
        text = self.spec.bundle or self.spec.name
        named = not text.startswith((".", "/", "~")) and text.count("/") < 2
        return text if named and not (self.folder / text / bundle.MANIFEST).is_file() else str(self._path(text))

    @property
    def output(self) -> Path:
        """The folder of all that the job writes."""
        if self.spec.output is not None:
            return self._path(self.spec.output)
        return bundle.root().absolute().parent / "jobs" / self.spec.name

    @property
    def metrics(self) -> Path:
        """The file for Prometheus."""
        return self.output / "metrics.prom" if self.spec.metrics is None else self._path(self.spec.metrics)

    def sink_path(self, sink: SqliteSink) -> Path:
        """Returns the database of a sink."""
        return self._path(sink.sqlite)

    def bare(self) -> Self:
        """Returns the job without its secrets, for workers."""
        return replace(self, spec=self.spec.replace(ping=None))

    def digest(self) -> str:
        """Returns the sha256 of all settings but those that say when, where and who is told: they change no number."""
        settings = self.spec.model_dump(
            mode="json", exclude={"output", "metrics", "ping", "schedule", "engine", "retention"}
        )
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def _path(self, text: str) -> Path:
        return self.folder / Path(text).expanduser()


def variables(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Returns the variables of the environment that a job file asks for.

    Raises:
        ConfigError: The file cannot be read.
    """
    settings = read_config(os.fspath(path))
    texts = [settings.get(name) for name in ("ping", "source", "sinks")]
    return tuple(dict.fromkeys(found for text in texts for found in environment.variables(str(text or ""))))


def _with_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings with `${NAME}` replaced where it may stand.

    Raises:
        ConfigError: It stands elsewhere, or there is no such variable.
    """
    return {
        name: environment.filled(value) if name == "ping" and isinstance(value, str) else _plain(value, name)
        for name, value in settings.items()
    }


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, str) and environment.variables(value):
        if where == "sinks.sql" or (where == "source" and value.startswith("sql:")):
            return value  # `pipelines/databases.py` fills it in where a connection is made, and nobody sees it
        raise ConfigError(
            "`${NAME}` may stand in ping, in a sql: source and in a sink's sql only, because what decides the numbers "
            f"stands in the job file. Received: {value!r} in `{where}`. Write the value itself."
        )
    if isinstance(value, Mapping):
        return {name: _plain(item, f"{where}.{name}") for name, item in value.items()}
    return [_plain(item, where) for item in value] if isinstance(value, list) else value


def schema() -> dict[str, Any]:
    """Returns the JSON Schema of a job file, with what each setting means, for editors.

    Example:
        >>> schema()["properties"]["steps"]["description"]
        'Rows to forecast, by default the horizon.'
    """
    found = JobSpec.model_json_schema()
    for part, spec in ((found, JobSpec), *((part, getattr(settings, name)) for name, part in found["$defs"].items())):
        text = (spec.__doc__ or "").partition("Attributes:")[2]
        part["description"] = (spec.__doc__ or "").strip().splitlines()[0]
        for name, about in re.findall(r"^        (\w+): (.*(?:\n {12,}.*)*)", text, re.MULTILINE):
            part["properties"][name]["description"] = " ".join(about.split())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "A job of keras-forecast"}
