"""One run: what is published, what is stopped, what is named, and what a second run finds."""

import contextlib
import http.server
import io
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster
from forecast.cli import main
from forecast.jobs import current, run, status
from forecast.jobs.store import Store
from forecast.jobs.telling import told
from pipelines.errors import BundleError, ConfigError, DataError, Locked, SourceError

LAST = "2024-03-03T23:00"


def changed(frame, name, **values):
    """Returns rows with other values in one series; a value may be a function of the old ones."""
    frame = frame.astype({column: object for column in values if column == "y"})
    where = frame["unique_id"] == name
    for column, value in values.items():
        frame.loc[where, column] = value(frame.loc[where, column]) if callable(value) else value
    return frame


# --- what is published ------------------------------------------------------------------------------------------------


def test_it_publishes_what_the_forecaster_predicts(published, models, rows):
    outcome, table, quarantine = published()
    assert outcome.status == "published"
    assert " ".join(table.columns) == (
        "unique_id target ds cutoff step model model_version run_id source "
        "y_pred naive seasonal_naive y_pred_lo_80 y_pred_hi_80 y_pred_lo_95 y_pred_hi_95"
    )
    expected = Forecaster.load("hours", models).predict(data=rows())
    pd.testing.assert_frame_equal(table[expected.columns], expected, check_dtype=False, rtol=1e-6)
    assert set(table["model"]) == {"hours"}
    assert set(table["model_version"]) == {1}
    assert set(table["source"]) == {"model"}
    assert set(table["run_id"]) == {outcome.about["run_id"]}
    assert quarantine.empty


