"""Future stamps come from the calendar: compared with pandas and exchange_calendars, asked directly."""

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.calendars import DAY, Calendar
from pipelines.errors import ConfigError
from pipelines.freq import infer, suggest

# exchange_calendars asks pandas for something that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

FREQS = ["s", "30s", "min", "5min", "15min", "h", "3h", "D", "2D", "B", "W-MON", "2W-SUN", "MS", "ME", "2MS", "QS-JAN"]
FREQS += ["QE-DEC", "YS-JAN", "YE-DEC", "BME", "BMS"]
ZONES = ["", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]


def ns(index):
    return pd.DatetimeIndex(index).as_unit("ns").asi8


def stamps(freq, zone="", rows=300, start="2019-12-28"):
    return ns(pd.date_range(start, periods=rows, freq=freq, tz=zone or None))


def sessions(code, start, end):
    return exchange_calendars.get_calendar(code, start=start, end=end).sessions


# Frequencies


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("freq", FREQS)
def test_the_next_stamps_and_those_between_are_those_of_pandas(freq, zone):
    due = stamps(freq, zone, 200)  # over at least one clock change where rows are a day or more apart
    calendar = Calendar(freq, zone)
    after, provisional = calendar.after(int(due[9]), 190)
    np.testing.assert_array_equal(after, due[10:])
    np.testing.assert_array_equal(calendar.between(int(due[0]), int(due[-1])), due)
    assert not provisional


@pytest.mark.parametrize("freq", ["h", "15min"])
def test_hours_are_counted_through_a_clock_change(freq):
    due = stamps(freq, "America/New_York", start="2024-03-10", rows=200)  # 2 o'clock is missing
    np.testing.assert_array_equal(Calendar(freq, "America/New_York").after(int(due[0]), 199)[0], due[1:])


@pytest.mark.parametrize("start", ["2024-03-08", "2024-11-01"])
@pytest.mark.parametrize("clock", ["00:00", "16:00"])
def test_daily_rows_keep_their_hour_over_a_clock_change(start, clock):
    index = pd.date_range(f"{start} {clock}", periods=7, tz="America/New_York")
    calendar = Calendar("D", "America/New_York")
    after, _ = calendar.after(ns(index)[0], 6)
    assert calendar.stamps(after).tolist() == index[1:].tz_localize(None).tolist()
    assert set(np.diff(after)) != {DAY}  # one day has 23 or 25 hours
    np.testing.assert_array_equal(calendar.between(int(ns(index)[0]), int(after[-1])), ns(index))


def test_a_midnight_that_a_clock_change_skips_is_one_o_clock():
    index = pd.date_range("2018-11-02", periods=4)  # São Paulo's clocks were put forward at midnight of the 4th
    due = index.tz_localize("America/Sao_Paulo", nonexistent="shift_forward")
    after, _ = Calendar("D", "America/Sao_Paulo").after(int(ns(due)[0]), 3)
    np.testing.assert_array_equal(after, ns(due)[1:])


@given(first=st.integers(-50, 50), rows=st.integers(0, 50))
def test_integers_are_counted(first, rows):
    after, provisional = Calendar("").after(first, rows)
    assert (after.tolist(), provisional) == (list(range(first + 1, first + 1 + rows)), False)
    assert Calendar("").between(first, first + rows).tolist() == list(range(first, first + rows + 1))
    assert Calendar("").stamps(after) is after


@given(seconds=st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=20), zone=st.sampled_from(ZONES))
def test_the_wall_clock_is_that_of_pandas(seconds, zone):
    ds = np.array(seconds) * 10**9
    index = pd.DatetimeIndex(ds, tz="UTC").tz_convert(zone or "UTC").tz_localize(None)
    assert Calendar("h", zone).stamps(ds).tolist() == index.tolist()


@given(day=st.integers(-10_000, 20_000), zone=st.sampled_from(ZONES), hour=st.integers(4, 23))
def test_local_and_utc_undo_each_other(day, zone, hour):
    local = np.array([day * DAY + hour * DAY // 24])  # clocks change before 4 o'clock
    calendar = Calendar("D", zone)
    np.testing.assert_array_equal(calendar.local(calendar.utc(local)), local)


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        *[("", 1), ("h", 24), ("30min", 48), ("5min", 288), ("7min", 1), ("2h", 12), ("D", 7), ("2D", 1), ("B", 5)],
        *[("XNYS", 5), ("W-MON", 52), ("2W-MON", 1), ("MS", 12), ("ME", 12), ("BME", 12), ("2MS", 6), ("12MS", 1)],
        *[("QS-OCT", 4), ("QE-DEC", 4), ("YS-JAN", 1)],
    ],
)
def test_a_season_has_as_many_rows_as_people_expect(code, rows):
    assert Calendar(code).season_length == rows


@pytest.mark.parametrize("code", ["hourly", "XNYZ", "nonsense", "5"])
def test_an_unknown_code_is_refused_with_examples(code):
    with pytest.raises(ConfigError, match=f"'XNYS'. Received: '{code}'"):
        Calendar(code)


# Exchanges


@pytest.mark.parametrize("code", ["XNYS", "XSHG", "XLON", "XTKS"])
@pytest.mark.parametrize("clock", [0, 16])
def test_the_next_sessions_are_those_of_the_exchange(code, clock):
    due = ns(sessions(code, "2018-01-01", "2022-12-31")) + clock * DAY // 24
    calendar = Calendar(code)
    after, provisional = calendar.after(int(due[0]), 900)
    np.testing.assert_array_equal(after, due[1:901])
    np.testing.assert_array_equal(calendar.between(int(due[0]), int(due[-1])), due)
    assert not provisional


