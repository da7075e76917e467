"""Samples are real and need no network; synthetic series follow their formulas."""

import subprocess
import sys

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, SourceError, UnknownName
from pipelines.sources import load

KINDS = ["sine", "trend", "seasonal", "random_walk"]


def test_google_is_1047_trading_days_of_prices_in_dollars():
    frame = load("sample:goog")
    assert (len(frame), frame.index.name, frame.index.tz) == (1047, "Date", None)
    assert frame.columns.tolist() == ["Open", "High", "Low", "Close", "Volume", "Adj Close"]
    assert frame.loc["2004-08-19"].tolist() == [100.0, 104.06, 95.96, 100.34, 22351900, 100.34]
    assert (frame.attrs["calendar"], frame.attrs["unit"]) == ("XNYS", "dollars")


# exchange_calendars asks pandas for something that pandas 3.1 deprecates.
@pytest.mark.filterwarnings("ignore:Series.values returning")
def test_google_trades_on_the_sessions_of_new_york_and_misses_none():
    # NASDAQ, where Google is listed, keeps the sessions of the New York Stock Exchange.
    dates = load("sample:goog").index
    sessions = exchange_calendars.get_calendar("XNYS", start="2004-08-02", end="2008-11-03")
    assert dates.tolist() == sessions.sessions_in_range(dates[0], dates[-1]).tolist()


def test_stocks_are_whole_months_of_eight_companies():
    frame = load("sample:stocks")
    assert frame.columns.tolist() == ["unique_id", "ds", "Adj Close"]
    assert frame["unique_id"].nunique() == 8
    assert frame["Adj Close"].notna().all()
    for _, part in frame.groupby("unique_id"):
        assert part["ds"].tolist() == pd.date_range(part["ds"].iloc[0], "2022-06-01", freq="MS").tolist()
    first = frame.groupby("unique_id")["ds"].min()
    assert (first["IBM"], first["GOOGL"]) == (pd.Timestamp("1990-01-01"), pd.Timestamp("2004-09-01"))


def test_samples_do_not_import_pyplot():
    program = "import sys; from pipelines.sources import load; load('sample:goog'); load('sample:stocks'); "
    program += "assert 'matplotlib.pyplot' not in sys.modules and 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_sample_is_named_with_its_neighbours():
    with pytest.raises(
        UnknownName, match=r"No sample is called 'gogg'\. Did you mean 'goog'\? Choose from: goog, stocks"
    ):
        load("sample:gogg")


def test_a_sample_that_matplotlib_no_longer_carries_is_a_source_error(monkeypatch, tmp_path):
    from matplotlib import cbook

    monkeypatch.setattr(cbook, "_get_data_path", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(SourceError, match=r"matplotlib must carry its sample goog\.npz\. Received: .*Install another"):
        load("sample:goog")


def test_series_without_noise_follow_their_formulas():
    t = np.arange(50)
    for s in range(3):
        expected = {
            "sine": [10 + np.sin(2 * np.pi * (n / 8 + s / 3)) for n in t],
            "trend": [10 + 0.01 * (s + 1) * n for n in t],
            "random_walk": [10.0] * 50,
        }
        for kind, values in expected.items():
            frame = load(f"synthetic:{kind}?rows=50&series=3&noise=0&season_length=8")
            np.testing.assert_allclose(frame.loc[frame["unique_id"] == f"s{s}", "y"], values, atol=1e-12)


def test_a_seasonal_series_without_noise_repeats_itself():
    y = load("synthetic:seasonal?rows=70&noise=0&season_length=7")["y"].to_numpy().reshape(10, 7)
    np.testing.assert_array_equal(y, np.broadcast_to(y[0], y.shape))
    assert len(set(y[0])) == 7


@pytest.mark.parametrize("kind", ["sine", "trend", "seasonal"])
def test_noise_has_the_deviation_that_was_asked_for(kind):
    noisy, plain = (load(f"synthetic:{kind}?rows=20000&noise={noise}")["y"] for noise in (0.5, 0))
    assert (noisy - plain).std() == pytest.approx(0.5, abs=0.01)
    assert abs((noisy - plain).autocorr()) < 0.02


def test_steps_of_a_random_walk_are_independent():
    steps = load("synthetic:random_walk?rows=20000&noise=0.5")["y"].diff().dropna()
    assert steps.std() == pytest.approx(0.5, abs=0.01)
    assert abs(steps.autocorr()) < 0.02


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**40), rows=st.integers(1, 60), series=st.integers(2, 4))
def test_the_seed_decides_everything(kind, seed, rows, series):
    one, again, other = (
        load(f"synthetic:{kind}", rows=rows, series=series, seed=s, season_length=5) for s in (seed, seed, seed + 1)
    )
    pd.testing.assert_frame_equal(one, again)
    assert (len(one), one["unique_id"].nunique()) == (rows * series, series)
    if (kind, rows) != ("random_walk", 1):  # a walk of one row is where all walks begin
        assert not one["y"].equals(other["y"])


@pytest.mark.parametrize("kind", ["trend", "seasonal", "random_walk"])
def test_more_series_leave_the_first_ones_as_they_were(kind):
    few, many = (load(f"synthetic:{kind}?rows=30&series={series}") for series in (2, 5))
    pd.testing.assert_frame_equal(few, many.iloc[:60])


def test_stamps_are_dates_of_the_frequency_or_integers():
    hours = load("synthetic:sine?rows=5&freq=h&start=2021-03-01")
    assert hours.index.tolist() == pd.date_range("2021-03-01", periods=5, freq="h").tolist()
    assert load("synthetic:sine?rows=5&freq=int").index.tolist() == [0, 1, 2, 3, 4]
    assert load("synthetic:sine?rows=2&series=2&freq=int")["ds"].tolist() == [0, 1, 0, 1]
    assert load("synthetic:sine?rows=2&series=2")["ds"].dtype.kind == "M"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("rows=0", r"`rows` must be an integer >= 1\. Received: '0'"),
        ("rows=many", r"`rows` must be an integer\. Received: 'many'"),
        ("series=-1", r"`series` must be an integer >= 1\. Received: '-1'"),
        ("noise=-0.5", r"`noise` must be a number >= 0"),
        ("noise=nan", r"`noise` must be a finite number\. Received: 'nan'"),
        ("season_length=1", r"`season_length` must be an integer >= 2"),
        ("freq=fortnight", r"`freq` must be 'int' or a frequency that pandas knows, .* Received: 'fortnight'"),
        ("freq=-1D", r"`freq` must be .* Received: '-1D'"),
        ("start=soon", r"`start` must be a date such as '2020-01-01'\. Received: 'soon'"),
        ("freq=YE&rows=1000", r"before the year 2262\. Received: `rows` = 1000, `freq` = 'YE'"),
        ("row=5", r"has no option 'row'\. Did you mean 'rows'\?"),
    ],
)
def test_a_wrong_setting_is_a_config_error(query, message):
    with pytest.raises(ConfigError, match=message):
        load(f"synthetic:sine?{query}")


def test_an_unknown_kind_is_named_with_its_neighbours():
    with pytest.raises(UnknownName, match=r"No synthetic series is called 'sinus'\. Did you mean 'sine'\?"):
        load("synthetic:sinus")
