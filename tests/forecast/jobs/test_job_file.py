"""The job file: every setting is checked before anything runs, and secrets stay secret."""

import json
import re
from pathlib import Path

import pytest
import yaml

from forecast.cli import main
from forecast.jobs import Job, gates, validate
from forecast.jobs.config import Gates, JobSpec, MaxFailed, schema
from pipelines.errors import BundleError, ConfigError, SourceError, UnknownName

GIVEN = {"name": "nightly", "source": "rows.parquet", "bundle": "goog"}


@pytest.fixture
def read(tmp_path):
    def write_and_read(**settings):
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump({**GIVEN, **settings}), encoding="utf-8")
        return Job.read(path)

    return write_and_read


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sauce": "x"}, r"`JobSpec` has no setting 'sauce'\. Did you mean 'source'\?"),
        ({"gates": {"freshnes": 1}}, r"`Gates` has no setting 'freshnes'\. Did you mean 'freshness'\?"),
        ({"gates": {"jump": 1}}, r"`gates\.jump` must be a number > 1"),
        ({"max_failed": {"fraction": 2}}, r"`max_failed\.fraction` must be a number <= 1\.0\. Received: 2"),
        ({"steps": 0}, r"`steps` must be an integer >= 1\. Received: 0"),
        ({"timezone": "America/New_Yrok"}, r"`timezone` must be .*Did you mean 'America/New_York'\?"),
        ({"name": "../up"}, r"`name` must be letters"),
        ({"metrics": "x.txt"}, r"`metrics` must end in \.prom"),
        ({"ping": "ftp://x"}, r"`ping` must begin with http"),
        ({"sinks": [{"sqlite": "x.db", "table": "a; drop"}]}, r"`sinks\.table` must be letters"),
        ({"sinks": [{"sql": "x", "sqlite": "y"}]}, "A sink must name `sqlite`, a file, or `sql`, a database's URL"),
        ({"sinks": [{"sql": "postgresql://a:hunter2@db/x"}]}, r"must stand in the environment.*//a:\*\*\*@db/x"),
        ({"source": "sql:postgresql://a:hunter2@db/x?table=y"}, r"must stand in the environment.*//a:\*\*\*@db/x"),
        ({"sinks": [{"sqlite": "x.db", "tabel": "x"}]}, r"has no setting 'tabel'\. Did you mean 'table'\?"),
        (
            {"source": "${HOME}/rows.csv"},
            r"may stand in ping, in a sql: source and .* only.*Received: '\$\{HOME\}/rows\.csv' in `source`",
        ),
        ({"gates": {"jump": "${JUMP}"}}, r"Received: '\$\{JUMP\}' in `gates\.jump`"),
        ({"ping": "${NO_SUCH_VARIABLE_HERE}"}, r"`\$\{NO_SUCH_VARIABLE_HERE\}` must be a variable of the environment"),
    ],
)
def test_a_wrong_setting_is_named_with_what_must_hold(read, settings, message):
    with pytest.raises(ConfigError, match=message):
        read(**settings)


def test_a_setting_that_is_missing_is_named(tmp_path):
    (tmp_path / "job.yaml").write_text("name: nightly\nsource: x.csv\n")
    with pytest.raises(ConfigError, match=r"`bundle` must name what forecasts, .* `training`"):
        Job.read(tmp_path / "job.yaml")


def test_a_ping_url_comes_from_the_environment_and_is_never_shown(read, monkeypatch):
    monkeypatch.setenv("PING_URL", "https://example.org/secret")
    job = read(ping="${PING_URL}/{exit_code}")
    assert job.spec.ping.get_secret_value() == "https://example.org/secret/{exit_code}"
    assert "secret" not in f"{job} {job.spec!r} {job.spec.model_dump_json()}"
    with pytest.raises(ConfigError) as error:
        read(ping="gopher://${PING_URL}")
    assert "secret/" not in str(error.value)


