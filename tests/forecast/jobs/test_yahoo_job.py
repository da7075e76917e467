"""A job on Yahoo's prices, against a server on 127.0.0.1: faults, tickers that are gone, runs as of earlier days."""

import importlib.util
import sys
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast import Forecaster
from forecast.cli import main
from forecast.jobs import current, run, status, validate
from pipelines.errors import DataError, NoData
from pipelines.sources import _yahoo_client as client
from pipelines.sources._snapshots import SnapshotStore

SPEC = importlib.util.spec_from_file_location("yahoo_server", Path(__file__).parents[2] / "pipelines/yahoo_server.py")
yahoo_server = importlib.util.module_from_spec(SPEC)
sys.modules["yahoo_server"] = yahoo_server  # dataclasses look their module up
SPEC.loader.exec_module(yahoo_server)

HOLIDAYS = {date(2024, 3, 29), date(2024, 5, 27), date(2024, 6, 19), date(2024, 7, 4)}
SESSIONS = [day for day in pd.bdate_range("2024-03-01", "2024-07-12").date if day not in HOLIDAYS]
TICKERS = ["ACME", "BETA", "ZETA"]
LAST = "2024-06-27"  # a Thursday
TOO_MANY = (429, "text/html", "Too Many Requests")


def listing(symbol, **more):
    """One symbol: a random walk about 100, another for each name."""
    walk = 100 + np.random.default_rng(list(symbol.encode())).normal(size=len(SESSIONS)).cumsum()
    rows = [(day, y, y + 1, y - 1, y, 1000) for day, y in zip(SESSIONS, walk.tolist(), strict=True)]
    return yahoo_server.Listing(symbol, rows, **more)


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """The folder of a bundle that saw the first fifty sessions."""
    rows = [(symbol, pd.Timestamp(row[0]), row[4]) for symbol in TICKERS for row in listing(symbol).rows[:50]]
    model = Forecaster(
        model={"name": "lstm", "units": 2},
        target="Close",
        calendar="XNYS",
        lookback=6,
        horizon=3,
        split={"calibration": 0, "test": 0.2},
        training={"epochs": 1},
    )
    model.fit(pd.DataFrame(rows, columns=["unique_id", "ds", "Close"]), quiet=True)
    return model.save("prices", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", autouse=True)
def yfinance_folder(tmp_path_factory):
    """yfinance keeps time zones and cookies in databases: not in the user's here."""
    client.import_curl()  # TensorFlow came first
    import yfinance as yf

    yf.set_tz_cache_location(str(tmp_path_factory.mktemp("yfinance")))


class Stage:
    """The server, a clock for Yahoo and one for this machine, the pauses that were asked for, and the job's file."""

    def __init__(self, server, folder, bundle):
        self.server, self.folder, self.bundle, self.pauses = server, folder, str(bundle), []
        self.store, self.out = SnapshotStore(folder / "yahoo"), folder / "out"
        self.server.listings = {symbol: listing(symbol) for symbol in TICKERS}
        self.at(LAST)

    def at(self, day, clock="18:00"):
        """Sets both clocks, in New York."""
        self.now = pd.Timestamp(f"{day} {clock}", tz="America/New_York").tz_convert("UTC").as_unit("ns")
        self.server.today = date.fromisoformat(day)

    def job(self, source="yahoo:ACME,BETA,ZETA", **settings):
        about = {"name": "nightly", "source": source, "bundle": self.bundle, "output": "out"}
        about |= {"timezone": "America/New_York", **settings}
        path = self.folder / "nightly.yaml"
        path.write_text(yaml.safe_dump(about), encoding="utf-8")
        return path

    def ends(self, path, *more):
        """Runs the command; returns its exit code."""
        with pytest.raises(SystemExit) as end:
            main(["job", "run", str(path), *more])
        return end.value.code or 0


@pytest.fixture
def stage(tmp_path, prices, monkeypatch):
    import yfinance as yf
    import yfinance.cache

    yf.data.YfData.cache_get.cache_clear()
    type(yf.data.YfData)._instances.clear()
    monkeypatch.setattr(yf.base, "_tz_info_fetch_ctr", 0)
    monkeypatch.setattr(yfinance.cache._TzCacheManager, "_tz_cache", yfinance.cache._TzCacheDummy())
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with yahoo_server.YahooServer() as server:
        stage = Stage(server, tmp_path, prices)
        monkeypatch.setenv("FORECAST_YAHOO_URL", server.url)
        monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
        monkeypatch.setattr(client, "now", lambda: stage.now)
        monkeypatch.setattr(client, "sleep", stage.pauses.append)
        monkeypatch.setattr("forecast.jobs.clock.machine_clock", lambda: stage.now)
        yield stage
    type(yf.data.YfData)._instances.clear()


def forecasts(folder):
    return pd.read_parquet(folder / "forecasts.parquet")


def quarantine(folder):
    return pd.read_parquet(folder / "quarantine.parquet")


# --- faults of the source ---------------------------------------------------------------------------------------------


def test_a_source_that_refuses_twice_and_recovers_is_published_like_one_that_never_refused(stage):
    stage.server.script["BETA"] = [TOO_MANY] * 4  # yfinance asks twice per try
    assert stage.ends(stage.job()) == 0
    refused = [pause for pause in stage.pauses if pause > 1]
    assert [low * 0.5 <= pause <= low * 1.5 for pause, low in zip(refused, (5, 20), strict=True)] == [True, True]
    first = current(stage.out)
    smooth = run(stage.job(output="smooth"))
    assert smooth.folder.name == first.name  # the same rows, so the same run
    pd.testing.assert_frame_equal(forecasts(smooth.folder), forecasts(first))


def test_a_source_that_never_recovers_ends_with_75_and_the_last_output_stays(stage):
    path = stage.job()
    assert stage.ends(path) == 0
    first, table = current(stage.out), forecasts(current(stage.out))
    stage.at("2024-06-28")
    stage.server.script["BETA"] = [TOO_MANY]
    stage.server.sticky.add("BETA")
    assert stage.ends(path) == 75
    assert current(stage.out) == first
    pd.testing.assert_frame_equal(forecasts(first), table)
    failed = status(path)[-1]
    assert (failed["status"], failed["exit_code"], failed["as_of"]) == ("failed", 75, "2024-06-28")
    assert "Of the 3 symbols asked for, ACME succeeded; ZETA not asked any more" in failed["message"]
    stage.server.script.clear()
    assert stage.ends(path) == 0
    assert current(stage.out).name.startswith("2024-06-28-")


def test_a_server_that_is_down_ends_with_69_and_the_last_output_stays(stage, monkeypatch):
    path = stage.job()
    assert stage.ends(path) == 0
    first = current(stage.out)
    stage.at("2024-06-28")
    with yahoo_server.YahooServer() as gone:
        pass
    monkeypatch.setenv("FORECAST_YAHOO_URL", gone.url)
    assert stage.ends(path) == 69
    assert current(stage.out) == first
    assert "could not be reached for ACME" in status(path)[-1]["message"]


def test_a_damaged_answer_in_the_store_stops_its_ticker_alone_and_names_the_file(stage):
    assert stage.ends(stage.job()) == 0
    torn = stage.store.entries("BETA", "1d")[0].path
    torn.write_bytes(torn.read_bytes()[:-100])
    for source in ("yahoo:ACME,BETA,ZETA", "yahoo:ACME,BETA,ZETA?offline=true"):
        outcome = run(stage.job(source, output=f"out{len(source)}"))
        assert quarantine(outcome.folder)[["unique_id", "stage", "reason"]].values.tolist() == [
            ["BETA", "read", "no_data"]
        ]
        assert f"Received: {torn}" in quarantine(outcome.folder)["message"][0]
        assert set(forecasts(outcome.folder)["unique_id"]) == {"ACME", "ZETA"}
    assert stage.ends(stage.job("yahoo:BETA?offline=true")) == 69


# --- tickers that are gone, or new ------------------------------------------------------------------------------------


def test_a_ticker_that_yahoo_no_longer_knows_is_named_and_the_others_are_forecast(stage):
    path = stage.job()
    assert run(path).about["counts"]["ok"] == 3
    del stage.server.listings["BETA"]
    for day in ("2024-06-28", "2024-07-01"):
        stage.at(day)
        outcome = run(path)
        table, stopped = forecasts(outcome.folder), quarantine(outcome.folder)
        assert table.groupby("unique_id")["source"].unique().map(list).to_dict() == {
            "ACME": ["model"],
            "ZETA": ["model"],
        }
        assert set(table["cutoff"]) == {pd.Timestamp(day)}
        assert stopped[["unique_id", "stage", "reason", "fallback"]].values.tolist() == [
            ["BETA", "read", "no_data", False]
        ]
        assert stopped["message"][0].startswith("Yahoo knows no symbol 'BETA', or has delisted it.")
        counts = outcome.about["counts"]
        assert [counts[name] for name in ("in", "ok", "quarantined", "new", "vanished", "cold")] == [3, 2, 1, 0, 0, 0]
    assert validate(path)["missing"] == ["BETA"]
    with pytest.raises(NoData, match="knows no symbol 'BETA'"):  # where somebody looks on, it fails
        Forecaster.load(stage.bundle).predict(data="yahoo:ACME,BETA,ZETA")


def test_where_most_tickers_are_gone_nothing_is_published(stage):
    path = stage.job()
    first = run(path)
    stage.at("2024-06-28")
    del stage.server.listings["BETA"], stage.server.listings["ACME"]
    with pytest.raises(
        DataError, match=r"At most 1 of 3 series may fail .* \(2 no_data\), such as 'ACME': Yahoo knows"
    ):
        run(path)
    stage.server.listings.clear()
    assert stage.ends(path) == 69
    assert current(stage.out) == first.folder


def test_tickers_that_come_and_go_are_counted_and_those_not_trained_on_are_cold(stage):
    stage.server.listings["NEWC"] = listing("NEWC")
    run(stage.job())
    about = run(stage.job("yahoo:ACME,NEWC,ZETA")).about
    assert about["series"] == {"new": ["NEWC"], "vanished": ["BETA"], "cold": ["NEWC"]}
    assert (about["counts"]["ok"], about["counts"]["quarantined"]) == (3, 0)


# --- as of an earlier day ---------------------------------------------------------------------------------------------


@pytest.fixture
def revised(stage):
    """A run of a Thursday; then a split of ACME, and a correction of a price of BETA; now it is July."""
    then = run(stage.job())
    stage.server.listings["ACME"].splits[date(2024, 7, 2)] = Fraction(4)
    rows = stage.server.listings["BETA"].rows
    number = SESSIONS.index(date(2024, 6, 26))
    rows[number] = (*rows[number][:4], rows[number][4] + 7, rows[number][5])
    stage.at("2024-07-08", "09:00")
    return then


def test_a_run_as_of_an_earlier_day_repeats_it_from_the_answers_of_then(stage, revised):
    asked = len(stage.server.requests)
    for moment in (LAST, f"{LAST}T18:00", f"{LAST}T23:59-04:00"):
        again = run(stage.job(), moment)
        assert (again.status, again.folder) == ("unchanged", revised.folder)
    elsewhere = run(stage.job(output="elsewhere"), LAST)
    pd.testing.assert_frame_equal(forecasts(elsewhere.folder), forecasts(revised.folder))
    assert len(stage.server.requests) == asked
    assert run(stage.job()).status == "published"  # today's
    run(stage.job(), LAST)
    assert len(stage.store.entries("ACME", "1d")) == 2
    assert run(stage.job(), LAST).folder == revised.folder  # the answer of July has changed nothing


def test_an_answer_of_the_evening_counts_for_its_day_in_the_zone_of_the_job(stage):
    stage.at(LAST, "21:59")  # in UTC it is Friday
    then = run(stage.job())
    stage.at("2024-07-08")
    assert run(stage.job(), f"{LAST}T22:00").folder == then.folder
    assert stage.ends(stage.job(timezone="UTC"), "--as-of", LAST) == 69


def test_as_of_a_day_before_the_first_answer_nothing_is_read_and_it_says_what_there_is(stage, revised):
    asked = len(stage.server.requests)
    path = stage.job()
    assert stage.ends(path, "--as-of", "2024-06-26") == 69
    message = next(one["message"] for one in status(path) if one["as_of"] == "2024-06-26")
    assert "as of 2024-06-27 03:59 UTC needs an answer that had come by then" in message
    assert "whose earliest is of 2024-06-27 22:00 UTC" in message
    assert (len(stage.server.requests), current(stage.out)) == (asked, revised.folder)


def test_a_job_may_say_that_it_accepts_what_was_known_later(stage, revised):
    run(stage.job())  # the answers of July
    pinned = run(stage.job("yahoo:ACME,BETA,ZETA?as_of=2024-07-08", output="pinned"), "2024-06-26")
    assert set(forecasts(pinned.folder)["cutoff"]) == {pd.Timestamp("2024-06-26")}
    assert pinned.about["data"]["last"] == "2024-06-26"
    later = run(stage.job("yahoo:ACME,BETA,ZETA?as_of=2024-07-08", output="pinned"), LAST)
    then = forecasts(revised.folder).set_index(["unique_id", "step"])["y_pred"]
    now = forecasts(later.folder).set_index(["unique_id", "step"])["y_pred"]
    np.testing.assert_allclose(now["ZETA"], then["ZETA"], rtol=1e-5)
    assert (now["ACME"] < then["ACME"] / 3).all()  # the split of July
    assert (now["BETA"] != then["BETA"]).all()  # the correction


def test_a_ticker_that_the_job_had_not_asked_for_by_then_has_no_data(stage):
    run(stage.job("yahoo:ACME,BETA"))
    stage.at("2024-07-08")
    run(stage.job())
    outcome = run(stage.job(), LAST)
    assert quarantine(outcome.folder)[["unique_id", "reason"]].values.tolist() == [["ZETA", "no_data"]]


def test_as_of_today_asks_yahoo_and_keeps_the_answer(stage):
    outcome = run(stage.job(), f"{LAST}T17:00")  # as a scheduler says it
    assert outcome.about["data"]["last"] == LAST
    assert len(stage.store.entries("ACME", "1d")) == 1
    stage.at("2024-06-29")  # a Saturday: as of Friday, and its own answers
    stage.server.today = date(2024, 6, 28)
    weekend = run(stage.job(), "2024-06-29T17:00")
    assert (weekend.about["as_of"], weekend.about["data"]["last"]) == ("2024-06-28", "2024-06-28")


# --- the clock --------------------------------------------------------------------------------------------------------


def test_on_a_stock_holiday_the_session_before_counts_and_nothing_is_stale(stage):
    for holiday, session, following in (
        ("2024-07-04", "2024-07-03", ["2024-07-05", "2024-07-08", "2024-07-09"]),
        ("2024-06-19", "2024-06-18", ["2024-06-20", "2024-06-21", "2024-06-24"]),
    ):
        stage.at(holiday)
        outcome = run(stage.job(gates={"freshness": 0}))
        assert (outcome.about["as_of"], outcome.about["counts"]["ok"]) == (session, 3)
        table = forecasts(outcome.folder)
        assert table["ds"].dt.strftime("%Y-%m-%d").tolist() == following * 3


def test_a_clock_that_is_a_day_late_is_noticed_before_an_answer_is_kept_under_a_wrong_time(stage):
    stage.at("2024-06-26")
    stage.server.today = date.fromisoformat(LAST)
    path = stage.job()
    assert stage.ends(path) == 69
    (failed,) = status(path)
    assert "one of 2024-06-27, when the clock of this machine says 2024-06-26 22:00 UTC" in failed["message"]
    assert stage.store.entries("ACME", "1d") == []


def test_rows_of_the_store_after_a_clock_that_went_back_are_of_the_future(stage):
    run(stage.job())
    stage.at("2024-06-26")
    path = stage.job("yahoo:ACME,BETA,ZETA?offline=true", output="late")
    with pytest.raises(DataError, match=r"\(3 future\).*1 rows lie after as_of.*The clock or the data are wrong"):
        run(path)
    allowed = run(stage.job("yahoo:ACME,BETA,ZETA?offline=true", output="late", max_failed={"fraction": 1.0}))
    assert set(quarantine(allowed.folder)["reason"]) == {"future"}
    assert set(forecasts(allowed.folder)["source"]) == {"fallback"}
    assert forecasts(allowed.folder)["cutoff"].max() == pd.Timestamp("2024-06-26")


@pytest.mark.parametrize(("day", "stale"), [("2024-06-28", 0), ("2024-07-01", 3)])
def test_a_source_that_stands_still_is_stale_after_more_than_one_session(stage, day, stale):
    stage.at(day)
    stage.server.today = date.fromisoformat(LAST)
    path = stage.job()
    if not stale:
        assert run(path).about["counts"]["ok"] == 3
        return
    with pytest.raises(DataError, match=r"3 stale.*The last row is of 2024-06-27; since then.*2 were due"):
        run(path)


def test_one_ticker_that_is_not_traded_any_more_is_stale_and_the_others_are_forecast(stage):
    del stage.server.listings["BETA"].rows[SESSIONS.index(date(2024, 6, 20)) :]
    outcome = run(stage.job())
    assert quarantine(outcome.folder)[["unique_id", "reason", "fallback"]].values.tolist() == [["BETA", "stale", True]]
    assert set(forecasts(outcome.folder).query("source == 'model'")["unique_id"]) == {"ACME", "ZETA"}
