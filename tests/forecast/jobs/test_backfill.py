"""A job as of many earlier times."""

import json

import pytest

from forecast.cli import main
from forecast.jobs import Job, backfill, current, run, status
from forecast.jobs.backfill import times
from pipelines.errors import ConfigError, UnknownName

FIRST, LAST = "2024-03-03T18:00", "2024-03-03T20:00"


def of(job, codes, first, last, **settings):
    settings = {"timezone": "America/New_York", **settings}
    return [str(moment) for moment in times(Job.read(job(**settings)), codes, first, last)]


def test_every_session_of_an_exchange_is_run_once(job):
    found = of(job, ["XNYS"], "2024-07-03", "2024-07-09")
    assert found == ["2024-07-03", "2024-07-05", "2024-07-08", "2024-07-09"]  # a holiday, a weekend


def test_a_schedule_says_when(job):
    found = of(job, ["D"], "2024-01-01", "2024-01-09", schedule="0 22 * * 1,5")
    assert found == ["2024-01-01", "2024-01-05", "2024-01-08"]
    hours = of(job, ["h"], "2024-01-01T00:00", "2024-01-02T23:00", schedule="30 8,22 * * *", timezone="UTC")
    assert [hour[8:16] for hour in hours] == ["01T08:00", "01T22:00", "02T08:00", "02T22:00"]


def test_without_a_schedule_each_row_is_run(job):
    hours = of(job, ["h"], "2024-03-10T00:00", "2024-03-10T04:00")
    assert [hour[11:] for hour in hours] == ["00:00:00-05:00", "01:00:00-05:00", "03:00:00-04:00", "04:00:00-04:00"]
    assert of(job, ["MS"], "2024-01-15", "2024-03-02") == ["2024-01-01", "2024-02-01", "2024-03-01"]


def test_it_publishes_what_single_runs_publish_and_moves_current_to_the_last(job, tmp_path):
    path = job()
    done = backfill(path, FIRST, LAST)
    assert [one.status for one in done] == ["published"] * 3
    assert [run(path, one.as_of).status for one in done] == ["unchanged"] * 3
    assert current(tmp_path / "out").name.startswith("20240303T200000Z")
    backfill(path, "2024-03-03T10:00", "2024-03-03T11:00")
    assert current(tmp_path / "out").name.startswith("20240303T200000Z")


def test_what_is_run_again_is_chosen(job, rows):
    good, bad = rows(), rows()
    bad.loc[bad["ds"] == "2024-03-03T19:00", "y"] = float("nan")  # of all series: one hour cannot be run
    gates = {"non_finite": 0.0}
    path = job(bad, gates=gates)
    done = backfill(path, FIRST, "2024-03-03T19:00")
    assert [(one.status, one.exit_code) for one in done] == [("published", 0), ("failed", 65)]
    path = job(good, gates=gates)

    def states(how, dry_run=False):
        return [one.status for one in backfill(path, FIRST, LAST, reprocess=how, dry_run=dry_run)]

    assert states("none", dry_run=True) == ["skipped", "skipped", "planned"]
    assert states("failed", dry_run=True) == ["skipped", "planned", "planned"]
    assert states("completed", dry_run=True) == ["planned", "planned", "planned"]
    assert len(status(path)) == 2  # a dry run runs nothing
    assert states("failed") == ["skipped", "published", "published"]
    assert states("completed") == ["unchanged", "unchanged", "unchanged"]


def test_the_command_tells_each_and_ends_with_the_code_of_the_first_failure(job, rows, capsys):
    frame = rows()
    frame.loc[frame["ds"] == "2024-03-03T19:00", "y"] = float("nan")
    path = job(frame, gates={"non_finite": 0.0}, max_failed={"fraction": 0, "floor": 0})
    command = ["job", "backfill", str(path), "--from", "2024-03-03T18:00", "--to", "2024-03-03T19:00"]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 65
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2024-03-03T18:00:00+00:00  published  40 in, 40 ok")
    assert lines[1].startswith("2024-03-03T19:00:00+00:00  failed     At most 0 of 40 series may fail")
    assert lines[2] == "1 of 2 failed."
    with pytest.raises(SystemExit):
        main([*command, "--json", "--dry-run"])
    assert [one["status"] for one in json.loads(capsys.readouterr().out)] == ["skipped", "skipped"]


def test_what_no_run_can_do_is_said_at_once(job):
    with pytest.raises(
        ConfigError, match=r"`reprocess` must be one of none, failed, completed\. Did you mean 'failed'"
    ):
        backfill(job(), FIRST, LAST, reprocess="faild")
    with pytest.raises(ConfigError, match="`--to` must not lie before `--from`"):
        backfill(job(), LAST, FIRST)
    with pytest.raises(UnknownName, match="No bundle is called 'no_such'"):
        backfill(job(bundle="no_such"), FIRST, LAST)
