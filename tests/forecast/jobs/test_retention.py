"""Old runs go, the one that counts stays, and so does what they were worth."""

import os
from datetime import UTC, datetime, timedelta

import pandas as pd

from forecast.jobs import current, run, score, status
from pipelines.sources._snapshots import COLUMNS, EVER, Answer, SnapshotStore

AS_OFS = [f"2024-03-03T{hour:02d}:00" for hour in range(12, 16)]


def test_only_the_latest_runs_stay_and_scores_of_all(job, tmp_path):
    path = job()
    for as_of in AS_OFS[:3]:
        run(path, as_of)
    before = score(path, "2024-03-03T20:00").cutoffs
    path = job(retention={"runs": 2})
    last = run(path, AS_OFS[3])
    assert [one["as_of"][:16] for one in status(path)] == AS_OFS[2:]
    assert current(tmp_path / "out") == last.folder
    after = score(path, "2024-03-03T20:00").cutoffs
    pd.testing.assert_frame_equal(after.iloc[:3][["as_of", "run_id", "series"]], before[["as_of", "run_id", "series"]])
    assert not [name for name in os.listdir(tmp_path / "out" / ".work") if name.startswith("removed")]


def test_the_run_that_counts_stays_however_old_it_is(job, tmp_path):
    path = job()
    outcome = run(path, AS_OFS[3])
    path = job(retention={"days": 1e-6, "runs": 1})
    again = run(path, AS_OFS[3])
    assert again.status == "unchanged"  # what is kept changes no number
    assert current(tmp_path / "out") == outcome.folder
    run(path, AS_OFS[0])  # of an earlier time: it is published, and old at once
    assert [one["as_of"][:16] for one in status(path)] == [AS_OFS[3]]


def answer(came, start):
    days = pd.date_range("2024-01-01", periods=3, name="ds")
    rows = pd.DataFrame(1.0, index=days, columns=COLUMNS).assign(**{"Stock Splits": 0.0, "Dividends": 0.0})
    return Answer("AAPL", "1d", start, pd.Timestamp(came, tz="UTC"), {"timezone": "UTC"}, rows)


def test_answers_go_that_later_ones_replace_and_no_others(tmp_path, monkeypatch):
    from pipelines.sources import yahoo

    store, now = SnapshotStore(tmp_path), datetime.now(UTC)
    whole, part = EVER, pd.Timestamp("2024-01-02")
    for days, start in ((9, whole), (8, part), (7, part), (2, whole), (1, part)):
        store.add(answer((now - timedelta(days=days)).replace(tzinfo=None), start))

    def ages():
        found = store.entries("AAPL", "1d")
        return [round((now - entry.fetched_at.to_pydatetime()) / timedelta(days=1)) for entry in found]

    assert yahoo.prune("aapl", since=now - timedelta(days=8.5), store=str(tmp_path)) == 1
    assert ages() == [8, 7, 2, 1]
    assert yahoo.prune("AAPL", keep=1, store=str(tmp_path)) == 2
    assert ages() == [2, 1]  # the last reaches back a few days only: it replaces nothing
    assert store.history("AAPL", "1d").since == EVER
