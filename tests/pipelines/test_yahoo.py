"""The source `yahoo`, through the real yfinance, against a server on 127.0.0.1 that stands in for Yahoo."""

import importlib.util
import json
import os
import subprocess
import sys
from datetime import date, time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines import sources
from pipelines.errors import ConfigError, NoData, RateLimited, SourceError
from pipelines.sources import _yahoo_client as client
from pipelines.sources._snapshots import COLUMNS, EVER, Answer, SnapshotStore

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPEC = importlib.util.spec_from_file_location("yahoo_server", HERE / "yahoo_server.py")
yahoo_server = importlib.util.module_from_spec(SPEC)
sys.modules["yahoo_server"] = yahoo_server  # dataclasses look their module up
SPEC.loader.exec_module(yahoo_server)

SESSIONS = [day.date() for day in pd.bdate_range("2024-02-20", "2024-03-28")]  # New York, no holiday among them
SPLIT_DAY, CUT_DAY = SESSIONS[20], SESSIONS[15]
PRICES = ["Open", "High", "Low", "Close"]


def listing(symbol="ACME", days=SESSIONS, **more):
    """One symbol whose close is 400, 401, ... as traded, a quarter of that from the split 4:1 on."""
    splits = more.setdefault("splits", {SPLIT_DAY: Fraction(4)})
    rows = []
    for number, day in enumerate(days):
        share = float(np.prod([float(ratio) for at, ratio in splits.items() if at <= day] or [1.0]))
        close = (400 + number) / share
        rows.append((day, close - 1, close + 2, close - 2, close, round(1000 * (number + 1) * share)))
    more.setdefault("dividends", {SESSIONS[5]: 2.0, SESSIONS[12]: 3.0, SESSIONS[24]: 0.5})
    return yahoo_server.Listing(symbol, rows, **more)


@pytest.fixture(scope="module", autouse=True)
def yfinance_folder(tmp_path_factory):
    """yfinance keeps time zones and cookies in databases: not in the user's here."""
    client.import_curl()  # another test of this process may have imported TensorFlow
    import yfinance as yf

    yf.set_tz_cache_location(str(tmp_path_factory.mktemp("yfinance")))