def test_a_holiday_is_no_session():
    thursday = pd.Timestamp("2024-03-28")
    after, _ = Calendar("XNYS").after(thursday.value, 2)  # Good Friday follows
    assert [str(day.date()) for day in pd.DatetimeIndex(after)] == ["2024-04-01", "2024-04-02"]


def test_sessions_are_counted_on_the_wall_clock_of_the_zone():
    index = sessions("XNYS", "2024-02-01", "2024-04-30").tz_localize(None) + pd.Timedelta("16h")
    due = ns(index.tz_localize("America/New_York"))
    after, _ = Calendar("XNYS", "America/New_York").after(int(due[0]), len(due) - 1)
    np.testing.assert_array_equal(after, due[1:])


@pytest.mark.parametrize("clock", [0, 15])
def test_beyond_the_end_of_a_calendar_weekdays_are_used_and_flagged(clock):
    bound = exchange_calendars.get_calendar("XSHG").bound_max()
    last = sessions("XSHG", bound - pd.Timedelta("30D"), bound)
    shift = clock * DAY // 24
    calendar = Calendar("XSHG")
    within, provisional = calendar.after(int(ns(last)[-3]) + shift, 2)
    assert (within.tolist(), provisional) == ((ns(last)[-2:] + shift).tolist(), False)
    beyond, provisional = calendar.after(int(ns(last)[-1]) + shift, 10)
    weekdays = ns(pd.bdate_range(bound + pd.Timedelta("1D"), periods=10)) + shift
    assert (beyond.tolist(), provisional) == (weekdays.tolist(), True)


def test_before_the_beginning_of_a_calendar_weekdays_are_used():
    first = exchange_calendars.get_calendar("XSHG").bound_min()
    lo, hi = first - pd.Timedelta("10D"), first + pd.Timedelta("20D")
    expected = [*pd.bdate_range(lo, first - pd.Timedelta("1D")), *sessions("XSHG", first, hi)]
    assert Calendar("XSHG").between(lo.value, hi.value).tolist() == [day.value for day in expected]


# What a frequency is


def means(code, freq, zone=""):
    """True where two codes make the same stamps."""
    ds = stamps(freq, zone, 60)
    return code is not None and np.array_equal(Calendar(code, zone).after(int(ds[0]), 59)[0], ds[1:])


@pytest.mark.parametrize("zone", ["", "America/New_York"])
@pytest.mark.parametrize("freq", FREQS)
def test_complete_stamps_tell_their_frequency(freq, zone):
    assert means(infer(stamps(freq, zone, 60), zone), freq, zone)


@pytest.mark.parametrize("zone", ["", "America/New_York"])
@pytest.mark.parametrize("freq", [freq for freq in [*FREQS, "3D"] if freq not in ("BME", "BMS", "YS-JAN", "YE-DEC")])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_stamps_with_a_tenth_missing_tell_their_frequency(freq, zone, seed):
    keep = np.random.default_rng(seed).random(100) > 0.1
    assert means(infer(stamps(freq, zone, 100)[keep], zone), freq, zone)


@pytest.mark.parametrize("freq", ["s", "30s", "min", "5min", "15min", "h", "3h"])
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_stamps_that_jitter_by_a_fiftieth_tell_their_frequency(freq, seed):
    ds = stamps(freq, rows=100)
    step = int(ds[1] - ds[0])
    jitter = np.random.default_rng(seed).integers(-step // 50, step // 50, 100)
    assert infer(ds + jitter) == freq


@pytest.mark.parametrize(("seconds", "freq"), [(291, "5min"), (309, "5min"), (330, "330s"), (3650, "h")])
def test_a_sensor_a_little_slow_or_fast_has_a_usual_step(seconds, freq):
    assert infer(np.arange(100) * seconds * 10**9) == freq


def test_weekdays_are_told_from_days_only_over_a_weekend():
    monday = pd.Timestamp("2024-01-01")
    assert infer(ns(pd.date_range(monday, periods=5))) == "D"  # nobody knows yet
    assert infer(ns(pd.bdate_range(monday, periods=6))) == "B"
    assert infer(ns(sessions("XNYS", "2020-01-01", "2021-01-01"))) == "B"


@given(st.lists(st.integers(0, 400), min_size=2, max_size=30, unique=True), st.sampled_from(["", "Europe/Berlin"]))
def test_whatever_is_inferred_is_a_calendar(days, zone):
    ds = np.sort(np.array(days)) * DAY
    code = infer(ds, zone)
    assume(code is not None)
    assert len(Calendar(code, zone).after(int(ds[-1]), 3)[0]) == 3


@pytest.mark.parametrize("code", ["XNYS", "XSHG", "XTKS"])
def test_the_exchange_is_suggested_whose_sessions_fit(code):
    due = ns(sessions(code, "2017-01-01", "2019-12-31"))
    assert suggest(due) == (code, 1.0)
    missing = np.delete(due, [40, 300])
    found, fit = suggest(missing)
    assert (found, fit) == (code, pytest.approx(1 - 2 / len(due)))


def test_no_exchange_is_suggested_where_none_fits():
    assert suggest(ns(pd.bdate_range("2017-01-01", "2019-12-31"))) is None
    assert suggest(ns(sessions("XNYS", "2019-01-01", "2019-02-28"))) is None  # too few days to tell
    assert suggest(np.empty(0, np.int64)) is None
