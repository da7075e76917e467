"""`forecast job`: scheduled forecasts of many series: run, score, train, validate, status, schedule, schema."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.errors import ConfigError

from ._shared import Folder, Json, check_picture, say, show_json

if TYPE_CHECKING:
    from ..jobs import Outcome, Promoted

app = typer.Typer(
    help="Run a nightly job: forecasts of many series, checked, published as a whole, one YAML file.\n\n"
    "Example: forecast job run examples/nightly_stocks.yaml",
    no_args_is_help=True,
)

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", help="A job file, such as examples/nightly_stocks.yaml.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="A date or time; no later row is used. [default: now, floored to the rows' frequency]"
    ),
]


@app.command()
def run(job: JobArgument, as_of: AsOf = None, folder: Folder = None, as_json: Json = False) -> None:
    """Read, check, forecast and publish; a second run of the same rows changes nothing.

    Example: forecast job run examples/nightly_stocks.yaml --as-of 2008-10-14
    """
    from .. import jobs
    from ..jobs.telling import told

    with told(sys.stderr), _terminable():
        outcome = jobs.run(job, as_of, folder=folder)
    if as_json:
        show_json({**outcome.about, "status": outcome.status, "folder": outcome.folder})
    else:
        say(_sentence(outcome))


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM, by which schedulers end what takes too long, an end that is told of; its code is the shell's."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def train(job: JobArgument, as_of: AsOf = None, folder: Folder = None, as_json: Json = False) -> None:
    """Train by the job's recipe; the new version takes over where it is not worse on the last cutoffs.

    Example: forecast job train nightly.yaml --as-of 2008-10-14
    """
    from dataclasses import asdict

    from .. import jobs
    from ..jobs.telling import told
    from ..text import aligned, number

    with told(sys.stderr), _terminable():
        done = jobs.train(job, as_of, folder=folder)
    if as_json:
        show_json([asdict(one) for one in done])
        return
    head = ["bundle", "version", "series", "cutoffs", "error", "champion", "naive", ""]
    rows = [
        [
            one.bundle,
            str(one.version),
            f"{one.series:,}",
            f"{one.cutoffs:,}",
            number(one.error),
            "-" if one.champion_error is None else number(one.champion_error),
            number(one.naive),
            "promoted" if one.promoted else f"kept {one.champion}",
        ]
        for one in done
    ]
    say(aligned([head, *rows]))
    say("error: mean absolute error over the naive forecast's in training rows (MASE).")


def _sentence(outcome: "Outcome") -> str:
    about = outcome.about
    counts = ", ".join(f"{number:,} {state}" for state, number in about["counts"].items() if number or state == "ok")
    if about["alerts"]:
        counts += f", {about['alerts']['raised']:,} alerts"
    return f"{outcome.status} {about['job']} as of {about['as_of']}: {counts}\n{outcome.folder}"


@app.command()
def validate(job: JobArgument, as_of: AsOf = None, folder: Folder = None, as_json: Json = False) -> None:
    """Check the file, the bundle, the source's columns and the output folder, without running.

    Example: forecast job validate examples/nightly_stocks.yaml
    """
    from .. import jobs
    from ..text import aligned

    found = jobs.validate(job, as_of, folder=folder)
    if as_json:
        show_json(found)
        return
    say(aligned([[name, ", ".join(map(str, v)) if isinstance(v, list) else str(v)] for name, v in found.items()]))


@app.command()
def status(job: JobArgument, as_json: Json = False) -> None:
    """Show the runs of a job: which is current, what they counted, and why the last one failed.

    Example: forecast job status examples/nightly_stocks.yaml
    """
    from .. import jobs
    from ..text import aligned

    runs = jobs.status(job)
    if as_json:
        show_json(runs)
        return
    if not runs:
        say("No runs yet.")
        return
    say(aligned([["as of", "run", "status", "", "in", "ok", "fallback", "quarantined", "seconds"], *map(_row, runs)]))
    last = max(runs, key=lambda about: about["finished"])
    if last["status"] == "failed":
        say(f"The last run failed, with exit code {last['exit_code']}: {last['message']}\n{last['folder']}")


def _row(about: dict[str, Any]) -> list[str]:
    counts = [f"{about['counts'][name]:,}" if name in about["counts"] else "-" for name in _COUNTS]
    mark = "current" if about["current"] else ""
    return [about["as_of"] or "-", about["run_id"] or "-", about["status"], mark, *counts, f"{about['seconds']:.1f}"]


_COUNTS = ("in", "ok", "fallback", "quarantined")


@app.command()
def backfill(
    job: JobArgument,
    first: Annotated[str, typer.Option("--from", help="The first date or time.")],
    last: Annotated[str, typer.Option("--to", help="The last one.")],
    reprocess: Annotated[
        str, typer.Option(help="What is run again: none, what failed, or what completed and what failed.")
    ] = "none",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Run as of each time of the schedule between two, or of each row where there is none.

    Example: forecast job backfill examples/nightly_stocks.yaml --from 2008-10-01 --to 2008-10-14
    """
    from dataclasses import asdict

    from .. import jobs
    from ..jobs.telling import told

    def tell(one: jobs.Filled) -> None:
        if not as_json:
            counts = ", ".join(f"{number:,} {state}" for state, number in one.counts.items() if number)
            say(f"{one.as_of}  {one.status:9}  {counts or one.message}".rstrip())

    with told(sys.stderr), _terminable():
        done = jobs.backfill(job, first, last, reprocess=reprocess, dry_run=dry_run, folder=folder, told=tell)
    if as_json:
        show_json([asdict(one) for one in done])
    codes = [one.exit_code for one in done if one.exit_code]
    if codes:
        say(f"{len(codes):,} of {len(done):,} failed.")
        raise typer.Exit(codes[0])