class Stage:
    """What one test needs: the server, the store, a clock, and the pauses that were asked for."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.store = SnapshotStore(folder / "yahoo")
        self.pauses = []
        self.at("2024-03-28 21:00")
        server.listings["ACME"] = listing()

    def at(self, text):
        """Sets the clock, in UTC, for Yahoo and for the source."""
        self.now = pd.Timestamp(text, tz="UTC").as_unit("ns")
        self.server.today = self.now.date()


@pytest.fixture
def stage(tmp_path, monkeypatch):
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
        stage = Stage(server, tmp_path)
        monkeypatch.setenv("FORECAST_YAHOO_URL", server.url)
        monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
        monkeypatch.setattr(client, "now", lambda: stage.now)
        monkeypatch.setattr(client, "sleep", stage.pauses.append)
        yield stage
    type(yf.data.YfData)._instances.clear()


@pytest.fixture
def recorded(stage, shared_data):
    """The same stage, with everything the data folder holds, seen today."""
    whole = yahoo_server.YahooServer(shared_data)
    whole.http.server_close()
    stage.server.listings, stage.server.recorded = whole.listings, whole.recorded
    stage.at("2026-01-05 12:00")
    return stage


# What comes back


def test_one_symbol_comes_as_session_dates_with_its_calendar_and_unit(stage):
    frame = sources.load("yahoo:ACME")
    assert frame.columns.tolist() == [*PRICES, "Volume", "Adj Close", "Raw", "Dividends", "Stock Splits"]
    assert frame.index.tolist() == [pd.Timestamp(day) for day in SESSIONS]
    assert (frame.index.name, frame.index.tz, frame.index.freq) == ("Date", None, None)
    said = {"calendar": "XNYS", "unit": "dollars", "notes": [], "source": "yahoo:ACME"}
    assert {name: frame.attrs[name] for name in said} == said


def test_yahoo_answers_in_a_process_that_imported_tensorflow_first(stage):
    """TensorFlow carries a libcurl of its own; curl_cffi must not run into it."""
    code = "import tensorflow; from pipelines.sources import load; print(len(load('yahoo:ACME')))"
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert child.stdout.split()[-1:] == [str(len(SESSIONS))], child.stderr[-2000:]


def test_a_libcurl_that_is_taken_for_another_is_explained(stage):
    """The user imported TensorFlow, and then yfinance himself."""
    code = "import tensorflow, yfinance; from pipelines.sources import load; load('yahoo:ACME')"
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "curl_cffi must be imported before TensorFlow" in child.stderr


def test_several_symbols_come_in_the_order_asked_for_and_with_pauses_between_them(stage):
    stage.server.listings["ZETA"] = listing("ZETA", exchange="LSE", zone="Europe/London", opens=time(8), currency="GBp")
    frame = sources.load("yahoo:zeta, ACME,ZETA?start=2024-03-01&end=2024-03-05", pause="0.25")
    assert frame["unique_id"].tolist() == ["ZETA"] * 3 + ["ACME"] * 3
    assert frame["ds"].tolist() == [pd.Timestamp(f"2024-03-0{day}") for day in (1, 4, 5)] * 2
    assert frame.columns[:3].tolist() == ["unique_id", "ds", "Open"]
    assert stage.pauses == [0.25]
    assert frame.attrs["calendar"] == {"ZETA": "XLON", "ACME": "XNYS"}
    assert "unit" not in frame.attrs
    assert "The units differ: ZETA in pence, ACME in dollars." in frame.attrs["notes"]
    assert frame.attrs["source"] == "yahoo:ZETA,ACME?start=2024-03-01&end=2024-03-05"


@pytest.mark.parametrize(
    ("about", "calendar", "unit"),
    [
        ({"exchange": "LSE", "zone": "Europe/London", "currency": "GBp"}, "XLON", "pence"),
        ({"exchange": "CCC", "zone": "UTC", "opens": time(0)}, "D", "dollars"),
        ({"exchange": "CCY", "zone": "Europe/London", "opens": time(0)}, "B", "dollars"),
        ({"exchange": "SNP", "kind": "INDEX"}, "XNYS", "points"),
        ({"exchange": "SHZ", "zone": "Asia/Shanghai", "currency": "CNY"}, "XSHG", "CNY"),
        ({"exchange": "CMX", "zone": "America/New_York"}, None, "dollars"),
    ],
)
def test_calendar_and_unit_follow_the_exchange_and_the_currency(stage, about, calendar, unit):
    stage.server.listings["ACME"] = listing(**about)
    attrs = sources.load("yahoo:ACME").attrs
    assert (attrs.get("calendar"), attrs["unit"]) == (calendar, unit)


def test_every_calendar_named_here_exists():
    from exchange_calendars import get_calendar_names

    exchanges = {code for code in client.CALENDARS.values() if len(code) == 4}
    assert exchanges <= set(get_calendar_names(include_aliases=False))
    assert set(client.CALENDARS.values()) - exchanges == {"D", "B"}


# Splits and dividends


def test_the_same_range_gives_the_same_numbers_whatever_splits_come_later(stage, tmp_path):
    asked = f"yahoo:ACME?start=2024-02-26&end={CUT_DAY}"
    stage.at(f"{CUT_DAY} 22:00")
    before = sources.load(asked, store=tmp_path / "before")
    stage.at("2024-03-28 22:00")
    after = sources.load(asked, store=tmp_path / "after")
    pd.testing.assert_frame_equal(before, after, rtol=2e-7)
    assert before["Close"].iloc[-1] == pytest.approx(415.0, rel=1e-6)
    served = stage.server.listings["ACME"].chart(0, 2**33, stage.now.date())[1]["chart"]["result"][0]
    assert served["indicators"]["quote"][0]["close"][15] == pytest.approx(415 / 4)  # Yahoo did rewrite it
    assert after.attrs["notes"] == [f"ACME: 1 splits after {CUT_DAY} were undone."]


def test_raw_is_what_was_traded_and_the_other_columns_follow_the_splits_until_the_last_row(stage):
    frame = sources.load("yahoo:ACME")
    traded = {pd.Timestamp(row[0]): row for row in stage.server.listings["ACME"].rows}
    assert frame["Raw"].tolist() == pytest.approx([traded[day][4] for day in frame.index])
    shares = np.where(frame.index < pd.Timestamp(SPLIT_DAY), 4, 1)
    for place, column in enumerate(PRICES, start=1):
        assert frame[column].tolist() == pytest.approx([traded[day][place] for day in frame.index] / shares)
    assert frame["Volume"].tolist() == ([traded[day][5] for day in frame.index] * shares).tolist()
    assert frame["Stock Splits"].to_dict() == {day: 4.0 * (day.date() == SPLIT_DAY) for day in frame.index}


def test_adjusted_closes_grow_like_a_holding_whose_dividends_are_reinvested(stage):
    frame = sources.load("yahoo:ACME")
    rows, paid = stage.server.listings["ACME"].rows, stage.server.listings["ACME"].dividends
    worth, shares = [], 1.0
    for yesterday, row in zip([None, *rows[:-1]], rows, strict=True):
        shares *= 4 if row[0] == SPLIT_DAY else 1
        if row[0] in paid:  # bought at yesterday's close less the dividend
            shares *= 1 / (1 - paid[row[0]] / (yesterday[4] / (4 if row[0] == SPLIT_DAY else 1)))
        worth.append(shares * row[4])
    assert (frame["Adj Close"] / frame["Adj Close"].iloc[-1]).tolist() == pytest.approx(np.array(worth) / worth[-1])
    assert frame["Adj Close"].iloc[-1] == frame["Close"].iloc[-1]
    assert frame["Dividends"][frame["Dividends"] > 0].tolist() == pytest.approx([2 / 4, 3 / 4, 0.5])


def test_a_dividend_on_the_day_of_a_split_is_paid_on_the_new_shares(stage):
    stage.server.listings["ACME"] = listing(dividends={SPLIT_DAY: 1.05})
    frame = sources.load("yahoo:ACME")
    day_before = frame.index.get_loc(pd.Timestamp(SPLIT_DAY)) - 1
    assert frame["Adj Close"].iloc[day_before] == pytest.approx(419 / 4 - 1.05)


def test_adjust_chooses_what_open_to_close_are_adjusted_for(stage):
    plain, paid, traded = (sources.load("yahoo:ACME", adjust=how) for how in ("splits", "dividends", "none"))
    np.testing.assert_allclose(paid["Close"], plain["Adj Close"])
    np.testing.assert_allclose(paid["Open"] / paid["Close"], plain["Open"] / plain["Close"])
    np.testing.assert_allclose(traded["Close"], plain["Raw"])
    assert traded["Volume"].tolist() == [row[5] for row in stage.server.listings["ACME"].rows]
    assert traded["Dividends"][traded["Dividends"] > 0].tolist() == pytest.approx([2, 3, 0.5])


def test_a_dividend_above_the_price_is_left_out_and_said(stage):
    stage.server.listings["ACME"] = listing(dividends={SESSIONS[25]: 5000.0})
    frame = sources.load("yahoo:ACME")
    np.testing.assert_allclose(frame["Adj Close"], frame["Close"])
    assert f"dividend of {SESSIONS[25]} exceeds the price" in frame.attrs["notes"][0]


# Which bars


@pytest.mark.parametrize(("clock", "last"), [("19:59", "2024-03-27"), ("20:00", "2024-03-28")])
def test_the_bar_of_a_session_counts_from_its_close_on(stage, clock, last):
    stage.at(f"2024-03-28 {clock}")
    assert sources.load("yahoo:ACME").index[-1] == pd.Timestamp(last)


@pytest.mark.parametrize(
    ("exchange", "zone", "interval", "day", "closes"),
    [
        ("NMS", "America/New_York", "1d", "2024-11-29", "2024-11-29 18:00"),  # the half day after Thanksgiving
        ("LSE", "Europe/London", "1d", "2024-07-01", "2024-07-01 15:30"),
        ("JPX", "Asia/Tokyo", "1d", "2024-07-01", "2024-07-01 06:00"),
        ("SHH", "Asia/Shanghai", "1d", "2024-12-31", "2024-12-31 07:00"),
        ("NMS", "America/New_York", "1d", "2024-03-29", "2024-03-30 04:00"),  # Good Friday: no session, so midnight
        ("SHH", "Asia/Shanghai", "1d", "2090-01-03", "2090-01-03 16:00"),  # beyond what the calendar knows
        ("CCC", "UTC", "1d", "2024-03-28", "2024-03-29 00:00"),
        ("CCY", "Europe/London", "1d", "2024-07-01", "2024-07-01 23:00"),
        ("XXX", "America/New_York", "1d", "2024-07-01", "2024-07-02 04:00"),
        ("NMS", "America/New_York", "1wk", "2024-07-01", "2024-07-08 04:00"),
        ("NMS", "America/New_York", "1mo", "2024-07-01", "2024-08-01 04:00"),
    ],
)
def test_a_bar_is_complete_at_the_close_of_its_exchange(exchange, zone, interval, day, closes):
    meta = {"exchange": exchange, "timezone": zone}
    assert client.closes(pd.Timestamp(day), meta, interval) == pd.Timestamp(closes, tz="UTC")


@pytest.mark.parametrize("exchange", ["CMX", "NMS"])
def test_a_bar_of_a_day_that_has_not_begun_is_a_wrong_clock_but_where_trade_begins_on_the_evening_before(
    stage, exchange
):
    stage.server.listings["ACME"] = listing(exchange=exchange)
    stage.at("2024-03-27 23:00")  # seven in the evening in New York
    stage.server.today = date(2024, 3, 28)
    if exchange == "CMX":
        assert sources.load("yahoo:ACME").index[-1] == pd.Timestamp("2024-03-26")  # these end at midnight
        return
    with pytest.raises(SourceError, match=r"one of 2024-03-28, when the clock of this machine says 2024-03-27 23:00"):
        sources.load("yahoo:ACME")
    assert stage.store.entries("ACME", "1d") == []


def test_a_split_of_a_session_still_open_is_undone_in_the_rows_before(stage):
    stage.at(f"{SPLIT_DAY} 15:00")
    frame = sources.load("yahoo:ACME")
    assert frame.index[-1] == pd.Timestamp(SESSIONS[19])
    assert frame["Close"].tolist() == pytest.approx(range(400, 420))
    assert "were undone" in frame.attrs["notes"][0]


def test_rows_without_any_value_are_dropped_and_said_and_their_dividend_is_kept(stage):
    one = stage.server.listings["ACME"]
    for place in (4, 12):  # a dividend is due on the day after the one, and on the other itself
        one.rows[place] = (SESSIONS[place], None, None, None, None, None)
    frame = sources.load("yahoo:ACME", end=str(CUT_DAY))
    assert len(frame) == 14
    assert frame["Dividends"][pd.Timestamp(SESSIONS[13])] == pytest.approx(3.0)
    assert frame["Adj Close"].iloc[0] == pytest.approx(400 * (1 - 2 / 403) * (1 - 3 / 411), rel=1e-6)
    assert any(f"2 rows without any value were dropped, the first is {SESSIONS[4]}" in n for n in frame.attrs["notes"])


def test_weekly_bars_are_read_without_the_week_that_is_not_over(stage):
    stage.server.listings["ACME"] = listing(days=SESSIONS[4::5], splits={})  # Mondays
    stage.at("2024-03-22 22:00")
    frame = sources.load("yahoo:ACME?interval=1wk")
    assert frame.index[-1] == pd.Timestamp("2024-03-11")
    assert "calendar" not in frame.attrs
    assert stage.server.charts("ACME")[0]["interval"] == "1wk"


# The store


def test_every_answer_is_kept_and_read_back_offline_without_a_network(stage, monkeypatch):
    online = sources.load("yahoo:ACME?start=2024-02-26")
    monkeypatch.setenv("FORECAST_YAHOO_URL", "http://127.0.0.1:9")
    offline = sources.load("yahoo:ACME?start=2024-02-26&offline=true")
    pd.testing.assert_frame_equal(online, offline)
    assert offline.attrs["notes"] == ["ACME: read from the store as Yahoo answered on 2024-03-28 21:00 UTC."]
    later = sources.load("yahoo:ACME?start=2024-03-11&end=2024-03-15&offline=true")
    assert later.index.tolist() == list(pd.bdate_range("2024-03-11", "2024-03-15"))


def test_answers_fetched_in_pieces_are_joined_across_a_split(stage):
    stage.at(f"{CUT_DAY} 22:00")
    sources.load("yahoo:ACME")
    stage.at("2024-03-28 22:00")
    whole = sources.load("yahoo:ACME", store=stage.folder / "other")
    sources.load(f"yahoo:ACME?start={SESSIONS[14]}")
    pd.testing.assert_frame_equal(sources.load("yahoo:ACME?offline=1"), whole, rtol=2e-7)


def test_offline_says_what_is_missing_before_the_first_answer_and_between_two(stage):
    with pytest.raises(SourceError, match=r"none for ACME in .*yahoo.*without offline"):
        sources.load("yahoo:ACME", offline=True)
    stage.at(f"{SESSIONS[8]} 22:00")
    sources.load("yahoo:ACME?start=2024-02-26")
    stage.at("2024-03-28 22:00")
    sources.load(f"yahoo:ACME?start={SESSIONS[18]}")
    with pytest.raises(SourceError, match=rf"knows it from {SESSIONS[18]} without a gap"):
        sources.load("yahoo:ACME?start=2024-02-26&offline=true")


def test_a_changed_value_is_recorded_and_said_once_and_a_split_is_not_a_change(stage):
    stage.at(f"{CUT_DAY} 22:00")
    first = sources.load("yahoo:ACME")
    stage.at("2024-03-27 22:00")  # a split since
    assert "differ" not in " ".join(sources.load("yahoo:ACME").attrs["notes"])
    rows = stage.server.listings["ACME"].rows
    rows[7] = (*rows[7][:4], 410.0, rows[7][5])
    stage.at("2024-03-28 22:00")
    note = sources.load("yahoo:ACME").attrs["notes"][0]
    assert "1 values of 1 rows differ from Yahoo's answer of 2024-03-27, as traded" in note
    assert f"the first is Close of {SESSIONS[7]}, 407 before, 410 now" in note
    assert sources.load("yahoo:ACME").attrs["notes"] == []
    found = stage.store.revisions()
    assert found[["symbol", "column"]].to_numpy().tolist() == [["ACME", "Close"]]
    assert found[["before", "after"]].iloc[0].tolist() == pytest.approx([407, 410])
    assert stage.store.revisions(as_of=pd.Timestamp("2024-03-28", tz="UTC")).empty
    assert first["Close"].iloc[7] == pytest.approx(407)


def test_as_of_reads_what_was_known_then(stage):
    for clock in ("2024-03-12 22:00", "2024-03-13 22:00"):
        stage.at(clock)
        sources.load("yahoo:ACME")
    frame = sources.load("yahoo:ACME?as_of=2024-03-13T21:59")
    assert frame.index[-1] == pd.Timestamp("2024-03-12")
    assert len(stage.store.entries("ACME", "1d")) == 2
    with pytest.raises(
        SourceError, match=r"whose earliest is of 2024-03-12 22:00 UTC.*\?as_of=2024-03-12T22:00 behind"
    ):
        sources.load("yahoo:ACME?as_of=2024-03-12T21:59")


def test_as_of_a_day_is_what_was_known_at_its_end_and_later_answers_change_nothing(stage):
    stage.at("2024-03-12 22:00")
    then = sources.load("yahoo:ACME")
    stage.at("2024-03-28 22:00")  # a split, a dividend, and a correction later
    rows = stage.server.listings["ACME"].rows
    rows[7] = (*rows[7][:4], 410.0, rows[7][5])
    now = sources.load("yahoo:ACME?end=2024-03-12")
    asked = len(stage.server.requests)
    for day in ("2024-03-12", date(2024, 3, 20), "2024-03-28T17:59-04:00"):
        pd.testing.assert_frame_equal(sources.load("yahoo:ACME", as_of=day), then)
    assert len(stage.server.requests) == asked
    assert (then["Close"] != now["Close"]).sum() == 1  # `end` cuts rows, not knowledge
    with pytest.raises(NoData, match="as of 2024-03-11 23:59 UTC needs an answer that had come by then"):
        sources.load("yahoo:ACME?as_of=2024-03-11")


def test_as_of_a_time_that_is_not_past_asks_yahoo(stage):
    frame = sources.load("yahoo:ACME?as_of=2024-03-28")
    assert frame.index[-1] == pd.Timestamp("2024-03-28")
    assert len(stage.store.entries("ACME", "1d")) == 1


def test_as_of_before_anything_was_loaded_says_so(stage):
    with pytest.raises(NoData, match=r"as of 2024-03-12 23:59 UTC needs.*none for ACME in .*Load it once"):
        sources.load("yahoo:ACME?as_of=2024-03-12")
    assert stage.server.requests == []


def test_symbols_without_rows_can_be_skipped_and_are_named(stage):
    stage.server.listings["ZETA"] = listing("ZETA")
    frame = sources.load("yahoo:GONE,ACME,NOPE,ZETA?missing=skip")
    assert frame["unique_id"].unique().tolist() == ["ACME", "ZETA"]
    assert list(frame.attrs["missing"]) == ["GONE", "NOPE"]
    assert frame.attrs["missing"]["GONE"].startswith("Yahoo knows no symbol 'GONE'")
    alone = sources.load("yahoo:GONE,ACME", missing="skip")
    assert alone["unique_id"].unique().tolist() == ["ACME"]  # a long frame still: its name would be lost
    assert stage.pauses == [0.5] * 4


def test_skipping_needs_one_symbol_that_came_and_a_source_that_works(stage):
    with pytest.raises(NoData, match=r"knows no symbol 'NOPE'.*Of the 2 symbols asked for, none succeeded"):
        sources.load("yahoo:GONE,NOPE?missing=skip")
    with pytest.raises(NoData, match="knows no symbol 'GONE'"):
        sources.load("yahoo:GONE", missing="skip")
    stage.server.script["ZETA"] = [error_page(429, "Too Many Requests")]
    stage.server.sticky.add("ZETA")
    with pytest.raises(RateLimited):
        sources.load("yahoo:ACME,ZETA?missing=skip")
    stage.server.script["ZETA"] = [PAGES["maintenance"]]
    with pytest.raises(SourceError, match="ZETA could not be read") as caught:
        sources.load("yahoo:ACME,ZETA?missing=skip")
    assert not isinstance(caught.value, NoData)


def test_an_answer_young_enough_is_not_asked_for_again(stage):
    sources.load("yahoo:ACME?start=2024-03-01")
    stage.now += pd.Timedelta(minutes=30)
    sources.load("yahoo:ACME?start=2024-03-04&max_age=60")
    assert len(stage.server.charts("ACME")) == 1
    sources.load("yahoo:ACME?start=2024-02-26&max_age=60")  # reaches further back
    sources.load("yahoo:ACME?start=2024-03-04&max_age=0")
    assert len(stage.server.charts("ACME")) == 3


def test_two_answers_of_the_same_moment_are_both_kept(stage):
    sources.load("yahoo:ACME")
    sources.load("yahoo:ACME")
    assert len(stage.store.entries("ACME", "1d")) == 2


def test_a_write_that_is_cut_short_leaves_nothing_behind(stage, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        sources.load("yahoo:ACME")
    assert [path for path in stage.folder.rglob("*") if path.is_file()] == []


def test_a_damaged_snapshot_is_named(stage):
    sources.load("yahoo:ACME")
    stage.store.entries("ACME", "1d")[0].path.write_bytes(b"PAR1 torn")
    with pytest.raises(SourceError, match=r"Received: .*_max\.parquet .* Move the file away"):
        sources.load("yahoo:ACME?offline=true")


@pytest.mark.parametrize("symbol", ["^GSPC", "GC=F", "BRK-B", "CON", "../x", "..", "/etc/x", "a b\\c", "M&M.NS"])
def test_any_symbol_is_one_folder_inside_the_store(tmp_path, symbol):
    store = SnapshotStore(tmp_path / "store")
    rows = pd.DataFrame(1.0, index=pd.DatetimeIndex(["2024-01-02"], dtype="datetime64[ns]"), columns=COLUMNS)
    store.add(Answer(symbol, "1d", EVER, pd.Timestamp("2024-01-03", tz="UTC"), {"exchange": "NMS"}, rows))
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.resolve().parents[2] == (tmp_path / "store").resolve()
    assert store.history(symbol, "1d").newest.meta == {"exchange": "NMS"}


# What goes wrong


def error_page(status, text, kind="text/html"):
    return (status, kind, text)


PAGES = {
    "maintenance": error_page(200, "<html><body>Will be right back...</body></html>"),
    "garbage": error_page(200, '{"chart": {"result": [{"meta"', "application/json"),
    "another JSON": error_page(200, '{"hello": "world"}', "application/json"),
    "half an answer": error_page(
        200, '{"chart": {"result": [{"meta": {"exchangeTimezoneName": "UTC"}}], "error": null}}'
    ),
    "bad gateway": error_page(502, "<html>Bad Gateway</html>"),
    "unauthorized": error_page(401, '{"finance": {"result": null, "error": {"code": "Unauthorized"}}}'),
}


def never(stage, page):
    stage.server.script["ACME"] = [page]
    stage.server.sticky.add("ACME")


def test_an_unknown_symbol_is_said_to_be_unknown_each_time(stage):
    for symbol in ("NOPEA", "NOPEB", "NOPEC"):  # yfinance 1.7 fails differently from the third on
        with pytest.raises(SourceError, match=rf"knows no symbol '{symbol}'.*finance\.yahoo\.com"):
            sources.load(f"yahoo:{symbol}?start=2024-01-01")


def test_a_symbol_that_is_delisted_after_its_time_zone_was_learnt_is_unknown_too(stage):
    query = {"interval": "1d", "range": "1d"}
    zone = stage.server.chart("ACME", query)
    gone = {"chart": {"result": None, "error": yahoo_server.UNKNOWN[1]}}
    stage.server.script["ACME"] = [error_page(*(zone[0], json.dumps(zone[1]))), error_page(404, json.dumps(gone))]
    stage.server.sticky.add("ACME")
    with pytest.raises(SourceError, match="knows no symbol 'ACME'"):
        sources.load("yahoo:ACME")


@pytest.mark.parametrize("days", [[date(2030, 1, 2)], []], ids=["400", "200 without rows"])
def test_a_range_without_rows_is_a_source_error_and_never_an_empty_frame(stage, days):
    stage.server.listings["ACME"] = listing(days=days or SESSIONS, splits={}, dividends={})
    stage.server.today = date(2030, 1, 3)
    with pytest.raises(SourceError, match="Yahoo has no rows of ACME from 2024-12-01 on"):
        sources.load("yahoo:ACME?start=2024-12-01")
    assert stage.store.entries("ACME", "1d") == []


def test_a_range_between_two_rows_says_which_rows_there_are(stage):
    with pytest.raises(
        SourceError, match=r"from 2024-03-02 to 2024-03-03\. Received: rows from 2024-03-04 to 2024-03-28"
    ):
        sources.load("yahoo:ACME?start=2024-03-02&end=2024-03-03")


def test_too_many_requests_are_answered_with_growing_pauses_until_it_works(stage):
    stage.server.script["ACME"] = [error_page(429, "Too Many Requests")] * 4  # yfinance asks twice per try
    assert len(sources.load("yahoo:ACME")) == len(SESSIONS)
    assert len(stage.pauses) == 2
    for pause, planned in zip(stage.pauses, client.BACKOFF, strict=False):
        assert planned * 0.5 <= pause <= planned * 1.5


def test_too_many_requests_for_ever_end_as_rate_limited_with_its_own_exit_code(stage):
    never(stage, error_page(429, "Edge: Too Many Requests"))
    with pytest.raises(RateLimited, match=r"HTTP 429.*all 4 tries.*offline=true") as caught:
        sources.load("yahoo:ACME")
    assert caught.value.exit_code == 75
    assert len(stage.pauses) == 3


def test_a_dead_network_is_said_to_be_dead_and_points_to_the_store(stage, monkeypatch):
    with yahoo_server.YahooServer() as gone:
        pass
    monkeypatch.setenv("FORECAST_YAHOO_URL", gone.url)
    with pytest.raises(SourceError, match=r"could not be reached for ACME.*offline=true"):
        sources.load("yahoo:ACME")
    assert stage.pauses == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_no_answer_is_said_to_be_unreadable_and_is_not_remembered(stage, name):
    never(stage, PAGES[name])
    with pytest.raises(SourceError, match=r"answer of http://127\.0\.0\.1:\d+ for ACME could not be read"):
        sources.load("yahoo:ACME")
    stage.server.script.clear()
    assert len(sources.load("yahoo:ACME")) == len(SESSIONS)


@pytest.mark.parametrize("name", PAGES)
def test_the_same_page_in_place_of_the_prices_is_unreadable_too(stage, name):
    status, body = stage.server.chart("ACME", {"range": "1d"})
    stage.server.script["ACME"] = [error_page(status, json.dumps(body)), PAGES[name]]
    stage.server.sticky.add("ACME")
    with pytest.raises(SourceError, match="for ACME could not be read"):
        sources.load("yahoo:ACME")


def test_when_one_of_several_fails_all_fail_and_the_rest_is_cheap(stage):
    stage.server.listings["ZETA"] = listing("ZETA")
    with pytest.raises(
        SourceError, match=r"'NOPE'.*Of the 3 symbols asked for, ACME succeeded; ZETA not asked.*max_age"
    ):
        sources.load("yahoo:ACME,NOPE,ZETA")
    sources.load("yahoo:ACME,ZETA?max_age=60")
    assert (len(stage.server.charts("ACME")), len(stage.server.charts("ZETA"))) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("yahoo:", "A Yahoo symbol consists of letters"),
        ("yahoo:AAPL,,MSFT", "A Yahoo symbol consists of letters"),
        ("yahoo:../x", "A Yahoo symbol consists of letters"),
        ("yahoo:ACME?start=soon", r"`start` must be a date such as 2015-01-31\. Received: 'soon'"),
        ("yahoo:ACME?start=2024-03-02&end=2024-03-01", "`start` must not lie after `end`"),
        ("yahoo:ACME?interval=1m", "`interval` must be one of '1d', '1wk' or '1mo'"),
        ("yahoo:ACME?adjust=all", "`adjust` must be one of"),
        ("yahoo:ACME?offline=perhaps", "`offline` must be true or false"),
        ("yahoo:ACME?max_age=-1", "`max_age` must be a number >= 0"),
        ("yahoo:ACME?stat=2015-01-01", "no option 'stat'. Did you mean 'start'"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_asked(stage, asked, said):
    with pytest.raises(ConfigError, match=said):
        sources.load(asked)
    assert stage.server.requests == []


@pytest.mark.parametrize("url", ["http://yahoo.example", "http://10.0.0.1:80", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_only_https_or_this_machine_may_stand_in_for_yahoo(stage, monkeypatch, url):
    monkeypatch.setenv("FORECAST_YAHOO_URL", url)
    with pytest.raises(ConfigError, match="FORECAST_YAHOO_URL must be https"):
        sources.load("yahoo:ACME")


def test_a_password_in_the_address_is_refused_and_not_printed(monkeypatch):
    monkeypatch.setenv("FORECAST_YAHOO_URL", "https://me:secret@yahoo.example")
    with pytest.raises(ConfigError, match="without a path or a password") as caught:
        client.endpoint()
    assert "secret" not in str(caught.value)
    for fine in ("https://yahoo.example:8443", "http://localhost:80", "http://[::1]:80/"):
        monkeypatch.setenv("FORECAST_YAHOO_URL", fine)
        assert client.endpoint() == fine.rstrip("/")


def test_every_request_says_which_of_yahoos_hosts_was_meant(stage):
    sources.load("yahoo:ACME")
    hosts = {host for host, _, _ in stage.server.requests}
    assert hosts == {"fc.yahoo.com", "query1.finance.yahoo.com", "query2.finance.yahoo.com"}


def test_yfinance_is_left_as_it_was_found(stage):
    import logging

    import yfinance as yf

    session = yf.data.YfData()._session
    sources.load("yahoo:ACME")
    with pytest.raises(SourceError):
        sources.load("yahoo:NOPE")
    assert yf.config.debug.hide_exceptions is True
    assert yf.data.YfData()._session is session
    assert logging.getLogger("yfinance").level == logging.NOTSET


# Against what Yahoo and others published


@pytest.mark.shared_data
def test_every_recorded_answer_of_yahoo_is_read(recorded):
    for symbol, bodies in recorded.server.recorded.items():
        for body in bodies:
            result = body["chart"]["result"][0]
            days = pd.to_datetime(result["timestamp"], unit="s", utc=True).tz_convert(
                result["meta"]["exchangeTimezoneName"]
            )
            recorded.server.recorded = {symbol: [body]}
            frame = sources.load(f"yahoo:{symbol}", start=str(days[0].date()))
            assert frame.index.tolist() == list(days.tz_localize(None).normalize())
            later = float(
                np.prod([e["numerator"] for e in result.get("events", {}).get("splits", {}).values()] or [1.0])
            )
            assert later in (1.0, 4.0)
            np.testing.assert_allclose(frame["Close"], result["indicators"]["quote"][0]["close"])


@pytest.mark.shared_data
def test_adjusted_closes_agree_with_yahoos_own_for_microsoft(recorded):
    frame = sources.load("yahoo:MSFT?start=2021-02-01")
    result = recorded.server.recorded["MSFT"][0]["chart"]["result"][0]
    assert (frame["Dividends"] > 0).sum() == 4
    ratio = frame["Adj Close"] / result["indicators"]["adjclose"][0]["adjclose"]
    assert ratio.iloc[0] > 1.01  # Yahoo's hold later dividends too, which scale all rows alike
    np.testing.assert_allclose(ratio / ratio.iloc[-1], 1.0, rtol=2e-6)


@pytest.mark.shared_data
@pytest.mark.parametrize("symbol", ["AAPL", "SPY"])
def test_prices_as_of_the_last_row_of_a_file_are_the_files_own(recorded, shared_data, symbol):
    recorded.server.recorded = {}
    file = pd.read_csv(shared_data / f"stocks/{symbol}.csv.gz", index_col="Date", parse_dates=True)
    frame = sources.load(f"yahoo:{symbol}")
    assert frame.index.tolist() == file.index.tolist()
    for column in PRICES:
        np.testing.assert_allclose(frame[column], file[column], rtol=2e-7)
    np.testing.assert_allclose(frame["Adj Close"] / frame["Close"], file["Adj Close"] / file["Close"], rtol=2e-4)
    np.testing.assert_allclose(frame["Volume"], file["Volume"], atol=7)


@pytest.mark.shared_data
def test_raw_closes_of_apple_are_those_another_collector_recorded(recorded, shared_data):
    recorded.server.recorded = {}
    other = pd.read_csv(shared_data / "stocks/us_daily_6tickers.csv.gz", parse_dates=["Date"])
    other = other[other["Ticker"] == "AAPL"].set_index("Date")["Close"]
    frame = sources.load("yahoo:AAPL?start=2005-01-03&end=2014-06-06")
    same = frame.index.intersection(other.index)
    assert len(same) > 2300
    off = (frame["Raw"][same] / other[same] - 1).abs()
    assert off.median() < 1e-5
    assert (off < 0.005).mean() > 0.99  # the closes of two collectors, not of two split bases
    assert frame["Close"].iloc[-1] == pytest.approx(645.57, abs=0.01)  # the Friday before 7:1
    assert frame["Volume"].iloc[-1] == pytest.approx(12.5e6, rel=0.05)


@pytest.mark.shared_data
def test_the_server_can_be_started_as_a_program(recorded, shared_data, monkeypatch):
    command = [sys.executable, str(HERE / "yahoo_server.py"), "--port", "0", "--data", str(shared_data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            name, _, url = program.stdout.readline().strip().partition("=")
            monkeypatch.setenv(name, url)
            frame = sources.load("yahoo:AIG?start=2009-06-26&end=2009-07-02")
        finally:
            program.terminate()
    assert frame["Stock Splits"].tolist() == [0, 0, 0, pytest.approx(0.05), 0]
    assert frame["Raw"].iloc[2] * 20 == pytest.approx(frame["Close"].iloc[2])
