"""As of: floored to the frequency in the job's zone, over clock changes, weekends and holidays."""

import numpy as np
import pandas as pd
import pytest

from forecast.jobs.clock import AsOf
from pipelines.calendars import Calendar
from pipelines.errors import ConfigError

NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("text", "code", "zone", "expected"),
    [
        ("2024-01-05 09:41", "h", "UTC", "2024-01-05T09:00:00+00:00"),
        ("2024-01-05T09:41Z", "15min", "Asia/Kolkata", "2024-01-05T15:00:00+05:30"),
        ("2024-01-05T03:00Z", "D", NEW_YORK, "2024-01-04"),  # it is still the fourth there
        ("2024-01-13", "B", NEW_YORK, "2024-01-12"),  # a Saturday
        ("2024-07-04 18:00", "XNYS", NEW_YORK, "2024-07-03"),  # Independence Day
        ("2024-04-01", "XNYS", NEW_YORK, "2024-04-01"),
        ("2024-03-31", "XNYS", NEW_YORK, "2024-03-28"),  # Easter: Good Friday is no session
        ("2024-01-15", "MS", "UTC", "2024-01-01"),
        ("2024-01-15", "ME", "UTC", "2023-12-31"),
        ("2024-01-17", "W-SUN", "UTC", "2024-01-14"),
    ],
)
def test_a_time_is_floored_to_the_frequency_of_the_rows(text, code, zone, expected):
    assert str(AsOf.of(text, [code], zone)) == expected


@pytest.mark.parametrize("zone", [NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata"])
@pytest.mark.parametrize("code", ["h", "30min", "6h", "D"])
def test_over_clock_changes_it_never_goes_back_and_never_ahead(zone, code):
    for around in ("2024-03-08", "2024-03-29", "2024-04-05", "2024-10-04", "2024-10-25", "2024-11-01"):
        times = pd.date_range(around, periods=400, freq="17min", tz="UTC")
        found = np.array([AsOf.of(None, [code], zone, now=now).utc for now in times])
        assert (np.diff(found) >= 0).all()
        behind = times.as_unit("ns").asi8 - found
        assert behind.min() >= 0
        assert behind.max() < pd.Timedelta(code if code[0].isdigit() else f"1{code}").value + 3600 * 10**9


def test_the_hour_that_comes_twice_has_two_names():
    first, second = (AsOf.of(f"2024-11-03T0{hour}:30Z", ["h"], NEW_YORK) for hour in (5, 6))
    assert (first.key, second.key) == ("20241103T050000Z", "20241103T060000Z")
    assert (str(first)[11:16], str(second)[11:16]) == ("01:00", "01:00")
    with pytest.raises(ConfigError, match="exists once in America/New_York"):
        AsOf.of("2024-11-03 01:30", ["h"], NEW_YORK)
    with pytest.raises(ConfigError, match="exists once in America/New_York"):
        AsOf.of("2024-03-10 02:30", ["h"], NEW_YORK)


def test_a_daily_row_belongs_to_its_day_whatever_its_hour():
    as_of = AsOf.of("2024-03-10", ["D"], NEW_YORK)  # this day has 23 hours
    for stamp, known in (("2024-03-10 16:00", True), ("2024-03-10 23:59", True), ("2024-03-11 00:00", False)):
        own = pd.Timestamp(stamp, tz=NEW_YORK).as_unit("ns").value
        plain = pd.Timestamp(stamp).as_unit("ns").value
        assert (own <= as_of.limit(Calendar("D", NEW_YORK))) == known
        assert (plain <= as_of.limit(Calendar("D"))) == known


def test_hours_with_a_zone_are_instants_and_without_are_the_job_s_clock():
    as_of = AsOf.of("2024-07-05 09:00", ["h"], NEW_YORK)
    assert as_of.limit(Calendar("h", "Asia/Shanghai")) == pd.Timestamp("2024-07-05 13:00").as_unit("ns").value
    assert as_of.limit(Calendar("h")) == pd.Timestamp("2024-07-05 09:00").as_unit("ns").value


def test_rows_that_are_due_leave_out_weekends_and_holidays():
    as_of = AsOf.of("2024-04-02", ["XNYS"], NEW_YORK)
    thursday = pd.Timestamp("2024-03-28").as_unit("ns").value
    assert as_of.due_since(thursday, Calendar("XNYS")) == 2  # Monday, Tuesday
    assert as_of.due_since(thursday, Calendar("B")) == 3
    assert as_of.due_since(thursday, Calendar("D")) == 5
    assert AsOf.of("2024-03-31", ["XNYS"], NEW_YORK).due_since(thursday, Calendar("XNYS")) == 0


@pytest.mark.parametrize("text", ["yesterday evening", "2024-13-01", "", "NaT"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match="`--as-of` must be a date or a time"):
        AsOf.of(text, ["D"], "UTC")


def test_rows_without_dates_are_refused():
    with pytest.raises(ConfigError, match="trained on integer stamps"):
        AsOf.of(None, [""], "UTC")


@pytest.mark.parametrize(
    ("text", "code", "zone", "as_of", "known"),
    [
        ("2024-01-05 09:41", "XNYS", NEW_YORK, "2024-01-05", "2024-01-06T05:00Z"),
        ("2024-07-06", "XNYS", NEW_YORK, "2024-07-05", "2024-07-07T04:00Z"),  # a Saturday: its own end, not Friday's
        ("2024-03-10", "D", NEW_YORK, "2024-03-10", "2024-03-11T04:00Z"),  # 23 hours
        ("2024-02-03", "MS", "UTC", "2024-02-01", "2024-02-04T00:00Z"),
        ("2024-01-05 09:41", "h", "UTC", "2024-01-05T09:00:00+00:00", "2024-01-05T10:00Z"),
        ("2024-11-03T05:30Z", "h", NEW_YORK, "2024-11-03T01:00:00-04:00", "2024-11-03T06:00Z"),
    ],
)
def test_what_was_known_is_what_was_said_until_the_day_or_the_hour_asked_for_ends(text, code, zone, as_of, known):
    found = AsOf.of(text, [code], zone)
    assert (str(found), pd.Timestamp(found.known) + pd.Timedelta(1, "ns")) == (as_of, pd.Timestamp(known))
