"""The parts of a job file that have settings of their own.

gates: {freshness: 1, jump: 10}
max_failed: {fraction: 0.02, floor: 10}
sinks: [{sqlite: forecasts.db, table: forecasts}]
"""

import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pipelines.databases import check_secret
from pipelines.errors import did_you_mean
from pipelines.spec import Spec


class Gates(Spec):
    """What must hold of each series before it is forecast; a gate that is null is open.

    Attributes:
        freshness: At most so many rows are due between a series' last row and as_of.
        history: At least so many rows; by default what one window of the network needs.
        duplicates: At most this share of a series' rows repeat a stamp.
        non_finite: At most this share of the values that the network looks at are missing or infinite.
        jump: The last rows are never, all of them, more than so many times above or below all rows before them. It
            looks at the lookback, or two seasons where those are more, and the jump must lie in its later half.
        constant: Whether a target that stood still over the same rows stops the series.
        drift: The latest changes are at most so differently spread than those before, by PSI; see `drift.py`.
        future: Whether a row after as_of stops the series, where as_of is the machine's clock: one of both is wrong.
    """

    freshness: int | None = Field(default=1, ge=0)
    history: int | None = Field(default=None, ge=1)
    duplicates: float | None = Field(default=0.01, ge=0, le=1)
    non_finite: float | None = Field(default=0.1, ge=0, le=1)
    jump: float | None = Field(default=10.0, gt=1)
    constant: bool = True
    drift: float | None = Field(default=None, gt=0)
    future: bool = True


class MaxFailed(Spec):
    """How many series may fail until nothing is published.

    Attributes:
        fraction: This share of all series,
        floor: or so many where those are more, and at most half of the series.
    """

    fraction: float = Field(default=0.02, ge=0, le=1)
    floor: int = Field(default=10, ge=0)

    def among(self, series: int) -> int:
        """Returns how many of some series may fail.

        Example:
            >>> [MaxFailed().among(series) for series in (1, 8, 100, 10_000)]
            [0, 4, 10, 200]
        """
        return max(int(self.fraction * series), min(self.floor, series // 2))


def _named(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", value):
        raise ValueError(f"`table` must be letters, digits and _, not a digit first. Received: {value!r}")
    return value


class SqliteSink(Spec):
    """A table of a SQLite database that gets the forecasts, too.

    Attributes:
        sqlite: The database file; it is made where there is none.
        table: The table; it is made where there is none. Rows of the same job and as_of are replaced.
    """

    sqlite: str
    table: str = "forecasts"

    @field_validator("table")
    @classmethod
    def _plain(cls, value: str) -> str:
        return _named(value)


class SqlSink(Spec):
    """A table of any database that SQLAlchemy knows that gets the forecasts, too.

    Attributes:
        sql: The database's URL, such as postgresql+psycopg://user:${PGPASSWORD}@host/name, or ${DATABASE_URL}.
        table: The table, or schema.table; it is made where there is none. Rows of the same job and as_of are replaced.
    """

    sql: str
    table: str = "forecasts"

    @field_validator("sql")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        return check_secret(value)

    @field_validator("table")
    @classmethod
    def _plain(cls, value: str) -> str:
        schema, dot, table = value.rpartition(".")
        if dot:
            _named(schema)
        _named(table)
        return value


class Alert(Spec):
    """A threshold that a forecast should not cross unseen; see `alerts.py`.

    Attributes:
        name: Of the alert, in its table and the ping.
        above: Raised by a forecast above it, where the last known value is not.
        below: The same below it.
        change: Whether thresholds are shares of the last known value: 0.05 is 5 % above it, -0.05 is 5 % below.
        column: Of the forecasts: y_pred, or an end of an interval such as y_pred_lo_80.
        target: By default all.
        series: Names or patterns such as pump-*; by default all.
    """

    name: str = Field(min_length=1, max_length=100)
    above: float | None = None
    below: float | None = None
    change: bool = False
    column: str = "y_pred"
    target: str | None = None
    series: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError(f"`above` or `below` must be given. Received: neither, for alert {self.name!r}")
        return self


class Retention(Spec):
    """What is kept of what a job wrote; scores stay, and so does the run that CURRENT points to.

    Attributes:
        runs: Only so many runs, those of the latest as_of.
        days: Only runs, and failures, that ended so many days ago or later.
        answers: Of Yahoo's answers only so many for each ticker, the latest, and those that they do not replace.
        answer_days: Only those that came so many days ago or later, and those that they do not replace.
    """

    runs: int | None = Field(default=None, ge=1)
    days: float | None = Field(default=None, gt=0)
    answers: int | None = Field(default=None, ge=1)
    answer_days: float | None = Field(default=None, gt=0)


class Training(Spec):
    """How a job trains what it forecasts with.

    Attributes:
        recipe: Settings of a forecaster, as for `forecast train --config`; `freq` or `calendar` among them.
        by: A column that names the group of each series: then each group has a model of its own.
        cutoffs: The last so many cutoffs of each series decide between a new version and the one before.
        tolerance: How much worse a new version may be there, as a share.
    """

    recipe: dict[str, Any]
    by: str | None = None
    cutoffs: int = Field(default=20, ge=1)
    tolerance: float = Field(default=0.0, ge=0)

    @field_validator("recipe")
    @classmethod
    def _checked(cls, value: dict[str, Any]) -> dict[str, Any]:
        from ..config import ForecastConfig

        config = ForecastConfig(**value)
        if not config.target:
            raise ValueError("`recipe` must name its `target`. Received: none.")
        if not (config.freq or config.calendar):
            raise ValueError(
                "`recipe` must say how rows are dated, because a training is as of a time. Received: neither `freq`, "
                "such as D or h, nor `calendar`, such as XNYS."
            )
        return value


class Engine(Spec):
    """Where the shards of a run are done; the forecasts are the same.

    Attributes:
        name: inline (this process), spawn (processes of this machine), joblib, dask or ray.
        workers: Processes on this machine; by default one for each core. A cluster at an address has its own.
        address: Of a Dask or Ray cluster that runs already, such as tcp://scheduler:8786 or auto.
        backend: Of joblib: loky, dask, ray, or one that was registered there.
        retries: How often a task is tried again whose worker died.
    """

    name: str = "inline"
    workers: int | None = Field(default=None, ge=1)
    address: str | None = None
    backend: str = "loky"
    retries: int = Field(default=2, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        from .engines import registry

        if value not in registry.names():
            raise ValueError(
                f"`name` must be one of {', '.join(registry.names())}.{did_you_mean(value, registry.names())} "
                f"Received: {value!r}"
            )
        return value
