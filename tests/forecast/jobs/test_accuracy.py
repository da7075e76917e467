"""What published forecasts were worth, counted again by hand; alarms where errors drift."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from forecast.cli import main
from forecast.evaluation.baselines import seasonal_naive
from forecast.jobs import drift, run, score
from forecast.jobs.naive import naive_forecasts
from forecast.jobs.truth import scored
from pipelines.errors import DataError
from pipelines.panel import Panel

FIRST = pd.Timestamp("2024-03-03T12:00")


def as_ofs(count):
    return [f"{FIRST + pd.Timedelta(hours=n):%Y-%m-%dT%H:%M}" for n in range(count)]


def runs_of(path, count):
    return [run(path, as_of) for as_of in as_ofs(count)]


def by_hand(outcomes, frame):
    """Returns all forecasts of some runs beside the truth, one row each."""
    parts = [pd.read_parquet(outcome.folder / "forecasts.parquet") for outcome in outcomes]
    return pd.concat(parts).merge(frame, on=["unique_id", "ds"], how="left")


def test_errors_are_those_that_pandas_finds(job, rows):
    frame = rows()
    frame["y"] = frame["y"].astype(np.float32).astype(float)  # as a panel keeps them
    path = job(frame)
    outcomes = runs_of(path, 4)
    found = score(path, "2024-03-03T23:00")
    table = by_hand(outcomes, frame)
    table["error"], table["off"] = (table["y"] - table["y_pred"]).abs(), (table["y"] - table["naive"]).abs()
    expected = table.groupby(["cutoff", "unique_id"])[["error", "off"]].mean()
    got = found.rows.set_index([pd.to_datetime(found.rows["cutoff"]), "unique_id"])[["error", "naive"]]
    np.testing.assert_allclose(got.loc[expected.index].to_numpy(), expected.to_numpy(), rtol=1e-12)
    scale = expected["off"].groupby("unique_id").mean()
    in_units = expected.div(scale.reindex(expected.index.get_level_values("unique_id")).to_numpy(), axis=0)
    ratio = in_units.groupby("cutoff").mean()
    np.testing.assert_allclose(found.cutoffs["ratio"], (ratio["error"] / ratio["off"]).to_numpy(), rtol=1e-12)
    inside = (table["y"] >= table["y_pred_lo_80"]) & (table["y"] <= table["y_pred_hi_80"])
    np.testing.assert_allclose(found.cutoffs["held"].mean(), inside.mean(), rtol=1e-12)
    assert found.cutoffs["waiting"].sum() == 0
    assert " on 4 cutoffs of 40 series: MAE " in str(found)


def test_what_has_no_truth_yet_waits_and_is_scored_later(job):
    path = job()
    runs_of(path, 2)
    assert "wait for the truth" in str(score(path, as_ofs(2)[0]))
    early = score(path, as_ofs(3)[2])
    assert early.cutoffs["waiting"].tolist() == [40, 80]
    late = score(path, "2024-03-03T20:00")
    assert late.cutoffs["waiting"].tolist() == [0, 0]
    again = score(path, as_ofs(3)[2])  # what came later is not known as of then
    pd.testing.assert_frame_equal(again.cutoffs, early.cutoffs)


def test_what_was_scored_in_full_stays_without_its_rows_and_its_run(job, tmp_path):
    import shutil

    path = job()
    outcomes = runs_of(path, 3)
    before = score(path, "2024-03-03T20:00")
    (tmp_path / "rows.parquet").unlink()
    for outcome in outcomes[:2]:
        shutil.rmtree(outcome.folder)
    pd.testing.assert_frame_equal(score(path, "2024-03-03T20:00").cutoffs, before.cutoffs)


def test_of_several_runs_of_one_as_of_the_last_counts(job, rows):
    path = job()
    run(path, as_ofs(1)[0])
    changed = rows()
    changed.loc[changed["ds"] == FIRST, "y"] += 1.0
    last = run(job(changed), as_ofs(1)[0])
    found = score(path, "2024-03-03T20:00")
    assert found.cutoffs["run_id"].tolist() == [last.about["run_id"]]


def test_before_the_first_run_there_is_nothing_to_score(job):
    found = score(job(), "2024-03-03T20:00")
    assert "no run has been published yet" in str(found)
    with pytest.raises(DataError, match="Score it later"):
        found.plot()


def test_series_that_fell_back_are_counted_and_not_scored(job, rows):
    frame = rows()
    frame.loc[(frame["unique_id"] == "s03") & (frame["ds"] >= "2024-03-02"), "y"] = np.nan
    path = job(frame)
    run(path, as_ofs(1)[0])
    found = score(path, "2024-03-03T20:00")
    assert found.cutoffs[["series", "fallback"]].values.tolist() == [[39, 1]]
    assert "s03" not in set(found.series["unique_id"])


def test_a_truth_that_was_restated_is_brought_back_by_the_value_at_the_cutoff():
    table = pd.DataFrame(
        {
            **{"unique_id": "a", "target": "y", "model": "m", "model_version": 1, "source": "model", "cutoff": 0},
            **{"ds": [1, 2], "step": [1, 2], "y_pred": [410.0, 420.0], "naive": 400.0, "seasonal_naive": 400.0},
        }
    )
    halved = pd.DataFrame({"unique_id": "a", "target": "y", "ds": [0, 1, 2], "y": [200.0, 204.0, 206.0]})
    assert scored(table, halved, restated=True)["error"].tolist() == [5.0]  # of 408 and 412
    assert scored(table, halved)["error"].tolist() == [210.0]


def test_a_level_that_doubles_raises_an_alarm_and_steady_rows_raise_none(job, rows):
    path, frame = job(), rows()
    runs_of(path, 3)
    assert not len(score(path, "2024-03-03T20:00").alarms)
    frame.loc[(frame["unique_id"] == "s07") & (frame["ds"] > "2024-03-03T13:30"), "y"] *= 2
    found = score(job(frame, output="other"), "2024-03-03T20:00")
    assert not len(found.alarms)  # nothing was published there yet
    path = job(frame, output="third")
    runs_of(path, 3)
    alarms = score(path, "2024-03-03T20:00").alarms
    assert set(alarms["unique_id"]) == {"s07"}
    assert alarms["as_of"].unique().tolist() == ["2024-03-03T13:00:00+00:00"]  # its forecast of the next hour
    assert set(alarms["kind"]) == {"high", "size"}


def test_the_command_shows_a_page_a_picture_and_json(job, tmp_path, capsys):
    path = job()
    runs_of(path, 2)
    command = ["job", "score", str(path), "--as-of", "2024-03-03T20:00"]
    with pytest.raises(SystemExit) as end:
        main([*command, "--plot", str(tmp_path / "realised.png")])
    assert not end.value.code
    assert "Worst 5 of 40 series" in capsys.readouterr().out
    assert (tmp_path / "realised.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main([*command, "--json"])
    about = json.loads(capsys.readouterr().out)
    assert [one["waiting"] for one in about["cutoffs"]] == [0, 0]
    assert len(about["series"]) == 40


def test_scoring_does_not_load_tensorflow(job):
    path = job()
    runs_of(path, 1)
    code = (
        "import sys; from forecast.jobs import score; "
        f"print(score({str(path)!r}, '2024-03-03T20:00').cutoffs['series'][0], 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["40", "False"]


# --- the arithmetic ---------------------------------------------------------------------------------------------------


def test_cusum_is_that_of_page():
    z = np.random.default_rng(0).normal(size=200) + np.where(np.arange(200) > 120, 1.5, 0.0)
    s, expected = 0.0, []
    for value in z:
        s = max(0.0, s + value - drift.K)
        expected.append(s > drift.H)
        s = 0.0 if s > drift.H else s
    found = drift.cusum(z[None])
    assert found["high"][0].tolist() == expected
    assert any(expected)
    assert not any(expected[:120])
    assert not found["low"].any()


def test_psi_is_that_of_histograms_less_what_chance_makes():
    random = np.random.default_rng(1)
    before, late = random.normal(size=480), random.normal(0.5, 2, size=60)
    edges = np.sort(before)[np.arange(1, 10) * 480 // 10]
    shares = []
    for values in (late, before):
        counts = np.histogram(-values, np.concatenate([[-np.inf], -edges[::-1], [np.inf]]))[0][::-1]
        shares.append((counts + 0.5) / (len(values) + 5))
    p, q = shares
    expected = ((p - q) * np.log(p / q)).sum() - 9 * (1 / 60 + 1 / 480)
    assert expected > 0.3
    np.testing.assert_allclose(drift.psi(late[None], before[None]), [expected], rtol=1e-9)


def test_psi_of_rows_of_one_kind_is_small_on_average():
    random = np.random.default_rng(2)
    found = drift.psi(random.normal(size=(2000, 60)), random.normal(size=(2000, 480)))
    assert found.mean() < 0.1
    assert (found > drift.LIMIT).sum() == 0


def test_naive_forecasts_of_many_series_are_those_of_each():
    random = np.random.default_rng(3)
    lengths = (40, 3, 17, 40)
    frames = []
    for n, length in enumerate(lengths):
        values = random.normal(size=length).astype(np.float32).astype(float)
        values[random.random(length) < 0.2] = np.nan
        stamps = pd.date_range("2024-01-01", periods=length, freq="h")
        frames.append(pd.DataFrame({"unique_id": f"s{n}", "ds": stamps, "y": values}))
    panel = Panel.from_frame(pd.concat(frames))
    ahead = np.arange(1, 9)
    last, season = naive_forecasts(panel, ["y"], ahead, [5] * 4)
    for s, frame in enumerate(frames):
        values, end = frame["y"].to_numpy(), [len(frame) - 1]
        np.testing.assert_array_equal(season[s, :, 0], seasonal_naive(values, end, ahead, 5)[0])
        known = values[np.isfinite(values)]
        assert last[s, 0] == known[-1]
