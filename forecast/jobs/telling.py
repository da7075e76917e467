"""Who is told of a run: a log line for each stage, a textfile for Prometheus, and a URL that is pinged.

    standard error is no terminal   {"time": "...", "job": "nightly", "stage": "read", "seconds": 0.8, "series": 10000}
    a terminal                      read        0.8 s  series 10,000, rows 5,000,000
    metrics.prom                    forecast_job_success{job="nightly"} 1
    ping                            POST, with a JSON object; {status} and {exit_code} of the URL are filled in

None of these makes a run fail.
"""

import contextlib
import http.client
import json
import logging
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ..bundle import write_text
from .config import Job

PING_TIMEOUT = 5.0  # seconds

log = logging.getLogger(__name__)


class Stages:
    """Times the stages of a run and logs the end of each.

    Attributes:
        about: What every line says besides: job, as_of, run_id.
        seconds: How long each stage took.
    """

    def __init__(self, **about: Any) -> None:
        self.about = about
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[dict[str, Any]]:
        """Times a stage; what is put into the mapping it gives is logged with it."""
        facts: dict[str, Any] = {}
        start = time.perf_counter()
        yield facts
        self.seconds[stage] = round(time.perf_counter() - start, 3)
        fields = {**self.about, "stage": stage, "seconds": self.seconds[stage], **facts}
        log.info("%s", stage, extra={"fields": fields})

    @contextlib.contextmanager
    def live(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Shows a bar on a terminal while parts or shards are done; gives what is to be called after each."""
        if not sys.stderr.isatty():
            yield lambda: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None) or {"message": record.getMessage()}
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"time": stamp, "level": record.levelname.lower()}
        return json.dumps({**head, **fields}, ensure_ascii=False, default=str)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        if fields is None:
            return record.getMessage()
        facts = {k: v for k, v in fields.items() if k not in ("job", "as_of", "run_id", "stage", "seconds")}
        shown = ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in facts.items())
        return f"{fields['stage']:8} {fields['seconds']:6.1f} s  {shown}".rstrip()


@contextlib.contextmanager
def told(stream: TextIO) -> Iterator[None]:
    """Sends what is logged to a stream meanwhile: as JSON lines, or in words where it is a terminal."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Plain() if stream.isatty() else _Lines())
    if stream.isatty():  # how the run ended is said in a sentence
        handler.addFilter(lambda record: getattr(record, "fields", {}).get("stage") != "end")
    project = logging.getLogger("forecast")
    level, passed = project.level, project.propagate
    project.addHandler(handler)
    project.setLevel(logging.INFO)
    project.propagate = False
    try:
        yield
    finally:
        project.removeHandler(handler)
        project.setLevel(level)
        project.propagate = passed


def tell(job: Job, about: dict[str, Any]) -> None:
    """Writes the textfile and pings the URL; what goes wrong is logged."""
    try:
        write_metrics(job.metrics, about)
    except OSError as error:
        log.warning("The metrics were not written to %s: %s", job.metrics, error.strerror or error)
    if job.spec.ping is not None:
        _ping(job.spec.ping.get_secret_value(), about)


def write_metrics(path: Path, about: dict[str, Any]) -> None:
    """Writes a run for the textfile collector of Prometheus's node exporter.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats
    """
    good = about["exit_code"] == 0
    finished = datetime.fromisoformat(about["finished"]).timestamp()
    last = finished if good else _last_success(path)
    rows: list[tuple[str, str, str, float | None]] = [
        ("success", "Whether the last run published, or found its output there already.", "", float(good)),
        ("exit_code", "What the last run ended with.", "", about["exit_code"]),
        ("last_run_timestamp_seconds", "When the last run ended.", "", finished),
        ("last_success_timestamp_seconds", "When a run last succeeded.", "", last),
        ("duration_seconds", "How long the last run took.", "", about["seconds"]),
        *(
            ("series", "Series of the last run.", f',state="{state}"', number)
            for state, number in about["counts"].items()
        ),
        *(
            ("alerts", "Alerts that the forecasts of the last run raised.", f',alert="{_label(name)}"', number)
            for name, number in (about["alerts"] or {"by_name": {}})["by_name"].items()
        ),
    ]
    lines: list[str] = []
    for name, about_it, labels, value in rows:
        if value is None:
            continue
        head = f"# HELP forecast_job_{name} {about_it}"
        if head not in lines:
            lines += [head, f"# TYPE forecast_job_{name} gauge"]
        lines.append(f'forecast_job_{name}{{job="{about["job"]}"{labels}}} {value:.15g}')
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(lines) + "\n")


def _label(text: str) -> str:
    """Returns a text as the value of a label."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _last_success(path: Path) -> float | None:
    try:
        found = re.search(r"^forecast_job_last_success_timestamp_seconds\{.*\} (\S+)$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return float(found[1]) if found else None


def _ping(url: str, about: dict[str, Any]) -> None:
    names = ("job", "as_of", "status", "exit_code", "run_id", "counts", "alerts", "seconds", "message")
    body = json.dumps({name: about[name] for name in names}).encode()
    url = url.replace("{status}", about["status"]).replace("{exit_code}", str(about["exit_code"]))
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  (http(s) only)
        with urllib.request.urlopen(request, timeout=PING_TIMEOUT):  # noqa: S310
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:  # the URL is a secret: no more is said
        log.warning("The ping failed: %s %s", type(error).__name__, getattr(error, "code", ""))