@app.command()
def score(
    job: JobArgument,
    as_of: AsOf = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw errors over time into this file, such as realised.png.")
    ] = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Score the published forecasts whose truth has come, beside the naive ones; name series that drift.

    Example: forecast job score examples/nightly_stocks.yaml --plot realised.png
    """
    from .. import jobs

    if plot is not None:
        check_picture(plot, "--plot")
    found = jobs.score(job, as_of, folder=folder)
    if plot is not None:
        found.save_plot(plot)
    if as_json:
        show_json(found.about())
        return
    say(found)
    if plot is not None:
        say(f"picture {plot}")


@app.command()
def promote(
    job: JobArgument,
    to: Annotated[int | None, typer.Option(min=1, help="This version, whatever it was worth.")] = None,
    min_cutoffs: Annotated[int, typer.Option(min=1, help="So many cutoffs decide, or nothing does.")] = 10,
    as_of: AsOf = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Make the challenger the champion, where its published forecasts were better.

    Example: forecast job promote nightly.yaml --min-cutoffs 20
    """
    from .. import jobs

    _show(jobs.promote(job, to=to, min_cutoffs=min_cutoffs, as_of=as_of, folder=folder), as_json)


@app.command()
def rollback(job: JobArgument, folder: Folder = None, as_json: Json = False) -> None:
    """Undo the last promotion.

    Example: forecast job rollback nightly.yaml
    """
    from .. import jobs

    _show(jobs.rollback(job, folder=folder), as_json)


def _show(done: "list[Promoted]", as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        show_json([asdict(one) for one in done])
    else:
        say("\n".join(map(str, done)))


@app.command()
def schedule(
    job: JobArgument,
    target: Annotated[str, typer.Option("--target", "-t", help="cron, systemd, kubernetes, airflow or github.")],
    at: Annotated[
        str | None,
        typer.Option(help="Five fields of cron in the job's time zone. [default: `schedule` of the job file]"),
    ] = None,
    image: Annotated[str | None, typer.Option(help="For kubernetes: an image that has `forecast` in it.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the files into this folder, instead of printing them.")
    ] = None,
) -> None:
    """Print the files that make a scheduler run the job.

    Example: forecast job schedule examples/nightly_stocks.yaml --target systemd --at "0 22 * * 1-5"
    """
    from ..jobs.schedules import schedule as of_job

    files = of_job(job, target, at, image)
    for name, text in files.items():
        if out is not None:
            say(_written(out / name, text))
        else:
            say((f"# --- {name}\n" if len(files) > 1 else "") + text.rstrip("\n"))


def _written(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"`--out` must be a folder that can be written. Received: {path.parent} ({error.strerror or error})."
        ) from None
    return path


@app.command()
def schema() -> None:
    """Print the JSON Schema of a job file, for editors.

    Example: forecast job schema > job.schema.json
    """
    from ..jobs.config import schema as of_job

    show_json(of_job())