def test_run_json_says_what_was_read_counted_and_written(published, tmp_path):
    import hashlib

    outcome, _, _ = published()
    about = json.loads((outcome.folder / "run.json").read_text())
    assert about == outcome.about
    assert (about["status"], about["exit_code"], about["as_of"]) == ("published", 0, "2024-03-03T23:00:00+00:00")
    assert about["counts"] == {
        "in": 40, "ok": 40, "fallback": 0, "quarantined": 0, "new": 2, "vanished": 0, "cold": 2
    }  # fmt: skip
    assert about["series"] == {"new": ["s38", "s39"], "vanished": [], "cold": ["s38", "s39"]}
    assert (about["data"]["rows"], about["data"]["rows_after_as_of"]) == (40 * 72, 0)
    assert (about["bundle"]["name"], about["seed"], about["shards"]) == ("hours/1", 0, {"all": 3, "reused": 0})
    assert {"python", "keras", "tensorflow", "pyarrow"} <= set(about["versions"])
    assert list(about["stages"]) == ["open", "read", "gates", "load", "score", "write"]
    for output in about["outputs"]:
        content = (outcome.folder / output["file"]).read_bytes()
        assert (output["bytes"], output["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (tmp_path / "out" / "CURRENT").read_text() == f"runs/{outcome.folder.name}\n"
    assert sorted(path.name for path in (tmp_path / "out" / ".work").iterdir()) == []


def test_no_row_after_as_of_reaches_the_model(published, rows):
    _, honest, _ = published(rows().query("ds <= '2024-03-03 12:00'"), "2024-03-03T12:00", name="honest", output="a")
    future = rows()
    future.loc[future["ds"] > "2024-03-03 12:00", "y"] = 1e6
    outcome, poisoned, _ = published(future, "2024-03-03T12:59", output="b")
    pd.testing.assert_frame_equal(honest.drop(columns="run_id"), poisoned.drop(columns="run_id"))
    assert outcome.about["data"]["rows_after_as_of"] == 40 * 11
    assert set(poisoned["cutoff"]) == {pd.Timestamp("2024-03-03 12:00")}


def test_the_same_rows_in_another_order_are_the_same_run(published, job, rows):
    first, _, _ = published()
    again = run(job(rows().sample(frac=1, random_state=1)), LAST)
    assert (again.status, again.folder) == ("unchanged", first.folder)


def test_other_rows_another_as_of_other_settings_and_another_bundle_are_other_runs(published, job, rows, models):
    first, _, _ = published()
    found = {first.folder.name}
    found.add(run(job(changed(rows(), "s00", y=lambda y: y * 1.0001)), LAST).folder.name)
    found.add(run(job(), "2024-03-03T22:00").folder.name)
    found.add(run(job(steps=2), LAST).folder.name)
    assert len(found) == 4


def test_more_steps_than_the_horizon_roll_on(published):
    _, table, _ = published(steps=7)
    assert table.groupby("unique_id")["step"].agg(list).map(tuple).unique().tolist() == [(1, 2, 3, 4, 5, 6, 7)]
    assert table.loc[table["step"] > 3, "y_pred_lo_80"].isna().all()


def test_shards_change_nothing_but_rounding(published):
    _, whole, _ = published(output="a", shard_size=1000)
    _, parts, _ = published(output="b", shard_size=1)
    np.testing.assert_allclose(parts["y_pred"], whole["y_pred"], rtol=1e-5)


def test_current_does_not_go_back_to_an_earlier_as_of(published, job, tmp_path):
    late, _, _ = published()
    early = run(job(), "2024-03-03T20:00")
    assert early.status == "published"
    assert current(tmp_path / "out") == late.folder
    assert [(one["as_of"][:16], one["current"]) for one in status(job())] == [
        ("2024-03-03T20:00", False),
        ("2024-03-03T23:00", True),
    ]


def test_rows_that_come_back_are_current_again(published, job, rows, tmp_path):
    first, _, _ = published()
    second = run(job(changed(rows(), "s00", y=lambda y: y + 1)), LAST)
    assert current(tmp_path / "out") == second.folder
    third = run(job(), LAST)
    assert (third.status, third.folder, current(tmp_path / "out")) == ("unchanged", first.folder, first.folder)


def test_an_output_that_somebody_changed_is_made_again(published, job, tmp_path):
    first, table, _ = published()
    (first.folder / "forecasts.parquet").write_bytes(b"PAR1")
    again = run(job(), LAST)
    assert (again.status, again.folder) == ("published", first.folder)
    pd.testing.assert_frame_equal(pd.read_parquet(again.folder / "forecasts.parquet"), table)


# --- series that fail -------------------------------------------------------------------------------------------------

POISON = {
    "nan": ({"y": np.nan}, "non_finite", False),
    "nan_at_the_end": ({"y": lambda y: y.where(np.arange(len(y)) < 68)}, "non_finite", True),
    "infinite": ({"y": np.inf}, "non_finite", False),
    "text": ({"y": lambda y: y.where(np.arange(len(y)) != 70, "n.a.?")}, "text", True),
    "constant": ({"y": 7.0}, "constant", True),
    "cents": ({"y": lambda y: y.where(np.arange(len(y)) < 71, y * 100)}, "jump", True),
    "thousands": ({"y": lambda y: y.where(np.arange(len(y)) < 66, y / 1000)}, "jump", True),
    "late": ({"ds": lambda ds: ds - pd.Timedelta("2h")}, "stale", True),
    "unborn": ({"ds": lambda ds: ds + pd.Timedelta("3000D")}, "future", False),
    "ahead": ({"ds": lambda ds: ds.where(np.arange(len(ds)) < 71, ds + pd.Timedelta("9h"))}, "future", True),
    "doubled": ({"ds": lambda ds: ds.where(np.arange(len(ds)) > 9, ds.iloc[0])}, "duplicates", True),
    "scattered": ({"ds": lambda ds: ds.where(np.arange(len(ds)) > 0, ds - pd.Timedelta("9000D"))}, "unclean", True),
}


@pytest.fixture
def clock(monkeypatch):
    """Sets the machine's clock."""
    return lambda text: monkeypatch.setattr("forecast.jobs.clock.machine_clock", lambda: pd.Timestamp(text))


@pytest.mark.parametrize("kind", POISON)
def test_one_poisoned_series_is_named_and_the_others_are_published(published, rows, kind, clock):
    values, reason, has_fallback = POISON[kind]
    clock("2024-03-03T23:40Z")
    outcome, table, quarantine = published(changed(rows(), "s07", **values), None)
    assert quarantine[["unique_id", "reason", "fallback"]].values.tolist() == [["s07", reason, has_fallback]]
    assert set(table.loc[table["source"] == "model", "unique_id"]) == {f"s{n:02d}" for n in range(40)} - {"s07"}
    assert set(table.loc[table["source"] == "fallback", "unique_id"]) == ({"s07"} if has_fallback else set())
    assert np.isfinite(table["y_pred"]).all()
    assert outcome.about["reasons"] == {reason: 1}
    assert outcome.about["counts"]["ok"] == 39


def test_a_series_that_is_too_short_is_named(published, rows):
    frame = rows()
    short = (frame["unique_id"] == "s07") & (frame["ds"] < "2024-03-03T20:00")
    _, table, quarantine = published(frame[~short])
    assert quarantine[["unique_id", "stage", "reason"]].values.tolist() == [["s07", "gates", "too_short"]]
    assert quarantine["message"][0] == "4 rows; at least 6 must be there."
    assert set(table.loc[table["unique_id"] == "s07", "source"]) == {"fallback"}


def test_a_series_that_the_network_cannot_take_is_named_and_its_shard_is_done_without_it(published, rows):
    frame = changed(rows(), "s07", y=lambda y: y.where(np.arange(len(y)) != 69)).astype({"y": float})
    frame = frame[~((frame["unique_id"] == "s07") & (frame["ds"] < "2024-03-03T18:00"))]  # nothing to fill it from
    frame.loc[(frame["unique_id"] == "s07") & (frame["ds"] < "2024-03-03T19:00"), "y"] = np.nan
    _, table, quarantine = published(frame, gates={"non_finite": 0.5})
    assert quarantine[["unique_id", "stage", "reason"]].values.tolist() == [["s07", "score", "no_window"]]
    assert table.loc[table["source"] == "model", "unique_id"].nunique() == 39


def test_a_shard_that_raises_is_done_again_without_the_series_at_fault(published, rows, models):
    frame = rows()
    frame.loc[(frame["unique_id"] == "s07") & (frame["ds"] == "2024-03-03T20:00"), "y"] = -5.0  # has no return
    bundle = str(models / "returns" / "1")
    outcome, table, quarantine = published(frame, bundle=bundle, gates={"jump": None})
    assert quarantine[["unique_id", "stage", "reason"]].values.tolist() == [["s07", "score", "refused"]]
    assert quarantine["message"][0].startswith("Returns need targets above zero. Received: -5 in series 's07'.")
    expected = Forecaster.load(bundle).predict(data=frame[frame["unique_id"] != "s07"])
    model = table[table["source"] == "model"].reset_index(drop=True)
    pd.testing.assert_frame_equal(model[expected.columns], expected, check_dtype=False, rtol=1e-6)
    fallback = table[table["unique_id"] == "s07"]
    assert set(fallback["source"]) == {"fallback"}
    assert fallback["ds"].tolist() == model.loc[model["unique_id"] == "s08", "ds"].tolist()  # after the same gap
    day = frame[(frame["unique_id"] == "s07") & (frame["ds"] >= "2024-03-03T01:00")]
    assert fallback["y_pred"].tolist() == pytest.approx(day["y"].iloc[:3].tolist(), rel=1e-6)
    assert outcome.about["counts"]["ok"] == 39


def test_a_fallback_repeats_the_season_before(published, rows):
    frame = rows()
    frame.loc[frame["unique_id"] == "s07", "y"] = np.arange(72) % 24 * 1.0 + 5
    frame.loc[(frame["unique_id"] == "s07") & (frame["ds"] == "2024-03-03T23:00"), "y"] = 2e5  # the last one: a jump
    _, table, quarantine = published(frame)
    assert quarantine["reason"].tolist() == ["jump"]
    assert table.loc[table["unique_id"] == "s07", "y_pred"].tolist() == [5.0, 6.0, 7.0]
    assert table.loc[table["unique_id"] == "s07", "y_pred_lo_80"].isna().all()


@pytest.mark.parametrize(
    ("gate", "values"),
    [
        ("jump", POISON["cents"][0]),
        ("constant", POISON["constant"][0]),
        ("freshness", POISON["late"][0]),
        ("duplicates", POISON["doubled"][0]),
    ],
)
def test_an_open_gate_lets_a_series_through(published, rows, gate, values):
    _, table, quarantine = published(
        changed(rows(), "s07", **values).astype({"y": float}), gates={gate: False if gate == "constant" else None}
    )
    assert quarantine.empty
    assert set(table["source"]) == {"model"}


def test_what_looks_like_a_jump_but_is_the_night_passes(published, rows):
    frame = rows()
    hour = frame["ds"].dt.hour
    for name, night in (("s06", 0.0), ("s07", 0.01)):
        sun = np.where((hour > 6) & (hour < 20), 500 * np.sin((hour - 6) / 14 * np.pi), night)
        frame["y"] = frame["y"].where(frame["unique_id"] != name, sun)
    assert published(frame)[2].empty


def test_over_the_budget_nothing_is_published_and_the_last_output_stays(published, job, rows, tmp_path):
    first, table, _ = published()
    frame = rows()
    frame.loc[frame["unique_id"] < "s11", "y"] = np.nan  # eleven of forty
    with pytest.raises(DataError, match=r"At most 10 of 40 series may fail .* Received: 11 that do \(11 non_finite\)"):
        run(job(frame), LAST)
    assert current(tmp_path / "out") == first.folder
    pd.testing.assert_frame_equal(pd.read_parquet(first.folder / "forecasts.parquet"), table)
    failed = status(job())[-1]
    assert (failed["status"], failed["exit_code"], failed["current"]) == ("failed", 65, False)
    kept = pd.read_parquet(tmp_path / "out" / "failed" / "20240303T230000Z" / "quarantine.parquet")
    assert kept["unique_id"].tolist() == [f"s{n:02d}" for n in range(11)]
    assert run(job(frame, max_failed={"floor": 11}), LAST).about["counts"]["quarantined"] == 11
    assert not (tmp_path / "out" / "failed" / "20240303T230000Z").exists()


def test_series_that_appear_and_vanish_are_named(published, job, rows):
    published()
    ids = [f"s{n:02d}" for n in range(1, 40)] + ["fresh"]
    about = run(job(rows(ids)), LAST).about
    assert about["series"] == {"new": ["fresh"], "vanished": ["s00"], "cold": ["fresh", "s38", "s39"]}
    assert (about["counts"]["new"], about["counts"]["vanished"], about["counts"]["cold"]) == (1, 1, 3)


# --- the clock --------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_a_day_late_or_a_day_early_publishes_nothing(job, clock):
    path = job()
    clock("2024-03-04T23:40Z")
    with pytest.raises(DataError, match="40 stale"):
        run(path)
    clock("2024-03-02T23:40Z")
    with pytest.raises(DataError, match=r"40 future.*24 rows lie after as_of.*The clock or the data are wrong"):
        run(path)
    clock("2024-02-03T23:40Z")
    with pytest.raises(DataError, match=r"a row at or before as_of, 2024-02-03T23:00:00\+00:00. Received: 2,880 rows"):
        run(path)
    clock("2024-03-03T23:40Z")
    assert run(path).status == "published"


def test_over_a_clock_change_each_hour_is_a_run_of_its_own(rows, job, clock):
    stamps = pd.date_range("2024-03-07T23:00", "2024-03-10T09:00", freq="h", tz="UTC").tz_convert("America/New_York")
    path = job(rows(stamps=stamps), timezone="America/New_York")
    names = []
    for now in ("2024-03-10T06:40Z", "2024-03-10T07:40Z", "2024-03-10T08:40Z"):  # 1:40, then 3:40 and 4:40
        outcome = run(path, now)
        names.append(outcome.about["as_of"])
        table = pd.read_parquet(outcome.folder / "forecasts.parquet")
        assert set(table["cutoff"]) == {pd.Timestamp(now).floor("h").tz_convert("America/New_York")}
        assert table["ds"].min() - table["cutoff"].min() == pd.Timedelta("1h")
    assert names == ["2024-03-10T01:00:00-05:00", "2024-03-10T03:00:00-04:00", "2024-03-10T04:00:00-04:00"]


# --- failures of the whole --------------------------------------------------------------------------------------------


def test_a_bundle_that_was_changed_by_a_byte_ends_before_a_number_is_computed(job, models, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(models / "hours" / "1", tmp_path / "copy")
    network = bytearray((tmp_path / "copy" / "model.keras").read_bytes())
    network[len(network) // 2] ^= 1
    (tmp_path / "copy" / "model.keras").write_bytes(network)
    monkeypatch.setattr("forecast.jobs.rows.load_rows", lambda *a, **k: pytest.fail("rows were read"))
    with pytest.raises(BundleError, match=r"model\.keras must be as it was saved") as error:
        run(job(bundle="copy"), LAST)
    assert error.value.exit_code == 78
    assert status(job())[-1]["exit_code"] == 78


def test_a_source_that_is_gone_is_named_in_status(job, capsys):
    path = job(source="gone.parquet")
    with pytest.raises(SourceError):
        run(path, LAST)
    with pytest.raises(SystemExit):
        main(["job", "status", str(path)])
    out = capsys.readouterr().out
    assert "The last run failed, with exit code 69: No file is called" in out


def test_a_second_run_of_the_same_as_of_is_locked_out_and_changes_nothing(job, tmp_path, capsys):
    path, store = job(), Store(tmp_path / "out")
    store.prepare()
    with store.lock("20240303T230000Z"):
        with pytest.raises(Locked, match="which another run holds"):
            run(path, LAST)
        with pytest.raises(SystemExit) as end:
            main(["job", "run", str(path), "--as-of", LAST])
        assert end.value.code == 75
        assert (status(path), (tmp_path / "out" / "metrics.prom").exists()) == ([], False)
        assert run(path, "2024-03-03T22:00").status == "published"  # another as_of is another run
    assert run(path, LAST).status == "published"


def test_a_disk_that_takes_no_more_leaves_the_last_output(published, job, tmp_path):
    import resource

    first, table, _ = published(None, "2024-03-03T22:00")
    path = job()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(ConfigError, match="The output of a job must be written in full"):
            run(path, LAST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert current(tmp_path / "out") == first.folder
    pd.testing.assert_frame_equal(pd.read_parquet(first.folder / "forecasts.parquet"), table)
    assert run(path, LAST).status == "published"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_leaves_the_last_output_and_a_run_after_it_goes_on(published, job, tmp_path):
    (tmp_path / "out").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "out")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    try:
        first, table, _ = published(None, "2024-03-03T22:00")
        path, ballast = job(), tmp_path / "out" / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with open(ballast, "rb+") as file:
            file.truncate(ballast.stat().st_size - 58 * 1024)  # room for the rows and the first shard
        with pytest.raises(ConfigError, match=r"No space left on device|cut short"):
            run(path, LAST)
        assert current(tmp_path / "out") == first.folder
        pd.testing.assert_frame_equal(pd.read_parquet(first.folder / "forecasts.parquet"), table)
        ballast.unlink()
        again = run(path, LAST)
        assert (again.status, again.about["counts"]["ok"]) == ("published", 40)
        assert 0 < again.about["shards"]["reused"] < 3
    finally:
        subprocess.run(["umount", str(tmp_path / "out")], check=True)  # noqa: S607


def test_a_run_that_a_scheduler_ends_is_kept_as_failed_and_goes_on_later(job, monkeypatch):
    from forecast.jobs import scoring

    score, path, before = scoring.forecasts, job(), signal.getsignal(signal.SIGTERM)

    def ended(shard, bundle):
        if "s20" in shard.ids:
            os.kill(os.getpid(), signal.SIGTERM)
        return score(shard, bundle)

    monkeypatch.setattr(scoring, "forecasts", ended)
    with pytest.raises(SystemExit) as end:
        main(["job", "run", str(path), "--as-of", LAST])
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    (failed,) = status(path)
    assert (failed["status"], failed["exit_code"]) == ("failed", 143)
    assert failed["message"].startswith("The run was ended by a signal.")
    monkeypatch.undo()
    assert run(path, LAST).about["shards"] == {"all": 3, "reused": 1}


# --- who is told ------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener():
    """A server on this machine; its list gets the path and the body of each POST."""
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


def test_a_ping_tells_how_each_run_ended(job, rows, listener, monkeypatch):
    url, heard = listener
    monkeypatch.setenv("PING_URL", url)
    path = job(ping="${PING_URL}/{status}/{exit_code}")
    run(path, LAST)
    run(path, LAST)
    with pytest.raises(DataError):
        run(path, "2024-03-09")
    assert [where for where, _ in heard] == ["/published/0", "/unchanged/0", "/failed/65"]
    assert [body["counts"]["in"] for _, body in heard] == [40, 40, 40]
    assert heard[2][1]["message"].startswith("At most 10 of 40 series may fail")
    written = [one.read_bytes() for one in (path.parent / "out").rglob("*") if one.is_file()]
    assert len(written) > 5
    assert not any(url.encode() in content for content in written)  # it is a secret


def test_a_ping_that_nobody_answers_fails_no_run(job, caplog):
    assert run(job(ping="http://127.0.0.1:9/hidden"), LAST).status == "published"
    assert "The ping failed: " in caplog.text
    assert "hidden" not in caplog.text


def test_prometheus_finds_how_the_last_run_ended_and_when_one_last_succeeded(job, tmp_path):
    path = job(metrics="node/nightly.prom")

    def metrics():
        lines = (tmp_path / "node" / "nightly.prom").read_text().splitlines()
        heads = [line.split()[2] for line in lines if line.startswith("# HELP")]
        assert len(heads) == len(set(heads))
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    run(path, LAST)
    good = metrics()
    assert good['forecast_job_success{job="nightly"}'] == "1"
    assert good['forecast_job_series{job="nightly",state="ok"}'] == "40"
    with pytest.raises(DataError):
        run(path, "2024-03-09")
    bad = metrics()
    assert (bad['forecast_job_success{job="nightly"}'], bad['forecast_job_exit_code{job="nightly"}']) == ("0", "65")
    success = 'forecast_job_last_success_timestamp_seconds{job="nightly"}'
    assert bad[success] == good[success]
    ended = 'forecast_job_last_run_timestamp_seconds{job="nightly"}'
    assert float(bad[ended]) > float(good[ended])


def test_the_command_logs_a_json_line_for_each_stage_and_prints_where_the_output_is(job, capsys):
    path = job()
    for expected in ("published", "unchanged"):
        with pytest.raises(SystemExit) as end:
            main(["job", "run", str(path), "--as-of", LAST])
        assert not end.value.code
        out, err = capsys.readouterr()
        assert out.splitlines()[0].startswith(f"{expected} nightly as of 2024-03-03T23:00:00+00:00: 40 in, 40 ok")
        lines = [json.loads(line) for line in err.splitlines()]
        stages = [line["stage"] for line in lines]
        assert stages[:2] == ["open", "read"]
        assert stages[-1] == "end"
        assert (len(stages), lines[-1]["status"]) == ({"published": 7, "unchanged": 3}[expected], expected)
        assert all(line["job"] == "nightly" and "time" in line for line in lines)
    with pytest.raises(SystemExit):
        main(["job", "run", str(path), "--as-of", LAST, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["counts"]["ok"]) == ("unchanged", 40)
    with pytest.raises(SystemExit):
        main(["job", "status", str(path)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        [
            LAST + ":00+00:00",
            answer["run_id"],
            "published",
            "current",
            *["40", "40", "0", "0"],
            f"{answer['seconds']:.1f}",
        ]
    ]


def test_a_terminal_gets_words_and_no_json(job):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    with told(screen):
        run(job(), LAST)
    lines = screen.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["open", "read", "gates", "load", "score", "write"]
    assert lines[1].endswith(" s  series 40, rows 2,880")


# --- the example ------------------------------------------------------------------------------------------------------


def test_the_example_runs_on_what_quickstart_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
    model = Forecaster(
        model={"name": "lstm", "units": 2}, target="Close", lookback=8, horizon=5, training={"epochs": 1}
    )
    model.fit("sample:goog", quiet=True).save("goog")
    example = Path(__file__).parents[3] / "examples" / "nightly_stocks.yaml"
    for expected in ("published", "unchanged"):
        with pytest.raises(SystemExit) as end:
            main(["job", "run", str(example)])
        assert not end.value.code
        assert capsys.readouterr().out.startswith(f"{expected} nightly_stocks as of ")
    holiday = run(example, "2008-07-04 20:00")
    assert (holiday.about["as_of"], holiday.about["data"]["last"]) == ("2008-07-03", "2008-07-03")
    assert forecasts_of(holiday)["ds"].dt.strftime("%a %d").tolist() == [
        "Mon 07",
        "Tue 08",
        "Wed 09",
        "Thu 10",
        "Fri 11",
    ]
    assert run(example, "2008-07-06").folder == holiday.folder  # the Sunday after: no session since


def forecasts_of(outcome):
    return pd.read_parquet(outcome.folder / "forecasts.parquet")
