"""Faults are repaired as the policy says, and every repair is reported."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.calendars import Calendar
from pipelines.cleaning import CleaningReport, CleaningSpec, clean, fill
from pipelines.errors import ConfigError, DataError
from pipelines.outliers import usual_range
from pipelines.panel import Panel
from pipelines.sources import load

# exchange_calendars asks pandas for something that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

NAN = float("nan")


def panel_of(stamps, values=None, freq="h", **options):
    index = pd.DatetimeIndex(stamps)
    values = np.arange(float(len(index))) if values is None else values
    return Panel.from_frame(pd.DataFrame({"y": values}, index=index), freq=freq, **options)


def hours(*clock, day="2024-01-01"):
    return [f"{day} {text}" for text in clock]


def cleaned(panel, **settings):
    """Returns stamps as text, values, and what was reported."""
    result, report = clean(panel, CleaningSpec(**settings))
    return [str(stamp) for stamp in result.stamps_of(result.ds)], result.values[:, 0].tolist(), report


def test_nothing_to_clean_says_so_and_copies_nothing():
    panel = panel_of(hours("09:00", "10:00", "11:00"))
    result, report = clean(panel)
    assert result is panel
    assert (str(report), report.to_dict()) == ("Nothing to clean.", {"notes": [], "totals": {}, "findings": []})


# Duplicate stamps


@pytest.mark.parametrize(("policy", "kept"), [("first", 2), ("last", 8), ("mean", 5)])
def test_of_rows_with_one_stamp_the_policy_chooses(policy, kept):
    panel = panel_of(hours("09:00", "10:00", "10:00", "10:00", "11:00"), [1.0, 2.0, 5.0, 8.0, 9.0])
    stamps, values, report = cleaned(panel, duplicates=policy)
    assert (stamps, values) == (hours("09:00:00", "10:00:00", "11:00:00"), [1, kept, 9])
    which = {"first": "the first", "last": "the last", "mean": "their mean"}[policy]
    assert str(report) == f"series: 2 duplicate stamps (first at 2024-01-01 10:00:00): kept {which}."


def test_the_mean_of_duplicates_passes_over_what_is_missing():
    index = pd.DatetimeIndex(hours("09:00", "09:00", "10:00", "10:00"))
    frame = pd.DataFrame({"y": [1.0, NAN, NAN, NAN], "z": [1.0, 3.0, 5.0, NAN]}, index=index)
    result, _ = clean(Panel.from_frame(frame, freq="h"), CleaningSpec(duplicates="mean"))
    np.testing.assert_array_equal(result.values, [[1, 2], [NAN, 5]])


def test_duplicates_may_be_refused():
    panel = panel_of(hours("09:00", "10:00", "10:00"))
    with pytest.raises(DataError, match=r"1 duplicate stamps in series 'series', the first at 2024-01-01 10:00:00"):
        clean(panel, CleaningSpec(duplicates="error"))


def test_integer_stamps_may_hold_duplicates_too():
    panel = Panel.from_frame(pd.DataFrame({"ds": [3, 4, 4, 9], "y": [1.0, 2.0, 3.0, 4.0]}))
    result, report = clean(panel)
    assert (result.ds.tolist(), result.values[:, 0].tolist()) == ([3, 4, 9], [1, 3, 4])
    assert str(report) == "series: 1 duplicate stamp (first at 4): kept the last."


# Gaps


def test_a_gap_becomes_rows_of_nothing_on_the_calendar():
    stamps, values, report = cleaned(panel_of(hours("09:00", "10:00", "13:00", "15:00")))
    assert stamps == hours("09:00:00", "10:00:00", "11:00:00", "12:00:00", "13:00:00", "14:00:00", "15:00:00")
    np.testing.assert_array_equal(values, [0, 1, NAN, NAN, 2, NAN, 3])
    assert str(report) == (
        "series: 3 missing rows (first at 2024-01-01 11:00:00, longest gap 2 rows): put in as missing; inputs take the "
        "last value."
    )


@given(st.sets(st.integers(0, 60), min_size=2), st.sampled_from(["h", "D", "W-MON", "MS", "XNYS"]))
def test_the_rows_put_in_are_exactly_those_that_were_due(kept, freq):
    due = pd.DatetimeIndex(Calendar(freq).after(pd.Timestamp("2019-12-30").value, 61)[0])
    index = due[sorted(kept)]
    result, report = clean(panel_of(index, freq=freq))
    whole = due[min(kept) : max(kept) + 1]
    assert pd.DatetimeIndex(result.ds).tolist() == whole.tolist()
    np.testing.assert_array_equal(np.isnan(result.values[:, 0]), ~whole.isin(index))
    assert sum(report.to_dict()["totals"].values()) == len(whole) - len(index)


def test_a_gap_may_be_refused_or_left():
    panel = panel_of(hours("09:00", "10:00", "13:00"))
    with pytest.raises(DataError, match=r"every h stamp. Received: 2 missing, the first at 2024-01-01 11:00:00"):
        clean(panel, CleaningSpec(gaps="error"))
    stamps, values, report = cleaned(panel, gaps="keep")
    assert (stamps, values) == (hours("09:00:00", "10:00:00", "13:00:00"), [0, 1, 2])
    assert str(report).endswith("longest gap 2 rows): rows stay adjacent.")


def test_weekday_rows_stay_adjacent_because_their_missing_days_are_mostly_holidays():
    index = pd.bdate_range("2024-01-01", "2024-03-01").drop("2024-01-15")
    result, report = clean(panel_of(index, freq="B"))
    assert len(result) == len(index)
    assert "1 missing row (first at 2024-01-15, longest gap 1 rows): rows stay adjacent." in str(report)


def test_a_holiday_never_becomes_a_row_and_a_missing_session_does():
    index = pd.bdate_range("2024-03-25", "2024-04-05").drop("2024-03-29").drop("2024-04-03")  # the first: Good Friday
    result, report = clean(panel_of(index, freq="XNYS"))
    days = [str(day.date()) for day in result.stamps_of(result.ds)]
    assert days == [f"2024-03-{d}" for d in (25, 26, 27, 28)] + [f"2024-04-0{d}" for d in (1, 2, 3, 4, 5)]
    assert np.flatnonzero(np.isnan(result.values[:, 0])).tolist() == [6]
    assert "1 missing session (first at 2024-04-03" in str(report)


@pytest.mark.parametrize(("freq", "what"), [("XNYS", "no session of XNYS"), ("B", "not on the B step")])
def test_rows_that_are_not_due_are_kept_and_named(freq, what):
    index = pd.date_range("2024-01-01" if freq == "B" else "2024-01-02", "2024-01-12")  # with a weekend
    result, report = clean(panel_of(index, freq=freq))
    assert len(result) == len(index)
    assert str(report) == f"series: 2 rows that are {what} (first at 2024-01-06): kept."


def test_an_exchange_is_suggested_for_weekday_rows_with_its_holidays():
    due = pd.DatetimeIndex(Calendar("XNYS").between(*(pd.Timestamp(day).value for day in ("2020-01-02", "2023-12-29"))))
    _, report = clean(panel_of(due, freq="B"))
    assert report.notes == [
        "The days of series fit the sessions of XNYS to 100.0%: consider calendar='XNYS', so that its holidays are "
        "known."
    ]


def test_a_day_of_25_hours_has_no_gap():
    index = pd.date_range("2024-10-30", "2024-11-06", tz="America/New_York")
    for freq, stamps in {"D": index, "h": pd.date_range(index[0], index[-1], freq="h")}.items():
        result, report = clean(panel_of(stamps, freq=freq))
        assert (len(result), str(report)) == (len(stamps), "Nothing to clean.")


@pytest.mark.parametrize("freq", ["s", "D"])
def test_a_freq_that_asks_for_absurdly_many_rows_is_refused_and_the_advice_helps(freq):
    index = ["1970-01-01", "2024-01-01", "2024-01-02", "2024-01-03"]  # a clock that was not set yet
    panel = panel_of(index, freq=freq)
    with pytest.raises(DataError, match=rf"has 4 rows, and [\d,]+ more are due on freq '{freq}' \(the first at 1970-"):
        clean(panel)
    result, report = clean(panel, CleaningSpec(gaps="keep"))
    assert len(result) == 4
    due = int((pd.Timestamp(index[-1]) - pd.Timestamp(index[0])) / pd.Timedelta(1, freq)) + 1
    assert report.to_dict()["totals"] == {"missing rows": due - 4}


# Jitter


@pytest.mark.parametrize("phase", ["0min", "15min", "30min", "7min"])
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.3, 1.0]))
def test_stamps_beside_their_step_are_moved_onto_it(phase, seed, share):
    if phase == "7min" and share == 1:
        return  # nothing says that 7 is meant
    random = np.random.default_rng(seed)
    due = pd.date_range("2024-01-01", periods=80, freq="h") + pd.Timedelta(phase)
    late = np.where(random.random(80) < share, random.integers(-240, 241, 80), 0)
    result, report = clean(panel_of(due + pd.to_timedelta(late, unit="s")))
    assert result.stamps_of(result.ds).tolist() == due.tolist()
    assert report.to_dict()["totals"] == ({"stamps beside their step": np.count_nonzero(late)} if late.any() else {})


def test_moved_stamps_say_how_far_they_were_off():
    stamps, _, report = cleaned(panel_of(hours("09:00:00", "10:00:00", "11:00:02", "12:00:00")))
    assert stamps == hours("09:00:00", "10:00:00", "11:00:00", "12:00:00")
    assert str(report) == "series: 1 stamp beside their step (by up to 2 s): moved onto the h step."


# Values


def test_infinite_values_are_taken_as_missing_and_both_are_counted():
    index = pd.DatetimeIndex(hours("09:00", "10:00", "11:00"))
    frame = pd.DataFrame({"y": [np.inf, 1.0, -np.inf], "z": [1.0, NAN, 2.0], "w": 0.0}, index=index)
    result, report = clean(Panel.from_frame(frame, freq="h"))
    np.testing.assert_array_equal(result.values, [[NAN, 1, 0], [1, NAN, 0], [NAN, 2, 0]])
    assert str(report).splitlines() == [
        "series: 2 infinite values (in y): taken as missing.",
        "series: 3 missing values (in y, z): left missing; windows use them only where filled.",
    ]


columns_with_gaps = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 25), st.integers(1, 3)), elements=st.integers(0, 9) | st.just(NAN)
)


@given(values=columns_with_gaps, limit=st.integers(0, 6))
def test_filling_forward_is_that_of_pandas(values, limit):
    filled = fill(values, "ffill", limit)
    frame = pd.DataFrame(values)
    np.testing.assert_array_equal(filled, frame.ffill(limit=limit) if limit else frame)
    assert filled.dtype == np.float32


@given(values=columns_with_gaps, limit=st.integers(0, 6))
def test_lines_are_those_of_pandas_across_gaps_within_the_limit(values, limit):
    filled = fill(values, "interpolate", limit)
    frame = pd.DataFrame(values, dtype=float)
    missing = frame.isna()
    run = missing.apply(lambda column: column.groupby((~column).cumsum()).transform("sum"))
    line = frame.interpolate(limit_area="inside")
    np.testing.assert_allclose(filled, frame.where(~missing | (run > limit), line), rtol=1e-6)
    assert filled.dtype == np.float32


@pytest.mark.parametrize("policy", ["keep", "error"])
def test_other_policies_fill_nothing(policy):
    values = np.array([[1.0], [NAN], [2.0]])
    assert fill(values, policy, 24) is values


@given(values=hnp.arrays(np.float64, (40, 2), elements=st.integers(-100, 100)), factor=st.sampled_from([1.5, 10.0]))
def test_the_usual_range_is_tukeys_fence(values, factor):
    low, high = usual_range(values, factor)
    for c in range(2):
        column = np.sort(values[:, c])
        spread = column[30] - column[10] or np.std(column)
        assert (low[c], high[c]) == pytest.approx((column[10] - factor * spread, column[30] + factor * spread))


def test_the_usual_range_passes_over_what_is_missing():
    values = np.column_stack([np.append(np.arange(9.0), NAN), np.full(10, NAN)])
    np.testing.assert_array_equal(usual_range(values, 1.0), [[-2, -np.inf], [10, np.inf]])


# The report and the policy


def test_a_report_shows_the_five_worst_series_and_counts_the_rest():
    report = CleaningReport(notes=["Read well."])
    for n in range(1, 9):
        report.add(f"s{n}", "missing rows", n * 1000, "first at 3", "kept")
    report.add("s1", "outliers in training rows", 1, "such as y 9", "left")
    lines = str(report).splitlines()
    assert lines[:2] == ["Read well.", "s8: 8,000 missing rows (first at 3): kept."]
    assert lines[6:] == [
        "... and 6,000 missing rows in 3 more series.",
        "s1: 1 outlier in training rows (such as y 9): left.",
    ]
    about = report.to_dict()
    assert about["totals"] == {"missing rows": 36_000, "outliers in training rows": 1}
    assert about["findings"][0] == {
        "unique_id": "s1", "kind": "missing rows", "count": 1000, "detail": "first at 3", "action": "kept"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"duplicates": "median"},
            "`duplicates` must be one of 'error', 'first', 'last' or 'mean'. Received: 'median'",
        ),
        ({"fill_limit": -1}, "`fill_limit` must be an integer >= 0. Received: -1"),
        ({"outlier_factor": 0.0}, "`outlier_factor` must be a number > 0.*Received: 0.0"),
    ],
)
def test_a_policy_that_does_not_exist_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        CleaningSpec(**settings)


# Real data


def real(shared_data, name, columns=None, calendar=None, **settings):
    panel = Panel.from_frame(load(str(shared_data / name)), columns=columns, calendar=calendar)
    result, report = clean(panel, CleaningSpec(**settings))
    return panel, result, report


@pytest.mark.shared_data
def test_traffic_has_its_duplicates_its_missing_hours_and_its_long_gap(shared_data):
    panel, result, report = real(shared_data, "sensor/traffic_volume.csv.gz", ["traffic_volume", "temp", "rain_1h"])
    assert (len(panel), panel.calendars[0].code) == (48_204, "h")
    assert report.to_dict()["totals"] == {"duplicate stamps": 7_629, "missing rows": 11_976}
    missing = next(f for f in report.findings if f.kind == "missing rows")
    assert "longest gap 7,386 rows" in missing.detail  # 307 days and 18 hours
    assert len(result) == 48_204 - 7_629 + 11_976
    assert (np.diff(result.ds) == 3_600 * 10**9).all()
    low, high = usual_range(result.values.astype(float), 10)
    outside = (result.values < low) | (result.values > high)
    assert result.values[outside[:, 1], 1].tolist() == [0] * int(outside[:, 1].sum())  # temperatures of 0 K
    assert outside[:, 1].any()
    assert np.float32(9831.3) in result.values[outside[:, 2], 2]  # one rain of 9,831 mm


@pytest.mark.shared_data
def test_the_machine_sensors_clock_jumps_back_once_and_makes_12_duplicates(shared_data):
    panel, result, report = real(shared_data, "sensor/machine_temperature.csv.gz")
    assert (len(panel), panel.calendars[0].code) == (22_695, "5min")
    assert report.to_dict()["totals"] == {"duplicate stamps": 12}
    assert "The clock jumps back once" in str(report)
    assert "by 00:55:00, from 2014-01-07 02:55:00 to 2014-01-07 02:00:00" in str(report)
    assert (np.diff(result.ds) == 300 * 10**9).all()


@pytest.mark.shared_data
def test_room_stamps_that_jitter_around_the_minute_lie_on_it_afterwards(shared_data):
    panel, result, report = real(shared_data, "sensor/occupancy.csv.gz")
    assert panel.calendars[0].code == "min"
    beside = int((panel.ds % (60 * 10**9) != 0).sum())
    assert report.to_dict()["totals"] == {"stamps beside their step": beside}
    assert "by up to 1 s" in str(report)
    assert len(result) == 8_143
    assert (np.diff(result.ds) == 60 * 10**9).all()


@pytest.mark.shared_data
def test_six_tickers_trade_on_every_session_of_new_york(shared_data):
    name = "stocks/us_daily_6tickers.csv.gz"
    panel, result, report = real(shared_data, name, calendar="XNYS")
    assert (len(panel.ids), len(result), report.to_dict()["totals"]) == (6, 34_489, {})
    panel, result, report = real(shared_data, name)
    assert ({calendar.code for calendar in panel.calendars}, len(result)) == ({"B"}, 34_489)
    assert any("fit the sessions of XNYS to 100.0%" in note for note in report.notes)


@pytest.mark.shared_data
def test_crude_oil_keeps_its_negative_price_and_its_holidays_stay_out(shared_data):
    panel, result, report = real(shared_data, "stocks/wti-daily.csv.gz")
    days = pd.bdate_range("1986-01-02", pd.Timestamp(int(panel.ds[-1])))
    assert (len(result), panel.calendars[0].code) == (10_226, "B")
    assert report.to_dict()["totals"] == {"missing rows": len(days) - 10_226}
    row = int(np.argmin(result.values))
    assert (result.stamp(int(result.ds[row])), result.values[row, 0]) == ("2020-04-20", np.float32(-36.98))


def test_daily_rows_in_utc_keep_one_row_a_day_over_a_clock_change():
    stamps = pd.date_range("2024-03-20", "2024-04-10", tz="Europe/Berlin").tz_convert("UTC").tz_localize(None)
    panel, report = clean(Panel.from_frame(pd.DataFrame({"y": np.arange(22.0)}, index=stamps)))
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(22.0))
    assert "stamps beside their step (by up to 3600 s)" in str(report)


def test_session_opens_in_utc_meet_their_sessions_in_summer_and_winter():
    days = Calendar("XNYS").between(pd.Timestamp("2024-03-01").value, pd.Timestamp("2024-03-28").value)
    opens = pd.DatetimeIndex(days.view("M8[ns]")) + pd.Timedelta(hours=9, minutes=30)
    utc = opens.tz_localize("America/New_York").tz_convert("UTC").tz_localize(None)
    panel, report = clean(Panel.from_frame(pd.DataFrame({"y": np.ones(len(utc))}, index=utc), calendar="XNYS"))
    assert len(panel) == len(days)
    assert "missing" not in str(report)
    assert "no session" not in str(report)