def test_paths_are_relative_to_the_job_file(read, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    job = read(output="out", sinks=[{"sqlite": "x.db"}], bundle="./models/goog/1")
    assert job.source == f"{tmp_path}/rows.parquet"
    assert (job.output, job.metrics) == (tmp_path / "out", tmp_path / "out" / "metrics.prom")
    assert (job.sink_path(job.spec.sinks[0]), job.bundle) == (tmp_path / "x.db", f"{tmp_path}/models/goog/1")
    assert read(source="rows.csv?id_col=Ticker").source == f"{tmp_path}/rows.csv?id_col=Ticker"
    assert (read(source="sample:goog").source, read(bundle="goog/2").bundle) == ("sample:goog", "goog/2")
    assert read(output="/srv/out").output == Path("/srv/out")


def test_output_is_where_forecast_home_says(read, tmp_path, monkeypatch):
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path / "home"))
    assert read().output == tmp_path / "home" / "jobs" / "nightly"


def test_what_is_told_and_where_results_lie_is_no_part_of_what_a_run_is(read):
    digest = read().digest()
    assert read(output="elsewhere", ping="https://example.org").digest() == digest
    assert read(steps=2).digest() != digest
    assert read(gates={"jump": 20}).digest() != digest


def test_the_floor_of_failures_is_at_most_half_of_the_series():
    assert [MaxFailed().among(n) for n in (1, 2, 8, 20, 400, 1000)] == [0, 1, 4, 10, 10, 20]
    assert MaxFailed(fraction=1.0).among(3) == 3


def test_the_schema_describes_every_setting_and_fits_the_example():
    found = schema()
    groups = [found, *found["$defs"].values()]
    assert {"JobSpec", "Gates"} <= {"JobSpec", *found["$defs"]}
    for group in groups:
        assert group["additionalProperties"] is False
        assert all(one["description"][0].isupper() or one["description"] for one in group["properties"].values())
    assert set(found["properties"]) == set(JobSpec.model_fields)
    assert found["required"] == ["name", "source"]
    example = yaml.safe_load((Path(__file__).parents[3] / "examples" / "nightly_stocks.yaml").read_text())
    assert set(example) <= set(found["properties"])


# --- validate ---------------------------------------------------------------------------------------------------------


def test_validate_says_what_a_run_would_work_with_and_leaves_nothing(job, tmp_path):
    path = job(timezone="Europe/Berlin")
    before = sorted(tmp_path.iterdir())
    found = validate(path, "2024-03-03T23:30")
    assert (found["bundle"], found["steps"], found["levels"], found["cold"]) == ("hours/1", 3, [80.0, 95.0], 2)
    assert (found["as_of"], found["columns"], found["may_fail"]) == ("2024-03-03T23:00:00+01:00", ["y"], 10)
    assert "40 series, 2,880 rows" in found["data"]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"bundle": "no_such"}, UnknownName, "No bundle is called 'no_such'"),
        ({"source": "none.parquet"}, SourceError, "No file is called"),
        ({"source": "sample:goog"}, UnknownName, "No column is called 'y'"),
        ({"levels": [99.9999]}, Exception, "99.9999"),
        ({"output": "rows.parquet/out"}, ConfigError, "The output of a job must be written in full"),
    ],
)
def test_validate_names_what_would_fail(job, settings, error, message):
    with pytest.raises(error, match=message):
        validate(job(**settings), "2024-03-03")


def test_validate_checks_every_byte_of_the_bundle(job, models, tmp_path):
    import shutil

    shutil.copytree(models / "hours" / "1", tmp_path / "copy")
    with open(tmp_path / "copy" / "history.csv", "a") as file:
        file.write(" ")
    with pytest.raises(BundleError, match=r"history\.csv must be as it was saved"):
        validate(job(bundle="copy"))


def test_the_command_validates_and_prints_the_schema(job, capsys):
    main_exits(["job", "validate", str(job()), "--as-of", "2024-03-03"])
    assert "bundle    hours/1" in capsys.readouterr().out
    main_exits(["job", "schema"])
    assert json.loads(capsys.readouterr().out) == schema()


def main_exits(arguments, code=0):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert (end.value.code or 0) == code


def test_the_page_on_jobs_names_every_setting_gate_reason_and_exit_code():
    page = (Path(__file__).parents[3] / "docs" / "jobs.md").read_text(encoding="utf-8")
    for name in (*JobSpec.model_fields, *Gates.model_fields):
        assert f"| `{name}` |" in page
    for reason in re.findall(r"^    ([a-z_]+)  ", gates.__doc__, re.MULTILINE):
        assert f"`{reason}` |" in page or reason == "reason"
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == {0, 1, 2, 65, 69, 75, 78, 143}
