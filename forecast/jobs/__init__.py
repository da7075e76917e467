"""A scheduled batch job: one YAML file, one command that any scheduler can run, output that is never half-written.

    nightly.yaml --> open bundle --> read rows --> gates --> score by shards --> publish --> CURRENT
                     as_of           <= as_of      |         |                   stage, re-read, rename
                                                   quarantine, and a fallback for each of these series
                                                   too many of them: nothing is published

    jobs/nightly/
    |- CURRENT                        one line: the folder of the run that counts, runs/2024-01-05-3f1c...
    |- runs/2024-01-05-3f1c.../       a published run; never changed once it is there
    |  |- forecasts.parquet           one row for each series, target and step
    |  |- quarantine.parquet          series that failed: id, stage, reason, message
    |  `- run.json                    what was read, counted, checked and written, with which versions
    |- failed/2024-01-05/             the last attempt that published nothing: run.json, quarantine.parquet
    `- metrics.prom                   for Prometheus

`config` and `settings` are the job file, `clock` the one clock, `opened` the bundle, `rows` what is read, `gates` what
must hold before scoring, `scoring` the shards, `output` and `sqlite` the tables, `store` the folder drawn above,
`telling` who is told, `run` the order of it all, `schedules` the files for a scheduler. Nothing here trains, and
TensorFlow is loaded when there is something to score.
"""

from .accuracy import Accuracy, score
from .backfill import Filled, backfill
from .config import Job
from .run import Outcome, run
from .status import status
from .store import current
from .training import Trained, train
from .validate import validate

__all__ = [
    "Accuracy",
    "Filled",
    "Job",
    "Outcome",
    "Trained",
    "backfill",
    "current",
    "run",
    "score",
    "status",
    "train",
    "validate",
]
