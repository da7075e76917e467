"""Tables of databases that get the forecasts, too. ONE FILE = ONE KIND OF SINK.

    sinks: [{sqlite: forecasts.db}, {sql: "postgresql+psycopg://ada:${PGPASSWORD}@db/market", table: forecasts}]

    job      as_of        unique_id  target  ds           ...  y_pred
    nightly  2024-01-04   AAPL       Close   2024-01-05   ...  ...       stays
    nightly  2024-01-05   AAPL       Close   2024-01-08   ...  ...       deleted and inserted, together

The rows of a job and an as_of are replaced in one transaction. A column that the table lacks, as of other levels, is
added. A run that is killed meanwhile, or a database that goes away, leaves the table as it was.
"""

from pathlib import Path

from ..config import Job
from ..settings import SqliteSink, SqlSink
from . import sql, sqlite


def replace(job: Job, sink: SqliteSink | SqlSink, as_of: str, forecasts: Path) -> None:
    """Replaces the rows of a job and an as_of by those of a Parquet file.

    Raises:
        Locked: Somebody else writes for too long.
        SinkAway: The database is away, or went away meanwhile.
        ConfigError: The database does not take the rows.
    """
    if isinstance(sink, SqliteSink):
        sqlite.replace(job.sink_path(sink), sink.table, job.spec.name, as_of, forecasts)
    else:
        sql.replace(sink.sql, sink.table, job.spec.name, as_of, forecasts)
