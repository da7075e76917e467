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
    |  |- challenger.parquet          forecasts of the challenger, where there is one
    |  |- alerts.parquet              thresholds that forecasts cross, where some are set
    |  `- run.json                    what was read, counted, checked and written, with which versions
    |- failed/2024-01-05/             the last attempt that published nothing: run.json, quarantine.parquet
    |- scores/                        what became of each run, once the truth has come
    |- training.json                  how the last training ended
    `- metrics.prom                   for Prometheus

One run, in the order of its stages:

    run             the order, and how it ends          about     what run.json says
    config, settings, cron    the job file              clock     as_of, the only clock
    opened, groups  bundles: one, or one a group        parts     what is read at once
    rows            what is read                        prepare   a part: read, checked, kept for its shards
    gates, drift    what must hold before scoring       work      what a task knows; the bundle that a process holds
    scoring, naive  the shards                          engines   where parts and shards are done
    alerts          thresholds                          output    the tables
    store           the folder drawn above              sinks     tables of databases
    telling         who is told                         retention what is removed

Many runs, and what they were worth: `backfill`, `status`, `truth` and `accuracy` (score), `promotion`, `training`.
Files for a scheduler: `schedules`. Without running: `validate`. TensorFlow is loaded when there is something to score.
"""

from .accuracy import Accuracy, score
from .backfill import Filled, backfill
from .config import Job
from .promotion import Promoted, promote, rollback
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
    "Promoted",
    "Trained",
    "backfill",
    "current",
    "promote",
    "rollback",
    "run",
    "score",
    "status",
    "train",
    "validate",
]
