"""Champion and challenger: the one whose published forecasts were better forecasts from then on."""

import shutil

import numpy as np
import pandas as pd
import pytest

from forecast import bundle
from forecast.cli import main
from forecast.jobs import backfill, promote, rollback, run
from pipelines.errors import ConfigError, DataError

FROM, TO, KNOWN = "2024-03-03T06:00", "2024-03-03T17:00", "2024-03-03T23:00"


@pytest.fixture
def versions(tmp_path, models, rows):
    """A folder with two versions of `hours`: the second learned from another seed; the first is the champion."""
    from forecast import Forecaster

    folder = tmp_path / "models"
    shutil.copytree(models / "hours" / "1", folder / "hours" / "1")
    config = Forecaster.load(models / "hours" / "1").config.replace(seed=5, training={"epochs": 2})
    Forecaster(config=config).fit(rows(), quiet=True).save("hours", folder)
    bundle.point("hours", bundle.CHAMPION, 1, "first", folder)
    return folder


def errors(outcomes, frame):
    """Returns the mean error of champion and challenger, in units of each series' naive error, by hand."""
    parts = []
    for name in ("forecasts", "challenger"):
        table = pd.concat(pd.read_parquet(one.folder / f"{name}.parquet") for one in outcomes)
        table = table.merge(frame, on=["unique_id", "ds"])
        table["error"], table["off"] = (table["y"] - table["y_pred"]).abs(), (table["y"] - table["naive"]).abs()
        by = table.groupby(["unique_id", "cutoff"])[["error", "off"]].mean().groupby("unique_id").mean()
        parts.append(float((by["error"] / by["off"]).mean()))
    return parts


def test_the_better_of_two_forecasts_from_then_on(versions, job, rows):
    path = job(bundle="hours", challenger="2")
    backfill(path, FROM, TO, folder=versions)
    outcomes = [run(path, f"2024-03-03T{hour:02d}:00", folder=versions) for hour in range(6, 18)]
    ours, theirs = errors(outcomes, rows())
    (done,) = promote(path, as_of=KNOWN, folder=versions)
    assert done.version == (2 if theirs < ours else 1)
    assert f"{theirs:.3f}"[:4] in done.why
    assert f"{ours:.3f}"[:4] in done.why
    assert "12 cutoffs" in done.why
    after = run(path, KNOWN, folder=versions).about["bundle"]["name"]
    assert after == f"hours/{done.version}"


def test_a_challenger_forecasts_beside_the_champion_and_changes_none_of_its_numbers(versions, job):
    alone = run(job(bundle="hours"), TO, folder=versions)
    both = run(job(bundle="hours", challenger="2", output="both"), TO, folder=versions)
    one, other = (pd.read_parquet(run.folder / "forecasts.parquet").drop(columns="run_id") for run in (alone, both))
    pd.testing.assert_frame_equal(one, other)
    rival = pd.read_parquet(both.folder / "challenger.parquet")
    assert set(rival["model_version"]) == {2}
    assert len(rival) == len(one)
    assert not np.allclose(rival["y_pred"], one["y_pred"])
    assert both.about["challenger"] == {"name": "hours/2", "error": None}
    assert {made["file"] for made in both.about["outputs"]} == {
        "forecasts.parquet",
        "quarantine.parquet",
        "challenger.parquet",
    }


def test_a_challenger_that_cannot_forecast_these_rows_fails_no_run(versions, job, rows, monkeypatch):
    from forecast import Forecaster

    frame = rows().assign(load=1.0)
    frame["load"] += np.arange(len(frame)) % 7
    config = Forecaster.load(versions / "hours" / "1").config.replace(target="y", past=["load"])
    Forecaster(config=config).fit(frame, quiet=True).save("hours", versions)
    outcome = run(job(bundle="hours", challenger="3"), TO, folder=versions)
    assert outcome.status == "published"
    assert not (outcome.folder / "challenger.parquet").exists()
    assert "load" in outcome.about["challenger"]["error"]


def test_an_alias_that_points_nowhere_yet_is_no_challenger(versions, job):
    outcome = run(job(bundle="hours", challenger="challenger"), TO, folder=versions)
    assert outcome.about["challenger"] is None
    bundle.point("hours", "challenger", 1, "the champion itself", versions)
    assert run(job(bundle="hours", challenger="challenger"), TO, folder=versions).status == "unchanged"
    with pytest.raises(DataError, match="must be another version than the champion"):
        promote(job(bundle="hours", challenger="challenger"), as_of=KNOWN, folder=versions)


def test_too_few_cutoffs_decide_nothing(versions, job):
    path = job(bundle="hours", challenger="2")
    run(path, TO, folder=versions)
    with pytest.raises(DataError, match=r"at least 10 cutoffs decide\. Received: 1 that both forecast"):
        promote(path, as_of=KNOWN, folder=versions)
    assert bundle.aliases("hours", versions)["champion"] == 1


def test_a_version_may_be_named_and_rolled_back(versions, job, capsys):
    path = job(bundle="hours")
    (done,) = promote(path, to=2, folder=versions)
    assert (done.before, done.version) == (1, 2)
    assert run(path, TO, folder=versions).about["bundle"]["name"] == "hours/2"
    with pytest.raises(SystemExit):
        main(["job", "rollback", str(path), "--folder", str(versions)])
    assert capsys.readouterr().out == "hours  champion 2 -> 1: rolled back\n"
    assert run(path, TO, folder=versions).about["bundle"]["name"] == "hours/1"
    with pytest.raises(ConfigError, match="must have pointed to another version before"):
        rollback(path, folder=versions)


def test_a_first_promotion_without_an_alias_can_be_rolled_back(versions, job):
    (versions / "hours" / "aliases.json").unlink()
    path = job(bundle="hours")
    assert run(path, TO, folder=versions).about["bundle"]["name"] == "hours/2"  # the newest
    promote(path, to=1, folder=versions)
    (done,) = rollback(path, folder=versions)
    assert (done.before, done.version) == (1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bundle": "hours/1"}, "one version for good, 'hours/1'"),
        ({"bundle": "hours"}, "needs a challenger"),
    ],
)
def test_what_cannot_be_promoted_says_why(versions, job, settings, message):
    with pytest.raises(ConfigError, match=message):
        promote(job(**settings), folder=versions)
    with pytest.raises(ConfigError, match="`challenger` must be another version of the same bundle"):
        promote(job(bundle="hours", challenger="other/2"), folder=versions)
