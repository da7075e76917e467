"""One run of a job: the order of its stages, and what is told of it however it ends.

    stage     may end the run with
    open      78  bundle or settings; 75 another run of the same as_of
    read      69  the source; 65 no rows                                            (parts, through the engine)
              0   "unchanged": these rows, bundle and settings were published already
    gates     65  more series than may fail
    load      78  the network
    score     65  more series than may fail; 75 workers that die                    (shards, through the engine)
    challenge     nothing: what fails here is told, and the run goes on
    write     78  the output folder
    sink      75  somebody else writes, or the database is away; 78  the database does not take the rows
              0   "published"

Until the last rename, nothing that others read has changed.
"""

import functools
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import DataError, ForecastError, Locked

from . import alerts, engines, output, retention, sinks
from .about import NAMED, Attempt
from .clock import AsOf
from .config import Job
from .drift import LIMIT
from .gates import Failure
from .opened import Models, Opened, challengers
from .parts import parts
from .prepare import Prepared, prepare, twice
from .settings import Engine
from .store import UNKNOWN, Store, describe, writing
from .telling import log, tell
from .work import Version, Work, held, hold

if TYPE_CHECKING:
    import pyarrow as pa

    from .scoring import Shard


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
        models = attempt.models = Models.open(job, folder)
        attempt.rivals = challengers(job, models, folder)
        moment = attempt.as_of = AsOf.of(as_of, models.first.codes, job.spec.timezone)
        stage.about["as_of"] = str(moment)
        facts["bundle"] = models.name
        alerts.check(job.spec.alerts, models.first)
        if moment.is_before(models.rows_until):
            log.warning(
                "%s saw rows up to %s, after %s: how good such a forecast is, proves nothing.",
                models.name,
                models.rows_until,
                moment,
            )
    with store.lock(moment.key), store.scratch(moment.key) as scratch:
        found = _prepare(attempt, models.first, moment, scratch)
        run_id = _identify(attempt, models, moment, found)
        target = store.runs / f"{moment.key}-{run_id}"
        if (about := store.published(moment.key, run_id)) is not None:
            store.point(target)  # a run that was killed after its last rename had not come to this
            store.tidy(moment.key)
            retention.apply(job, store)
            return Outcome("unchanged", target, about)
        ids = [name for part in found for name in part.all]
        with stage("gates") as facts:
            attempt.failures = [failure for part in found for failure in part.failures]
            attempt.failures += _without_model(models, ids, attempt.failures)
            attempt.facts["gates"] = _passed(job, attempt.failures)
            attempt.facts["drift"] = _drifted(job, found)
            facts["stopped"] = len(attempt.failures)
            _within_budget(attempt, len(ids))
        with writing(store.folder):
            place = store.workplace(moment.key, run_id)
        shards = _score(attempt, models, found, run_id, place)
        _within_budget(attempt, len(ids))
        rival = _challenge(attempt, models, found, run_id, place)
        with writing(store.folder), stage("write") as facts:
            staged, counts = _stage(attempt, models, ids, _zone(found), store, shards, rival, place)
            facts |= counts
        for sink in job.spec.sinks:
            with stage("sink"):
                sinks.replace(job, sink, str(moment), staged / output.FORECASTS)
        with writing(store.folder):
            about = attempt.about("published")
            store.publish(staged, about, moment.key, run_id)
            store.point(target)
            store.tidy(moment.key)
        retention.apply(job, store)
    return Outcome("published", target, about)


def _prepare(attempt: Attempt, opened: Opened, as_of: AsOf, scratch: Path) -> list[Prepared]:
    """Reads all parts; returns what is known of each, in order."""
    job = attempt.job
    work = Work(job.bare(), hold(opened), as_of, scratch)
    with attempt.stages("read") as facts:
        todo = parts(job)
        engine = job.spec.engine if len(todo) > 1 else Engine()  # for one part, nobody else need start
        with attempt.stages.live("parts", len(todo)) as advance:
            found = []
            for part in engines.each(functools.partial(prepare, work), todo, engine):
                found.append(part)
                advance()
        found.sort(key=lambda part: part.folder)
        series, rows, cut = (sum(n) for n in zip(*((len(p.all), p.rows, p.cut) for p in found), strict=True))
        facts |= {"series": series, "rows": rows}
    if not rows:
        raise DataError(
            f"A run needs a row at or before as_of, {as_of}. Received: {cut:,} rows of {job.source}, all later. Set "
            "the clock, or choose another --as-of."
        )
    if name := twice(found):
        raise DataError(
            f"Each file must hold whole series where `partitioned` is true. Received: {name!r} in several. Leave "
            "`partitioned` out, or write each series into one file."
        )
    return found


