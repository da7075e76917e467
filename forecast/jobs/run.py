"""One run of a job: the order of its stages, and what is told of it however it ends.

    stage     may end the run with
    open      78  bundle or settings; 75 another run of the same as_of
    read      69  the source; 65 no rows
              0   "unchanged": these rows, bundle and settings were published already
    gates     65  more series than may fail
    load      78  the network
    score     65  more series than may fail
    write     78  the output folder
    sink      75  somebody else writes; 78  the database does not take the rows
              0   "published"

Until the last rename, nothing that others read has changed.
"""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import DataError, Locked
from pipelines.panel import Panel

from . import gates, output, sqlite
from .about import Attempt
from .clock import AsOf
from .config import Job
from .opened import Opened
from .rows import Read, read
from .store import UNKNOWN, Store, describe, writing
from .telling import log, tell


@dataclass(frozen=True)
class Outcome:
    """How a run ended that did not fail.

    Attributes:
        status: "published" or "unchanged".
        folder: The published run.
        about: Its run.json.
    """

    status: str
    folder: Path
    about: dict[str, Any]


def run(job: Job | str | Path, as_of: str | None = None, *, folder: Path | None = None) -> Outcome:
    """Runs a job: reads rows up to as_of, checks them, forecasts each series and publishes the forecasts.

    Args:
        job: A job, or the path of a job file.
        as_of: A date or time, in the job's time zone where it has no offset; by default now. It is floored to the
            frequency of the rows.
        folder: Where bundles lie, by default `saved_models`, or `$FORECAST_HOME/saved_models`.

    Returns:
        Whether it was published, or had been already; and where.

    Raises:
        ConfigError: A setting is wrong, or the output folder cannot be written.
        UnknownName: There is no such bundle, source or column.
        BundleError: The bundle was changed, or is incomplete.
        SourceError: The source failed.
        DataError: More series than may fail did, or there are no rows.
        Locked: Another run of the same as_of is under way.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    store = Store(job.output)
    store.prepare()
    attempt = Attempt(job)
    try:
        outcome = _run(attempt, store, as_of, folder)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if not isinstance(error, Locked) or attempt.run_id:  # a run that another one locks out has not begun
            _keep_failure(attempt, store, error)
        raise
    _end(attempt, {**outcome.about, **attempt.ended(outcome.status)})
    return outcome


def _run(attempt: Attempt, store: Store, as_of: str | None, folder: Path | None) -> Outcome:
    job, stage = attempt.job, attempt.stages
    with stage("open") as facts:
        opened = attempt.opened = Opened.of(job, folder)
        moment = attempt.as_of = AsOf.of(as_of, opened.codes, job.spec.timezone)
        stage.about["as_of"] = str(moment)
        facts["bundle"] = opened.name
    with store.lock(moment.key):
        with stage("read") as facts:
            rows = read(job, opened, moment)
            run_id = _identify(attempt, opened, moment, rows)
            facts |= {"series": len(rows.ids), "rows": len(rows.panel)}
        target = store.runs / f"{moment.key}-{run_id}"
        if (about := store.published(moment.key, run_id)) is not None:
            store.point(target)  # a run that was killed after its last rename had not come to this
            store.tidy(moment.key)
            return Outcome("unchanged", target, about)
        with stage("gates") as facts:
            panel, attempt.failures = gates.check(rows, opened, job.spec.gates, moment)
            attempt.facts["gates"] = _passed(job, attempt.failures)
            facts["stopped"] = len(attempt.failures)
            _within_budget(attempt, len(rows.ids))
        with writing(store.folder):
            place = store.workplace(moment.key, run_id)
        shards = _score(attempt, opened, rows, panel, run_id, place)
        _within_budget(attempt, len(rows.ids))
        with writing(store.folder), stage("write") as facts:
            staged, counts = _stage(attempt, opened, rows, store, shards, place)
            facts |= counts
        for sink in job.spec.sinks:
            with stage("sink"):
                sqlite.replace(job.sink_path(sink), sink.table, job.spec.name, str(moment), staged / output.FORECASTS)
        with writing(store.folder):
            about = attempt.about("published")
            store.publish(staged, about, moment.key, run_id)
            store.point(target)
            store.tidy(moment.key)
    return Outcome("published", target, about)


def _identify(attempt: Attempt, opened: Opened, as_of: AsOf, rows: Read) -> str:
    """Returns the name of a run: a hash of all that decides its numbers."""
    panel, digest = rows.panel, rows.digest()
    attempt.facts["data"] = {
        "digest": digest,
        "series": len(rows.ids),
        "rows": len(panel),
        "rows_after_as_of": rows.cut,
        "first": str(panel.stamp(int(panel.ds.min()))),
        "last": str(panel.stamp(int(panel.ds.max()))),
    }
    attempt.facts["counts"] = {"in": len(rows.ids)}
    about = [str(as_of), as_of.utc, opened.manifest["digest"], attempt.job.digest(), digest, attempt.versions]
    attempt.run_id = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    attempt.stages.about["run_id"] = attempt.run_id
    return attempt.run_id


def _passed(job: Job, failures: list[gates.Failure]) -> dict[str, Any]:
    """Returns the limit of each gate, and how many series it stopped."""
    stopped = Counter(failure.reason for failure in failures)
    reasons = {"freshness": "stale", "history": "too_short"}
    return {
        name: {"limit": limit, "stopped": stopped[reasons.get(name, name)]}
        for name, limit in job.spec.gates.model_dump().items()
    }


def _within_budget(attempt: Attempt, series: int) -> None:
    failures, allowed = attempt.failures, attempt.job.spec.max_failed.among(series)
    reasons = Counter(failure.reason for failure in failures)
    attempt.facts["reasons"] = dict(reasons)
    attempt.facts["counts"] = {"in": series, "quarantined": len(failures)}
    if len(failures) > allowed:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        raise DataError(
            f"At most {allowed:,} of {series:,} series may fail (max_failed). Received: {len(failures):,} that do "
            f"({kinds}), such as {failures[0].unique_id!r}: {failures[0].message} Nothing was published. Repair the "
            "data, or change `gates` or `max_failed`; `forecast job status` says where all are named."
        )


def _score(attempt: Attempt, opened: Opened, rows: Read, panel: Panel, run_id: str, place: Path) -> list[Path]:
    """Returns the files of all shards; those that a killed run left are taken as they are."""
    ids, size = rows.panel.ids, attempt.job.spec.shard_size
    shards = {place / f"shard-{i:05d}.parquet": ids[i * size : (i + 1) * size] for i in range(-(-len(ids) // size))}
    finished = {path: output.shard_metadata(path) for path in shards}
    missing = [path for path, metadata in finished.items() if metadata is None]
    from .scoring import Scorer, failures_in

    if missing:
        with attempt.stages("load"):
            from ..forecaster import Forecaster

            model = Forecaster.load(opened.path)
        stopped = frozenset(failure.unique_id for failure in attempt.failures)
        scorer = Scorer(opened, model, panel, rows.panel, stopped, run_id)
    with attempt.stages("score") as facts, attempt.stages.live(len(missing)) as advance:
        facts |= {"shards": len(shards), "reused": len(shards) - len(missing)}
        for path in missing:
            table = scorer.shard(shards[path])
            with writing(place):
                output.write_shard(table, path)
            finished[path] = table.schema.metadata
            advance()
        attempt.failures += [one for metadata in finished.values() for one in failures_in(metadata)]
    attempt.facts["shards"] = {"all": len(shards), "reused": len(shards) - len(missing)}
    return list(shards)


def _stage(
    attempt: Attempt, opened: Opened, rows: Read, store: Store, shards: list[Path], place: Path
) -> tuple[Path, dict[str, int]]:
    """Writes all that is published into a folder that nobody looks into, and reads it again; returns it, and counts."""
    from .scoring import schema

    staged = place / "publish"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    columns = schema(opened, rows.panel.calendars[0].zone)
    forecasts, quarantine = staged / output.FORECASTS, staged / output.QUARANTINE
    output.write_forecasts(shards, columns, forecasts)
    by_model, fallback = output.sources_of(shards)
    output.write_quarantine(attempt.failures, fallback, quarantine)
    failed = {failure.unique_id for failure in attempt.failures}
    if by_model != set(rows.ids) - failed:
        raise RuntimeError(f"Each series must be forecast or be quarantined. Received otherwise in {staged}.")
    targets = len(opened.pipeline.spec.targets)
    written = output.validate(forecasts, columns, by_model | fallback, targets, opened.steps)
    counts = {"in": len(rows.ids), "ok": len(by_model), "fallback": len(fallback), "quarantined": len(failed)}
    attempt.count(counts, rows.ids, _before(store, opened), frozenset(opened.pipeline.ids_))
    attempt.facts["outputs"] = [describe(path) for path in (forecasts, quarantine)]
    return staged, {"rows": written, **counts}


def _before(store: Store, opened: Opened) -> set[str]:
    """Returns the series of the run that counts now; those of training where there is none."""
    now = store.current()
    found = None if now is None else output.ids_of(now)
    return set(opened.pipeline.ids_) if found is None else found


def _keep_failure(attempt: Attempt, store: Store, error: BaseException) -> None:
    """Keeps what is known of a run that failed, where the disk takes it; the error itself goes on."""
    about = attempt.about("failed", error)

    def fill(folder: Path) -> None:
        if attempt.failures:
            output.write_quarantine(attempt.failures, (), folder / output.QUARANTINE)

    try:
        store.fail(about, UNKNOWN if attempt.as_of is None else attempt.as_of.key, fill)
    except OSError as full:
        log.warning("What is known of this run was not kept in %s: %s", store.failed, full.strerror or full)
    _end(attempt, about)


def _end(attempt: Attempt, about: dict[str, Any]) -> None:
    fields = {name: about[name] for name in ("status", "exit_code", "seconds", "message", "counts")}
    log.info("end", extra={"fields": {**attempt.stages.about, "stage": "end", **fields}})
    tell(attempt.job, about)
