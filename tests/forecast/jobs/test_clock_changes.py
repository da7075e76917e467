"""Whole runs of hourly rows over the change to summer time and back, in the time zone of the job."""

import pandas as pd
import pytest

from forecast.jobs import current, run
from pipelines.errors import DataError

NEW_YORK = "America/New_York"
SPRING, AUTUMN = "2024-03-10", "2024-11-03"  # from 2:00 to 3:00, and from 2:00 to 1:00


def hours(day, zone):
    """Returns sixty hours until that day at noon on the clock of New York; without a zone each name comes once."""
    stamps = pd.date_range(end=pd.Timestamp(f"{day} 12:00", tz=NEW_YORK), periods=60, freq="h")
    return stamps if zone else stamps.tz_localize(None).drop_duplicates()


def forecasts(outcome):
    return pd.read_parquet(outcome.folder / "forecasts.parquet")


@pytest.fixture
def clock(monkeypatch):
    """Sets the machine's clock."""
    return lambda text: monkeypatch.setattr("forecast.jobs.clock.machine_clock", lambda: pd.Timestamp(text))


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_rows_with_a_zone_are_run_each_hour_once_also_in_the_hour_that_comes_twice(job, rows, clock, day):
    # Rows after the machine's clock would be stopped; here they are what the next hours will bring.
    path = job(rows(stamps=hours(day, NEW_YORK)), timezone=NEW_YORK, gates={"future": False})
    instants = pd.date_range(f"{day} 04:00", periods=5, freq="h", tz="UTC")
    for instant in instants:
        clock(instant + pd.Timedelta("40min"))
        outcome = run(path)
        assert outcome.status == "published"
        assert outcome.about["counts"]["ok"] == 40
        table = forecasts(outcome)
        assert set(table["cutoff"]) == {instant.tz_convert(NEW_YORK)}
        assert set(table["ds"]) == set(pd.date_range(instant, periods=4, freq="h")[1:].tz_convert(NEW_YORK))
        assert current(path.parent / "out") == outcome.folder
    published = sorted(one.name[:16] for one in (path.parent / "out" / "runs").iterdir())
    assert published == [instant.strftime("%Y%m%dT%H%M%SZ") for instant in instants]


@pytest.mark.parametrize(
    ("day", "now", "last"),
    [
        (SPRING, "06:40Z", "01:00"),
        (AUTUMN, "05:40Z", "01:00"),
        (AUTUMN, "06:40Z", "01:00"),  # one o'clock again: rows without a zone have it once
        (AUTUMN, "07:40Z", "02:00"),
    ],
)
def test_rows_without_a_zone_count_on_the_wall_clock_of_the_job(job, rows, clock, day, now, last):
    stamps = hours(day, None)
    clock(f"{day}T{now}")
    outcome = run(job(rows(stamps=stamps[stamps <= f"{day} {last}"]), timezone=NEW_YORK, gates={"freshness": 0}))
    assert (outcome.about["counts"]["ok"], outcome.about["data"]["rows_after_as_of"]) == (40, 0)
    assert set(forecasts(outcome)["cutoff"]) == {pd.Timestamp(f"{day} {last}")}


def test_the_hour_that_no_clock_shows_is_missing_in_rows_without_a_zone_and_nothing_is_published(job, rows, clock):
    stamps = hours(SPRING, None)
    clock(f"{SPRING}T07:40Z")
    with pytest.raises(DataError, match=r"40 non_finite.*16\.7% of the values in the last 6 rows are missing"):
        run(job(rows(stamps=stamps[stamps <= f"{SPRING} 03:00"]), timezone=NEW_YORK))
    clock(f"{SPRING}T14:40Z")  # the network looks back six hours
    assert run(job(rows(stamps=stamps[stamps <= f"{SPRING} 10:00"]), timezone=NEW_YORK)).status == "published"


def test_rows_that_stop_before_the_change_are_stale_by_the_hours_that_have_passed(job, rows, clock):
    stamps = hours(SPRING, NEW_YORK)
    frame = rows(stamps=stamps[stamps <= pd.Timestamp(f"{SPRING} 01:00", tz=NEW_YORK)])
    clock(f"{SPRING}T07:40Z")  # the clock says 3:40, but one hour has passed
    assert run(job(frame, timezone=NEW_YORK)).about["counts"]["ok"] == 40
    clock(f"{SPRING}T08:40Z")
    with pytest.raises(DataError, match=r"40 stale.*up to 2024-03-10T04:00:00-04:00, 2 were due"):
        run(job(frame, timezone=NEW_YORK))