def _identify(attempt: Attempt, models: Models, as_of: AsOf, found: Sequence[Prepared]) -> str:
    """Returns the name of a run: a hash of all that decides its numbers."""
    digest = hashlib.sha256(json.dumps(sorted(one for part in found for one in part.digests)).encode()).hexdigest()
    series = sum(len(part.all) for part in found)
    attempt.facts["data"] = {
        "digest": digest,
        "parts": len(found),
        "series": series,
        "rows": sum(part.rows for part in found),
        "rows_after_as_of": sum(part.cut for part in found),
        "first": min(part.first for part in found if part.rows),
        "last": max(part.last for part in found if part.rows),
    }
    attempt.facts["counts"] = {"in": series}
    rivals = {group: opened.manifest["digest"] for group, opened in attempt.rivals.items()}
    about = [str(as_of), as_of.utc, models.digest, rivals, attempt.job.digest(), digest, attempt.versions]
    attempt.run_id = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    attempt.stages.about["run_id"] = attempt.run_id
    return attempt.run_id


def _zone(found: Sequence[Prepared]) -> str:
    """Returns the time zone of all stamps."""
    return next((part.zone for part in found if part.ids), "")


def _passed(job: Job, failures: list[Failure]) -> dict[str, Any]:
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


def _drifted(job: Job, found: Sequence[Prepared]) -> dict[str, Any]:
    """Returns how many series have drifted, and the names and PSI of those that did most."""
    psi = sorted(((value, name) for part in found for name, value in part.drifted.items()), reverse=True)
    limit = job.spec.gates.drift or LIMIT
    return {"psi_limit": limit, "over": len(psi), "series": {name: value for value, name in psi[:NAMED]}}


def _without_model(models: Models, ids: list[str], failures: list[Failure]) -> list[Failure]:
    """Returns the series that no model learned to forecast, where each group has its own."""
    known = {failure.unique_id for failure in failures}
    found = "It was in no group when the models were trained; it is forecast after the next training."
    return [
        Failure(name, "gates", "no_model", found) for name in ids if models.group(name) is None and name not in known
    ]


def _score(attempt: Attempt, models: Models, found: Sequence[Prepared], run_id: str, place: Path) -> list[Path]:
    """Returns the files of all shards; those that a killed run left are taken as they are."""
    from .scoring import score

    engine = attempt.job.spec.engine
    versions: dict[str | None, Version] = {group: hold(opened) for group, opened in models.groups.items()}
    versions[None] = hold(models.first)  # its series have a fallback
    shards = _shards(attempt, models, versions, found, run_id, place / "shard")
    finished = {shard: shard.finished for shard in shards}
    missing = [shard for shard, failures in finished.items() if failures is None]
    if missing and engine.name == "inline":
        with attempt.stages("load"):
            for version in {shard.version for shard in missing}:
                held(version).model  # noqa: B018  (loads it)
    with attempt.stages("score") as facts, attempt.stages.live("shards", len(missing)) as advance:
        facts |= {"shards": len(shards), "reused": len(shards) - len(missing)}
        attempt.failures += [one for failures in finished.values() for one in failures or ()]
        for failures in engines.each(score, missing, engine):
            attempt.failures += failures
            advance()
    attempt.facts["shards"] = {"all": len(shards), "reused": len(shards) - len(missing)}
    return [shard.path for shard in shards]


