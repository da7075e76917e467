"""Beyond the horizon a forecast is rolled forward on itself, exactly as one would do it by hand."""

import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster
from pipelines.errors import ConfigError, DataError
from pipelines.sources import load

TINY = {"model": {"name": "lstm", "units": 4}, "training": {"epochs": 1}, "lookback": 8, "horizon": 2}


def walk(rows=150, seed=0):
    values = 50 + np.cumsum(np.random.default_rng(seed).normal(0, 1, rows))
    return pd.DataFrame({"y": values}, index=pd.date_range("2022-01-01", periods=rows, name="ds"))


def shop(rows=150):
    frame = walk(rows)
    return frame.assign(promo=np.arange(rows) % 3 == 0, visits=np.arange(float(rows)))


@pytest.fixture(scope="module")
def plain():
    return Forecaster(**TINY).fit(walk(), quiet=True)


def by_hand(model, frame, calls):
    """Returns forecasts of successive calls, each on the rows and all forecasts before it."""
    answers = []
    for _ in range(calls):
        answer = model.predict(data=frame)
        answers.append(answer)
        more = pd.DataFrame({"y": answer["y_pred"].to_numpy()}, index=pd.DatetimeIndex(answer["ds"], name="ds"))
        frame = pd.concat([frame, more])
    return pd.concat(answers, ignore_index=True)


@pytest.mark.parametrize("steps", [2, 3, 6, 7])
def test_steps_beyond_the_horizon_are_what_one_would_get_by_hand(plain, steps):
    rolled, expected = plain.predict(steps=steps), by_hand(plain, walk(), 4).iloc[:steps]
    np.testing.assert_array_equal(rolled["y_pred"], expected["y_pred"])
    assert rolled["ds"].tolist() == expected["ds"].tolist()
    assert rolled["step"].tolist() == list(range(1, steps + 1))
    assert rolled["cutoff"].unique().tolist() == [walk().index[-1]]


@pytest.mark.parametrize("settings", [{"predict": "return"}, {"features": ["returns(3)", "day_of_week"]}])
def test_returns_and_features_are_computed_anew_from_what_was_forecast(settings):
    model = Forecaster(**TINY, **settings).fit(walk(), quiet=True)
    np.testing.assert_allclose(model.predict(steps=6)["y_pred"], by_hand(model, walk(), 3)["y_pred"], rtol=1e-6)


def test_several_series_roll_side_by_side():
    data = pd.concat([walk(seed=s).reset_index().assign(unique_id=f"s{s}") for s in range(3)])
    model = Forecaster(**TINY).fit(data, quiet=True)
    together = model.predict(steps=5)
    for s in range(3):
        alone = model.predict(steps=5, data=data[data["unique_id"] == f"s{s}"])
        pd.testing.assert_frame_equal(together.query(f"unique_id == 's{s}'").reset_index(drop=True), alone, rtol=1e-6)


def test_the_rows_that_were_given_are_left_as_they_were(plain):
    before = plain.panel_.values.copy()
    first, again = plain.predict(steps=9), plain.predict(steps=9)
    pd.testing.assert_frame_equal(first, again)
    np.testing.assert_array_equal(plain.panel_.values, before)


def test_rolling_skips_the_holidays_of_an_exchange():
    frame = load("sample:goog")[["Close"]].loc[:"2007-12-20"]
    model = Forecaster(**TINY).fit(frame, quiet=True)
    days = model.predict(steps=8)["ds"].dt.strftime("%m-%d").tolist()
    assert days == ["12-21", "12-24", "12-26", "12-27", "12-28", "12-31", "01-02", "01-03"]


def test_unknown_past_covariates_end_a_forecast_at_the_horizon():
    model = Forecaster(**TINY, target="y", past="visits").fit(shop(), quiet=True)
    assert len(model.predict(steps=2)) == 2
    message = (
        r"Beyond the horizon of 2 rows .* values of visits .*steps=3\. Ask for at most 2 steps, train with horizon=3"
    )
    with pytest.raises(ConfigError, match=message):
        model.predict(steps=3)


def test_a_feature_of_another_column_ends_a_forecast_at_the_horizon():
    model = Forecaster(**TINY, target="Close", features="BOP").fit(load("sample:goog").iloc[-200:], quiet=True)
    assert len(model.predict(steps=2)) == 2
    with pytest.raises(ConfigError, match="values of High, Low, Open that nobody knows yet"):
        model.predict(steps=3)


def test_a_gap_ends_a_forecast_at_the_horizon():
    model = Forecaster(**TINY, gap=1).fit(walk(), quiet=True)
    with pytest.raises(
        ConfigError, match=r"With a gap of 1 rows? a forecast cannot be rolled forward\. Received: steps=3, horizon=2"
    ):
        model.predict(steps=3)


def test_what_is_known_ahead_is_needed_where_the_forecast_is_rolled_on():
    model = Forecaster(**TINY, target="y", known="promo").fit(shop(), quiet=True)
    assert len(model.predict()) == 2  # the network sees promo up to the cutoff only
    with pytest.raises(ConfigError, match=r"Give `future` with ds, promo"):
        model.predict(steps=4)
    days = pd.date_range(shop().index[-1], periods=5)[1:]
    quiet, busy = (pd.DataFrame({"ds": days, "promo": np.full(4, on)}) for on in (False, True))
    a, b = (model.predict(steps=4, future=future)["y_pred"].to_numpy() for future in (quiet, busy))
    np.testing.assert_array_equal(a[:2], b[:2])
    assert (a[2:] != b[2:]).all()
    with pytest.raises(
        DataError, match=r"promo for the next 4 rows .* 1 of them in series 'series', the first at 2022-06-03"
    ):
        model.predict(steps=4, future=quiet.iloc[:3])


def test_a_series_that_was_not_in_training_rolls_on_as_by_hand():
    model = Forecaster(**TINY).fit(walk().reset_index().assign(unique_id="known"), quiet=True)
    rolled = model.predict(steps=6, data=walk(seed=8))
    assert rolled.attrs["cold"] == ["series"]
    np.testing.assert_array_equal(rolled["y_pred"], by_hand(model, walk(seed=8), 3)["y_pred"])


def test_a_hole_before_the_cutoff_is_filled_or_the_series_is_left_out(plain):
    frame = walk()
    frame.iloc[-3] = np.nan
    filled = frame.ffill()
    np.testing.assert_array_equal(plain.predict(data=frame)["y_pred"], plain.predict(data=filled)["y_pred"])
    frame.iloc[-30:-2] = np.nan  # longer than cleaning.fill_limit
    with pytest.raises(DataError, match=r"last 8 rows without missing values.*Give more rows, or fill the gaps"):
        plain.predict(data=frame)
