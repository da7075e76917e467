"""The files for schedulers: each one runs the job that was meant, when it was meant, whatever its path looks like."""

import datetime
import json
import os
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

from forecast.cli import main
from forecast.jobs import Job
from forecast.jobs.config import JobSpec
from forecast.jobs.cron import Cron
from forecast.jobs.schedules import registry, schedule
from forecast.jobs.schedules.systemd import on_calendar
from pipelines.errors import ConfigError, UnknownName

HOSTILE = """it's "50%" \\% $HOME $(touch x) `id` {{ 1 }} ${{ github.token }} #é; ü"""
SLUG = "forecast-nightly-1"
TARGETS = ("airflow", "cron", "github", "kubernetes", "systemd")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")

# Says what it was called with and where, in its working folder.
PROGRAM = f"""#!{sys.executable}
import json, os, sys
about = {{"arguments": sys.argv[1:], "home": os.environ["FORECAST_HOME"], "folder": os.getcwd()}}
open("seen.json", "w").write(json.dumps(about))
print("published")
print("a stage", file=sys.stderr)
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture(params=["plain", HOSTILE], ids=["plain", "hostile"])
def place(request, tmp_path, monkeypatch):
    """A folder that holds a job file, FORECAST_HOME and a program of the name `forecast`."""
    folder = tmp_path / request.param
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "forecast").write_text(PROGRAM, encoding="utf-8")
    (folder / "bin" / "forecast").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setenv("FORECAST_HOME", str(folder))
    return folder


@pytest.fixture
def files(place):
    """Returns what is printed for a job of a place, and its file."""

    def write(target, at=None, **settings):
        about = {"name": "Nightly_1", "source": "rows.csv", "bundle": "goog", "schedule": "0 22 * * 1-5"}
        path = place / "night job.yaml"
        path.write_text(yaml.safe_dump({**about, "timezone": "America/New_York", **settings}), encoding="utf-8")
        return schedule(path, target, at, "registry/forecast:1" if target == "kubernetes" else None), path

    return write


def test_each_file_of_the_folder_is_a_target():
    assert tuple(registry.names()) == TARGETS


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 22 * *", r"`schedule` must be five fields of cron.*Received: '0 22 \* \*'"),
        ("@daily", "five fields"),
        ("0 22 * * 1-5\n* * * * * id", "five fields"),
        ("60 22 * * *", "from 0 to 59 .* for its minutes. Received: '60'"),
        ("0 24 * * *", "for its hours"),
        ("0 0 0 * *", "for its days of the month"),
        ("0 0 * 13 *", "for its months"),
        ("0 0 * * 7", "from 0 to 6 .* for its weekdays. Received: '7'"),
        ("0 0 * * MON", "for its weekdays"),
        ("5/10 0 * * *", "for its minutes"),
        ("*/0 0 * * *", "for its minutes"),
        ("9-5 0 * * *", "for its minutes"),
        ("1,,2 0 * * *", "for its minutes"),
        ("0 0 */2 * 1", r"must not have \*/n for one kind of day"),
        ("0 0 30,31 2 *", "a day that its months have"),
    ],
)
def test_a_wrong_time_is_refused_and_named(text, message):
    with pytest.raises(ConfigError, match=message):
        JobSpec(name="nightly", source="x", bundle="y", schedule=text)
    with pytest.raises(ConfigError, match="`--at` must"):
        Cron.parse(text, "--at")


def due(text, moment):
    """Returns whether cron would start at a time: its manual, for fields without steps on both kinds of day."""

    def holds(field, value, low):
        for part in field.split(","):
            span, _, step = part.partition("/")
            first, _, last = ("0", "", "99") if span == "*" else span.partition("-")
            first = low if span == "*" else int(first)
            if first <= value <= int(last or first) and (value - first) % int(step or 1) == 0:
                return True
        return False

    minute, hour, day, month, weekday = text.split()
    on_day, on_weekday = holds(day, moment.day, 1), holds(weekday, moment.isoweekday() % 7, 0)
    either = on_day or on_weekday if day != "*" and weekday != "*" else on_day and on_weekday
    return holds(minute, moment.minute, 0) and holds(hour, moment.hour, 0) and holds(month, moment.month, 1) and either


@needs_systemd
@pytest.mark.parametrize("text", ["0 22 * * 1-5", "*/25 8-18/5 * * *", "30 1 1,15 * 0", "5 0 31 1-6 *", "0 6 * 2 6,0"])
def test_systemd_starts_when_cron_would(text):
    minute = datetime.datetime(2024, 1, 1)
    wanted = []
    while len(wanted) < 6:
        minute += datetime.timedelta(minutes=1)
        wanted += [minute] if due(text, minute) else []
    found = set()
    for time in on_calendar(Cron.parse(text)):
        command = [
            "systemd-analyze",
            "calendar",
            "--iterations=6",
            "--base-time=2024-01-01 00:00:00 UTC",
            f"{time} UTC",
        ]
        out = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}
        ).stdout
        stamps = [line.partition(": ")[2].strip() for line in out.splitlines() if "elapse:" in line or "Iter" in line]
        found |= {datetime.datetime.strptime(stamp[4:], "%Y-%m-%d %H:%M:%S UTC") for stamp in stamps}
    assert sorted(found)[:6] == wanted


def test_the_time_is_no_part_of_what_a_run_is():
    jobs = [Job(JobSpec(name="nightly", source="x", bundle="y", schedule=text), Path()) for text in (None, "0 1 * * *")]
    assert jobs[0].digest() == jobs[1].digest()


# --- each scheduler ---------------------------------------------------------------------------------------------------


def by_cron(command):
    """Returns what cron gives to sh: its `do_command.c` ends at a bare %, and takes the backslash of others."""
    found, escaped = "", False
    for char in command:
        if escaped:
            found = found[:-1] + char if char == "%" else found + char
            escaped = False
        elif char == "%":
            break
        else:
            found, escaped = found + char, char == "\\"
    return found


@pytest.mark.parametrize("code", [0, 75])
def test_the_line_of_cron_runs_the_job_and_speaks_only_when_it_fails(files, place, code):
    printed, path = files("cron", "5 6 * * *", ping=None)
    text = printed[f"{SLUG}.crontab"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == "CRON_TZ=America/New_York"
    assert lines[1].startswith("5 6 * * * ")
    assert len(lines) == 2
    command = by_cron(lines[1].split(" ", 5)[5])
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd="/", env={"CODE": str(code)}, capture_output=True, text=True, check=True
    )
    assert ended.stdout == ("" if code == 0 else "Job Nightly_1 ended with exit code 75\n")
    assert ended.stderr == ""
    seen = json.loads((place / "seen.json").read_text())
    assert seen == {"arguments": ["job", "run", str(path)], "home": str(place), "folder": str(place)}
    assert (place / f"{SLUG}.log").read_text() == "a stage\n"


def unit(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_the_units_of_systemd_name_program_job_and_folders(files, place):
    printed, path = files("systemd")
    service, timer = unit(printed[f"{SLUG}.service"]), unit(printed[f"{SLUG}.timer"])
    words = [word.replace("%%", "%") for word in shlex.split(service["ExecStart"])]
    program, last = str(place / "bin" / "forecast"), [word.replace("$$", "$") for word in words[1:]]
    if '"' in program:  # systemd refuses it as a program, however it is quoted
        assert words[0] == "/usr/bin/nice"
        assert last == ["-n", "0", program, "job", "run", str(path)]
    else:
        assert [words[0], *last] == [program, "job", "run", str(path)]
    assert [w.replace("%%", "%") for w in shlex.split(service["Environment"])] == [f"FORECAST_HOME={place}"]
    assert service["WorkingDirectory"].replace("%%", "%") == f"{place}/"
    assert (service["RestartForceExitStatus"], service["RestartSec"]) == ("69 75 143", "10min")
    assert (service["StartLimitIntervalSec"], service["StartLimitBurst"]) == ("1200min", "5")
    assert timer["OnCalendar"] == "Mon,Tue,Wed,Thu,Fri *-*-* 22:00:00 America/New_York"
    assert timer["Persistent"] == "true"


@needs_systemd
def test_systemd_accepts_its_units(files, tmp_path, monkeypatch):
    monkeypatch.setenv("PING_KEY", "x")
    folder = tmp_path / "units"
    folder.mkdir()
    printed, _ = files("systemd", "*/5 1,2 1 * 3", ping="https://example.org/${PING_KEY}")
    for name, text in printed.items():
        (folder / name).write_text(text, encoding="utf-8")
    command = [shutil.which("systemd-analyze"), "verify", *(str(folder / name) for name in printed)]
    ended = subprocess.run(command, capture_output=True, text=True)
    ours = [line for line in ended.stderr.splitlines() if "forecast" in line]
    assert (ended.returncode, ours) == (0, [])


def test_the_cronjob_of_kubernetes_forbids_overlap_and_repeats_what_may_pass(files, monkeypatch):
    monkeypatch.setenv("PING_KEY", "x")
    printed, _ = files("kubernetes", ping="https://example.org/${PING_KEY}/${PING_KEY}")
    claim, cronjob = yaml.safe_load_all(printed[f"{SLUG}.yaml"])
    assert (claim["kind"], cronjob["kind"], cronjob["apiVersion"]) == ("PersistentVolumeClaim", "CronJob", "batch/v1")
    spec = cronjob["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 22 * * 1-5", "America/New_York")
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Forbid", 3600)
    job = spec["jobTemplate"]["spec"]
    (ends,) = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert ends["operator"] == "In"
    assert ends["values"] == sorted({1, 2, *range(64, 79)} - {69, 75})
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # without it a policy of exit codes is refused
    (container,) = pod["containers"]
    assert container["image"] == "registry/forecast:1"
    assert container["command"] == ["forecast", "job", "run", "/forecast/night job.yaml"]
    home, ping = container["env"]
    assert home == {"name": "FORECAST_HOME", "value": "/forecast"}
    assert ping["valueFrom"]["secretKeyRef"] == {"name": SLUG, "key": "PING_KEY"}
    (volume,) = pod["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"] == SLUG
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/forecast"}]


def test_kubernetes_reads_no_variable_into_the_name_of_a_job_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
    path = tmp_path / '$(HOME) $$ "x".yaml'
    path.write_text("{name: n, source: x, bundle: y, schedule: 1 2 * * *}")
    _, cronjob = yaml.safe_load_all(schedule(path, "kubernetes", image="i")["forecast-n.yaml"])
    (container,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][3] == '/forecast/$$(HOME) $$$$ "x".yaml'


class Again(Exception):
    pass


class Repair(Exception):
    pass


@pytest.mark.parametrize(
    ("code", "error"), [(0, None), (69, Again), (75, Again), (143, Again), (65, Repair), (1, Repair)]
)
def test_the_dag_of_airflow_runs_as_of_its_interval_and_repeats_what_may_pass(files, place, monkeypatch, code, error):
    made = {}

    def dag(**settings):
        made["dag"] = settings
        return lambda function: function

    def task(**settings):
        made["task"] = settings
        return lambda function: lambda: made.update(run=function)

    def module(name, **names):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        vars(sys.modules[name]).update(names)

    module("airflow")
    module("airflow.sdk", dag=dag, task=task)
    module("airflow.exceptions", AirflowException=Again, AirflowFailException=Repair)
    module("pendulum", datetime=lambda *parts, tz: (*parts, tz))
    monkeypatch.setenv("CODE", str(code))
    printed, path = files("airflow")
    (text,) = printed.values()
    exec(compile(text, "dag.py", "exec"), {})  # noqa: S102  what this project printed
    assert made["dag"]["schedule"] == "0 22 * * 1-5"
    assert made["dag"]["start_date"][-1] == "America/New_York"
    assert (made["dag"]["catchup"], made["dag"]["max_active_runs"], made["task"]["retries"]) == (False, 1, 4)
    end = datetime.datetime(2024, 1, 5, 22, tzinfo=datetime.UTC)
    if error is None:
        made["run"](data_interval_end=end)
    else:
        with pytest.raises(error, match=f"Exit code {code}"):
            made["run"](data_interval_end=end)
    seen = json.loads((place / "seen.json").read_text())
    assert seen["arguments"] == ["job", "run", str(path), "--as-of", "2024-01-05T22:00:00+00:00"]
    assert seen["home"] == seen["folder"] == str(place)


def test_the_workflow_of_github_runs_the_job_and_repeats_what_may_pass(files, place, tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PING_KEY", "x")
    printed, path = files("github", ping="https://example.org/${PING_KEY}")
    flow = yaml.safe_load(printed[f"{SLUG}.yml"])
    time = {"cron": "0 22 * * 1-5", "timezone": "America/New_York"}
    when = flow[True]  # YAML 1.1 reads `on` as true
    assert when == {"schedule": [time], "workflow_dispatch": None}
    assert flow["concurrency"] == {"group": SLUG, "cancel-in-progress": False}
    job = flow["jobs"]["forecast"]
    assert job["env"]["PING_KEY"] == "${{ secrets.PING_KEY }}"
    marks = job["env"]["JOB"].replace("${{ '${{' }}", "<mark>")
    assert "${{" not in marks
    relative = marks.replace("<mark>", "${{")
    assert relative == str(path.relative_to(tmp_path))
    assert job["steps"][-1]["with"]["path"] == "jobs/Nightly_1"
    (script,) = [step["run"] for step in job["steps"] if "JOB" in step.get("run", "")]
    for code, times in ((0, 1), (65, 1), (69, 4)):
        stand_in = f'forecast() {{ printf "%s\\n" "$3" >&2; return {code}; }}; sleep() {{ :; }}\n'
        ended = subprocess.run(
            ["/bin/bash", "-e", "-c", stand_in + script], env={"JOB": relative}, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr) == (code, f"{relative}\n" * times)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("{name: nightly, source: x, bundle: y}")
    return file


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("cron",), ConfigError, "`schedule` must say when the job runs"),
        (("cron", "0 0 * *"), ConfigError, "`--at` must be five fields"),
        (("kubernetes", "0 0 * * *"), ConfigError, "`--image` must be given for kubernetes"),
        (("cron", "0 0 * * *", "image:1"), ConfigError, "and only there"),
        (("crom", "0 0 * * *"), UnknownName, "No target is called 'crom'. Did you mean 'cron'"),
    ],
)
def test_what_is_missing_or_of_no_use_is_named(path, given, error, message):
    with pytest.raises(error, match=message):
        schedule(path, *given)


def test_a_path_that_no_file_can_quote_is_refused(tmp_path):
    path = tmp_path / "a\n* * * * * id.yaml"
    path.write_text("{name: nightly, source: x, bundle: y}")
    with pytest.raises(ConfigError, match="must have no line breaks"):
        schedule(path, "cron", "0 0 * * *")


def test_a_variable_that_no_file_can_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("A B", "x")
    path = tmp_path / "job.yaml"
    path.write_text("{name: nightly, source: x, bundle: y, ping: 'https://example.org/${A B}'}")
    with pytest.raises(ConfigError, match=r"A variable for a scheduler must be .* Received: 'A B'"):
        schedule(path, "github", "0 0 * * *")


def test_the_command_prints_the_files_or_writes_them(path, tmp_path, capsys):
    def prints(*more):
        with pytest.raises(SystemExit) as end:
            main(["job", "schedule", str(path), "--target", "systemd", "--at", "0 5 * * *", *more])
        return end.value.code or 0, capsys.readouterr()

    code, shown = prints()
    expected = schedule(path, "systemd", "0 5 * * *")
    assert code == 0
    assert all(f"# --- {name}\n{text}" in shown.out for name, text in expected.items())
    code, shown = prints("--out", str(tmp_path / "units"))
    assert shown.out.split() == [str(tmp_path / "units" / name) for name in expected]
    assert {file.name: file.read_text() for file in (tmp_path / "units").iterdir()} == expected
    code, shown = prints("--out", str(path / "no"))
    assert (code, "`--out` must be a folder" in shown.err) == (78, True)