def _challenge(
    attempt: Attempt, models: Models, found: Sequence[Prepared], run_id: str, place: Path
) -> tuple[list[Path], "pa.Schema"] | None:
    """Returns the files of the challenger's shards and their columns; None where there is no challenger, or it fails.

    Nobody waits for its forecasts: what fails here is told, and the champion's are published.
    """
    if not attempt.rivals:
        return None
    from .scoring import schema, score

    opened = next(iter(attempt.rivals.values()))
    facts: dict[str, Any] = {"name": ", ".join(one.name for one in attempt.rivals.values()), "error": None}
    attempt.facts["challenger"] = facts
    try:
        versions: dict[str | None, Version] = {group: hold(one) for group, one in attempt.rivals.items()}
        shards = _shards(attempt, models, versions, found, run_id, place / "challenger")
        with attempt.stages("challenge"), attempt.stages.live("challenger", len(shards)) as advance:
            missing = [shard for shard in shards if shard.finished is None]
            for _ in engines.each(score, missing, attempt.job.spec.engine):
                advance()
    except (ForecastError, KeyError, ValueError) as error:
        log.warning("The challenger %s did not forecast: %s", facts["name"], error)
        facts["error"] = str(error)
        return None
    return [shard.path for shard in shards], schema(opened, _zone(found))


def _shards(
    attempt: Attempt,
    models: Models,
    versions: Mapping[str | None, Version],
    found: Sequence[Prepared],
    run_id: str,
    name: Path,
) -> list["Shard"]:
    """Returns the shards of all parts, in order: a shard lies in one part, and has one model.

    Args:
        versions: The bundle of each group; the series of others are left out.
        name: What the files of the shards begin with.
    """
    from .scoring import Shard

    size, zone, shards = attempt.job.spec.shard_size, _zone(found), list[Shard]()
    stopped = {failure.unique_id for failure in attempt.failures}
    for part in found:
        of: dict[Version, list[str]] = {}
        for unique_id in part.ids:
            if (group := models.group(unique_id)) in versions:
                of.setdefault(versions[group], []).append(unique_id)
        for version, names in of.items():
            for first in range(0, len(names), size):
                ids = tuple(names[first : first + size])
                path = name.with_name(f"{name.name}-{len(shards):05d}.parquet")
                own = frozenset(stopped.intersection(ids))
                shards.append(Shard(path, part.folder, ids, own, version, run_id, zone))
    return shards


def _stage(
    attempt: Attempt,
    models: Models,
    ids: list[str],
    zone: str,
    store: Store,
    shards: list[Path],
    rival: tuple[list[Path], "pa.Schema"] | None,
    place: Path,
) -> tuple[Path, dict[str, int]]:
    """Writes all that is published into a folder that nobody looks into, and reads it again; returns it, and counts."""
    from .scoring import schema

    opened, staged = models.first, place / "publish"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    columns = schema(opened, zone)
    forecasts, quarantine = staged / output.FORECASTS, staged / output.QUARANTINE
    output.write_forecasts(shards, columns, forecasts)
    by_model, fallback = output.sources_of(shards)
    attempt.failures.sort(key=lambda failure: failure.unique_id)  # engines answer in any order
    output.write_quarantine(attempt.failures, fallback, quarantine)
    failed = {failure.unique_id for failure in attempt.failures}
    if by_model != set(ids) - failed:
        raise RuntimeError(f"Each series must be forecast or be quarantined. Received otherwise in {staged}.")
    targets = len(opened.pipeline.spec.targets)
    written = output.validate(forecasts, columns, by_model | fallback, targets, opened.steps)
    counts = {"in": len(ids), "ok": len(by_model), "fallback": len(fallback), "quarantined": len(failed)}
    attempt.count(counts, ids, _before(store, models), models.trained)
    made = [forecasts, quarantine]
    if rival is not None:
        made.append(staged / output.CHALLENGER)
        output.write_forecasts(*rival, made[-1])
    if wanted := attempt.job.spec.alerts:
        found = alerts.raised(wanted, shards, columns)
        attempt.facts["alerts"] = alerts.about(wanted, found)
        made.append(staged / alerts.FILE)
        output.write(found, made[-1])
    attempt.facts["outputs"] = [describe(path) for path in made]
    return staged, {"rows": written, **counts}


def _before(store: Store, models: Models) -> set[str]:
    """Returns the series of the run that counts now; those of training where there is none."""
    now = store.current()
    found = None if now is None else output.ids_of(now)
    return set(models.trained) if found is None else found


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
