"""The leakage audit: honest forecasters pass, and each leak that is built in is seen and named."""

import contextlib
import doctest
import io
import itertools
import json
import re
import time

import numpy as np
import pandas as pd
import pytest
import scipy.signal

import forecast
from forecast import Forecaster, fitting, models, prepare, refitting, selection
from forecast._keras import load_keras
from forecast.cli import main
from forecast.evaluation import _poison, adaptive, audit, foresight
from forecast.evaluation.baselines import BASELINES
from forecast.evaluation.statistical import STATISTICAL
from forecast.export import of_forecaster as exported
from forecast.uncertainty import Intervals
from pipelines import cleaning, features, pipeline, splits, windows
from pipelines.errors import ConfigError, NotFitted
from pipelines.features import Feature
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

keras = load_keras()

TINY = {"model": {"name": "lstm", "units": 4}, "training": {"epochs": 1}, "lookback": 8, "horizon": 2, "target": "y"}
SPLIT = {"validation": 0.15, "calibration": 0.2, "test": 0.2}
FULL = {**TINY, "split": SPLIT, "past": ["x"], "known": ["promo"], "features": ["day_of_week", "lag(2)"]}


def series(i=0, rows=160):
    random = np.random.default_rng(i)
    values = 100 + random.normal(size=rows).cumsum()
    other = {"x": 10 + random.normal(size=rows), "promo": random.integers(0, 2, rows), "size": i + 1.0}
    return pd.DataFrame({"unique_id": f"s{i}", "ds": pd.date_range("2024-01-01", periods=rows), "y": values, **other})


def shop(count=2):
    return pd.concat([series(i, 160 - 10 * i) for i in range(count)], ignore_index=True)


def dense(inputs=1, horizon=2):
    """Returns a network that is built at once: an LSTM takes seconds."""
    return keras.Sequential([keras.Input((8, inputs)), keras.layers.Flatten(), keras.layers.Dense(horizon)])


def fit(data, **settings):
    return Forecaster(**{**TINY, "split": SPLIT, **settings}).fit(data, quiet=True)


def seen(found):
    """Returns the names of the checks that leak, and all sentences."""
    assert found.passed is (not found.leaks)
    return {check.name for check in found.checks if check.result == "leaks"}, "\n".join(found.leaks)


def passes(found):
    assert found.passed, found
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    """ARIMA takes a second an audit; the tests that are about it see it."""
    if "statistical" not in request.node.name:
        for name in ("ets", "arima"):
            monkeypatch.delitem(STATISTICAL, name)


@pytest.fixture(scope="module")
def ahead():
    """A network that sees known covariates ahead, fitted on two series."""
    past, known = keras.Input((8, 6), name="past"), keras.Input((10, 3), name="known")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(past), keras.layers.Flatten()(known)])
    own = keras.Model({"past": past, "known": known}, keras.layers.Dense(2)(joined))
    return fit(shop(), **{**FULL, "model": own})


@pytest.fixture(scope="module")
def plain():
    return fit(shop(1).drop(columns=["unique_id"]).set_index("ds")[["y"]])


# --- honest forecasters pass ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.registry.names())
def test_every_model_passes(name):
    found = passes(forecast.audit(fit(shop(), **{**FULL, "model": {"name": name}})))
    assert [check.result for check in found.checks] == ["passed"] * 10
    assert found.verdict == "No leak found: the future was changed, and nothing moved in 10 checks."


def test_a_network_that_sees_known_covariates_ahead_passes(ahead):
    by = {check.name: check for check in passes(forecast.audit(ahead)).checks}
    assert by["features"].result == by["intervals"].result == "passed"
    assert by["forecasts"].tried.endswith(" in validation, calibration, test; 2 live")


def test_covariates_that_are_known_for_other_days_than_those_due_are_no_leak():
    frame = series(0, 220)[["ds", "y", "promo"]][np.arange(220) % 3 != 1]  # holidays that no calendar knows
    past, known = keras.Input((8, 2), name="past"), keras.Input((10, 1), name="known")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(past), keras.layers.Flatten()(known)])
    own = keras.Model({"past": past, "known": known}, keras.layers.Dense(2)(joined))
    found = passes(forecast.audit(fit(frame, model=own, known=["promo"], freq="D", cleaning={"gaps": "keep"})))
    assert {check.name: check.tried for check in found.checks}["forecasts"].endswith("; 0 live")


@pytest.mark.parametrize("family", features.registry.names())
def test_every_feature_passes(family):
    random, columns, rows = np.random.default_rng(0), ["Open", "High", "Low", "Close", "Volume"], 6000
    close = 100 * np.exp(random.normal(0, 0.01, rows).cumsum())
    start = np.concatenate([[100], close[:-1]])
    high = np.maximum(start, close) * (1 + 0.003 * random.random(rows))
    low = np.minimum(start, close) * (1 - 0.003 * random.random(rows))
    bars = np.column_stack([start, high, low, close, np.floor(np.exp(random.normal(12, 0.5, rows)))])
    frame = pd.DataFrame(bars, columns=columns, index=pd.date_range("2005-01-01", periods=rows))
    names = features.registry.load(family).names()
    made = [features.make(name, "Close", columns) for name in names]
    own = dense(1 + sum(len(f.columns) for f in made))
    small = {"validation": 0.05, "calibration": 0.05, "test": 0.05}
    model = fit(frame, model=own, target="Close", features=list(names), normalize="none", split=small)
    by = {check.name: check for check in passes(forecast.audit(model, cutoffs=1)).checks}
    assert by["features"].tried == f"{len(names)} features at 1 cutoff"
    assert by["forecasts"].result == by["scaling"].result == "passed"


METHODS = ["minmax", "standard", "robust", "log1p", "none"]
NORMALIZE = ["last", "mean_std", "none"]


@pytest.mark.parametrize(
    ("method", "normalize"),
    [
        pytest.param(m, n, marks=() if (i + j) % 3 == 0 else pytest.mark.slow)
        for i, m in enumerate(METHODS)
        for j, n in enumerate(NORMALIZE)
    ],
)
def test_every_scaling_with_every_normalisation_passes(method, normalize):
    shared = method in ("standard", "none")
    settings = {**FULL, "model": dense(6), "normalize": normalize, "scaling": {"method": method, "shared": shared}}
    passes(forecast.audit(fit(shop(), **settings)))


@pytest.mark.parametrize(
    "settings",
    [
        {"model": dense(), "predict": "return", "gap": 2, "cleaning": {"outliers": "clip"}},
        {"model": dense(2, 4), "target": ["y", "x"], "stride": 3, "cleaning": {"gaps": "keep"}},
        {"split": {"validation": 0.2, "calibration": 0, "test": 0.2}, "lookback": 1, "horizon": 1},
    ],
    ids=["returns", "two targets", "no calibration"],
)
def test_other_settings_pass(settings):
    found = passes(forecast.audit(fit(shop(), **settings)))
    by = {check.name: check for check in found.checks}
    if settings.get("lookback") == 1:
        assert (by["intervals"].result, by["calibration"].result) == ("not tried", "not tried")
        assert by["intervals"].tried == "there are none: nothing was learned on calibration rows"
        assert found.verdict.endswith(" Not tried: columns, features, calibration, intervals.")


def test_integer_stamps_and_static_columns_pass():
    frame = shop().assign(ds=lambda f: f.groupby("unique_id").cumcount() + 5)
    past, static = keras.Input((8, 1), name="past"), keras.Input((1,), name="static")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(past), static])
    own = keras.Model({"past": past, "static": static}, keras.layers.Dense(2)(joined))
    passes(forecast.audit(fit(frame[["unique_id", "ds", "y", "size"]], model=own, static=["size"])))


def test_prices_with_holidays_pass_and_a_bundle_is_tried_on_its_own_data_read_again(tmp_path):
    bars, made = ["Open", "High", "Low", "Volume"], ["elapsed", "RSI(5)"]
    model = fit("sample:goog", model=dense(7), target="Close", past=bars, features=made)
    model.save("goog", tmp_path)
    start = time.perf_counter()
    found = passes(forecast.audit(Forecaster.load("goog", tmp_path), "sample:goog"))
    assert time.perf_counter() - start < 30  # seconds for 1,000 rows
    by = {check.name: check for check in found.checks}
    assert by["scaling"].tried.endswith(" and as stored")
    assert by["calibration"].tried.endswith(" and as stored")
    assert by["columns"].tried == "4 columns beside the target's later rows"


def test_a_series_that_is_not_in_training_is_scaled_by_what_there_is_and_that_is_no_leak(plain):
    renamed = series(0, 160).assign(unique_id="renamed")
    found = passes(forecast.audit(plain, renamed))
    assert "; 0 live" in next(check.tried for check in found.checks if check.name == "forecasts")


def test_later_rows_than_those_of_the_fit_are_no_leak(plain, tmp_path):
    plain.save("plain", tmp_path)
    later = series(0, 160).set_index("ds")[["y"]]
    later = pd.concat([later.iloc[20:], later.iloc[-40:].set_index(pd.date_range("2024-06-09", periods=40, name="ds"))])
    found = passes(forecast.audit(Forecaster.load("plain", tmp_path), later))
    assert not any("as stored" in check.tried for check in found.checks)


def test_of_many_series_some_are_drawn_with_the_seed():
    model = fit(shop(12), model=dense())
    found = passes(forecast.audit(model, series=3, cutoffs=1, seed=5))
    assert str(found).splitlines()[0].startswith("leakage audit of own: 3 of 12 series, ")
    assert str(found) == str(forecast.audit(model, series=3, cutoffs=1, seed=5))
    assert found.to_dict()["rows"] != forecast.audit(model, series=3, cutoffs=1, seed=6).to_dict()["rows"]


# --- columns that know the future -------------------------------------------------------------------------------------


def walk(rows=300, seed=0):
    return 100 + np.random.default_rng(seed).normal(size=rows).cumsum()


def later(values, rows=1):
    return np.concatenate([values[rows:], np.full(rows, np.nan)])


@pytest.mark.parametrize(
    ("column", "how", "rows"),
    [
        (lambda y: later(y), "equals", 1),
        (lambda y: later(y, 3), "equals", 3),
        (lambda y: 5 - 2 * later(y), "moves with", 1),
        (lambda y: later(y) / y - 1, "moves with", 1),
        (lambda y: later(y, 5) - y, "moves with", 5),
        (lambda y: (later(y) > y).astype(float), "moves with", 1),
        (lambda y: np.float32(later(y)), "moves with", 1),
    ],
    ids=["next", "in three rows", "scaled", "return", "change", "direction", "float32"],
)
def test_a_column_made_of_later_rows_is_found(column, how, rows):
    found = foresight.foresight(column(walk()), walk(), range(1, 9))
    assert (found.how, found.rows) == (how, rows)
    assert found.correlation >= 0.999


@pytest.mark.parametrize(
    "column",
    [
        lambda y: y,
        lambda y: np.roll(y, 1),
        lambda y: y - np.roll(y, 1),
        lambda y: np.roll(y, 1) + np.random.default_rng(1).normal(0, 0.5, len(y)),
        lambda y: later(y) + np.random.default_rng(1).normal(0, 0.5, len(y)),  # half of it is noise: no copy
        lambda y: np.zeros(len(y)),
        lambda y: np.arange(len(y)),
        lambda y: np.full(len(y), np.nan),
        lambda y: np.random.default_rng(2).integers(0, 2, len(y)),
    ],
    ids=["itself", "before", "change", "open", "noisy", "zeros", "count", "nothing", "coin"],
)
def test_a_column_that_does_not_know_is_left_alone(column):
    assert foresight.foresight(column(walk()), walk(), range(1, 9)) is None


def test_a_sine_tells_its_future_by_its_past():
    sine = np.sin(2 * np.pi * np.arange(400) / 12)
    assert foresight.foresight(np.cos(2 * np.pi * np.arange(400) / 12), sine, range(1, 21)) is None
    assert foresight.foresight(np.roll(sine, 1), sine, range(1, 21)) is None


def test_rain_is_mostly_zero_and_that_is_no_knowledge():
    random = np.random.default_rng(0)
    rain, other = (np.where(random.random(1000) < 0.03, random.random(1000), 0.0) for _ in range(2))
    assert foresight.foresight(other, rain, range(1, 6)) is None
    assert foresight.foresight(later(rain), rain, range(1, 6)).how == "equals"


def test_a_column_known_far_ahead_is_compared_around_the_horizon():
    y = walk(1500)
    ahead = [*range(1, 61), *range(670, 750)]
    assert foresight.foresight(later(y, 720), y, ahead) == ("equals", 1.0, 720)


def test_few_rows_say_nothing():
    assert foresight.foresight(later(walk(20)), walk(20), range(1, 6)) is None


def there_and_back(y):
    """Exponential smoothing forwards, then backwards, so that nothing lags."""
    return y.ewm(alpha=0.5).mean()[::-1].ewm(alpha=0.5).mean()[::-1]


MADE = {
    "centred mean": (lambda y: y.rolling(5, center=True).mean(), 2),
    "to the ends": (lambda y: y.rolling(5, center=True, min_periods=1).mean(), 2),
    "in cents": (lambda y: y.rolling(3, center=True).mean().round(2), 1),
    "with holes": (lambda y: y.rolling(3, center=True).mean().where(np.random.default_rng(1).random(len(y)) > 0.03), 1),
    "distance from it": (lambda y: y - y.rolling(15, center=True).mean(), 7),
    "the next mean": (lambda y: y.rolling(5).mean().shift(-7), 7),
    "weighted": (lambda y: 0.1 * y.shift(1) + 0.8 * y + 0.1 * y.shift(-1), 1),
    "hardly weighted": (lambda y: 0.02 * y.shift(1) + 0.96 * y + 0.02 * y.shift(-1), 1),
    "Savitzky-Golay": (lambda y: pd.Series(scipy.signal.savgol_filter(y, 7, 2)), 3),
    "there and back": (there_and_back, 5),
    "mean return": (lambda y: y.pct_change().rolling(5, center=True).mean(), 2),
    "mean logarithm": (lambda y: np.log(y).rolling(5, center=True).mean(), 2),
    "median": (lambda y: y.rolling(5, center=True).median(), 2),
    "maximum": (lambda y: y.rolling(7, center=True).max(), 3),
    "the next minimum": (lambda y: y.rolling(5).min().shift(-4), 4),
}


@pytest.mark.parametrize("rows", [140, 300, 1200])
@pytest.mark.parametrize("name", MADE)
def test_a_column_made_of_rows_around_it_is_found_with_the_last_of_them(name, rows):
    make, last = MADE[name]
    y = pd.Series(walk(rows, seed=4))
    found = foresight.foresight(np.float32(make(y)), np.float32(y), range(1, 61))
    assert found == ("is made of", 1.0, last)


def test_the_part_of_a_target_that_is_missing_hides_no_centred_mean():
    y = pd.Series(walk(600))
    smooth = y.rolling(5, center=True).mean()
    y[np.random.default_rng(0).random(600) < 0.01] = np.nan
    assert foresight.foresight(smooth, y, range(1, 61)) == ("is made of", 1.0, 2)


HONEST = {
    "mean": lambda y: y.rolling(5).mean(),
    "long mean": lambda y: y.rolling(100).mean(),
    "exponential mean": lambda y: y.ewm(span=200).mean(),
    "mean of all so far": lambda y: y.expanding().mean(),
    "median": lambda y: y.rolling(5).median(),
    "long median": lambda y: y.rolling(101).median(),
    "maximum": lambda y: y.rolling(20).max(),
    "deviation": lambda y: y.rolling(20).std(),
    "weighted": lambda y: 0.5 * y + 0.3 * y.shift(1) + 0.2 * y.shift(4),
    "returns": lambda y: y.pct_change(5),
    "distance from a mean": lambda y: y / y.rolling(20).mean() - 1,
    "MACD": lambda y: y.ewm(span=12).mean() - y.ewm(span=26).mean(),
    "Bollinger": lambda y: y.rolling(20).mean() + 2 * y.rolling(20).std(),
    "strength": lambda y: 100 * y.diff().clip(0).ewm(alpha=1 / 14).mean() / y.diff().abs().ewm(alpha=1 / 14).mean(),
    "open": lambda y: y.shift(1) + np.random.default_rng(1).normal(0, 0.1, len(y)),
    "high": lambda y: np.maximum(y, y.shift(1)) + np.random.default_rng(1).exponential(0.2, len(y)),
    "another walk": lambda y: pd.Series(walk(len(y), seed=9)),
    "sum so far": lambda y: y.cumsum(),
    "rounded": lambda y: y.round(),
    "weekday": lambda y: pd.Series(np.arange(len(y)) % 5.0),
    "nearly itself": lambda y: y + np.random.default_rng(1).normal(0, 1e-3, len(y)),
    "noisy centred mean": lambda y: y.rolling(3, center=True).mean() + np.random.default_rng(1).normal(0, 1, len(y)),
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("rows", [140, 300, 1200])
def test_a_column_made_of_rows_before_it_is_left_alone(name, rows):
    y = pd.Series(walk(rows, seed=4))
    assert foresight.foresight(np.float32(HONEST[name](y)), np.float32(y), range(1, 61)) is None


def test_a_target_that_is_smoother_or_noisier_than_a_column_accuses_it_of_nothing():
    t, random = np.arange(2000), np.random.default_rng(0)
    clean = np.sin(2 * np.pi * t / 24.3) + 0.5 * np.sin(2 * np.pi * t / 168)
    noisy = clean + random.normal(0, 0.01, 2000)
    assert foresight.foresight(clean, noisy, range(1, 61)) is None
    assert foresight.foresight(noisy, clean, range(1, 61)) is None
    y = pd.Series(walk(2000))
    assert foresight.foresight(y, y.rolling(5).mean(), range(1, 61)) is None


@pytest.mark.parametrize("rows", [120, 1500])
def test_rounding_that_repeats_with_a_season_tells_nothing(rows):
    sine = pd.Series(np.sin(2 * np.pi * np.arange(rows) / 24) + 2)
    for column in (sine**2, np.log(sine), sine / sine.rolling(20).mean() - 1):
        assert foresight.foresight(np.float32(column), np.float32(sine), range(1, 61)) is None


def test_few_values_and_few_large_changes_are_no_knowledge():
    random = np.random.default_rng(0)
    shipped = random.poisson(2, 1000).cumsum()
    ordered = shipped + random.integers(2, 6, 1000)  # always a later number of shipped ones
    assert foresight.foresight(ordered, shipped, range(1, 61)) is None
    degrees = random.normal(size=1000).cumsum().round()
    assert foresight.foresight(degrees + random.integers(-1, 2, 1000), degrees, range(1, 61)) is None
    price = walk(1000)
    price[500:] -= 50  # a split, announced two days before
    assert foresight.foresight(1.0 * (np.arange(1000) >= 498), price, range(1, 61)) is None
    assert foresight.foresight(1.0 * (np.arange(1000) == 498), price, range(1, 61)) is None


def test_a_centred_mean_of_too_few_rows_is_not_tried():
    y = pd.Series(walk(80))
    assert foresight.foresight(y.rolling(5, center=True).mean(), y, range(1, 61)) is None
    assert foresight.foresight(y.rolling(5, center=True).mean(), y, []) is None


def test_a_centred_mean_in_one_series_of_several_is_named_with_its_last_row():
    frame = shop().assign(smooth=lambda f: f["y"].where(f["unique_id"] == "s0", 0.0))
    first = frame["unique_id"] == "s1"
    frame.loc[first, "smooth"] = frame.loc[first, "y"].rolling(5, center=True, min_periods=1).mean()
    checks, text = seen(forecast.audit(fit(frame, model=dense(3), past=["x", "smooth"]), cutoffs=1))
    assert checks == {"columns"}
    assert text == "Column 'smooth' at row t is made of y up to row t+2: it knows the future. Leave it out."


def test_a_known_column_that_is_a_mean_up_to_its_own_day_is_named_and_one_up_to_the_cutoff_is_not():
    frame = series(rows=260).assign(plan=lambda f: f["y"].rolling(3).mean(), old=lambda f: f["plan"].shift(2))
    checks, text = seen(forecast.audit(fit(frame.iloc[5:], model=dense(3), known=["plan", "old"]), cutoffs=1))
    assert checks == {"columns"}
    assert "Column 'plan' at row t is made of y up to the same row: it is given as known ahead, which" in text
    assert "'old'" not in text


def real(shared_data, name):
    """Returns real series, a frame each."""
    frame = pd.read_csv(next(shared_data.glob(f"*/{name}*.csv*")), index_col=0 if name == "occupancy" else None)
    parts = [part for _, part in frame.groupby("Ticker")] if "Ticker" in frame else [frame]
    return [part.select_dtypes("number").iloc[-2000:].astype(np.float32) for part in parts]


@pytest.mark.parametrize("name", ["AAPL", "AirPassengers"])
def test_columns_of_real_data_know_nothing_of_each_other(shared_data, name):
    for frame in real(shared_data, name):
        for column, target in itertools.permutations(frame, 2):
            assert foresight.foresight(frame[column], frame[target], range(1, 61)) is None, (column, target)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["us_daily_6tickers", "SPY", "ETTh1", "occupancy", "traffic_volume"])
def test_columns_of_more_real_data_know_nothing_of_each_other(shared_data, name):
    test_columns_of_real_data_know_nothing_of_each_other(shared_data, name)


@pytest.mark.parametrize(("name", "target"), [("AAPL", "Close"), ("AirPassengers", "#Passengers"), ("ETTh1", "OT")])
def test_real_series_have_no_centred_mean_unless_one_is_made(shared_data, name, target):
    (frame,) = real(shared_data, name)
    y = frame[target]
    for kind in ("centred mean", "Savitzky-Golay", "maximum"):
        make, last = MADE[kind]
        made = np.float32(make(y.reset_index(drop=True)))
        assert foresight.foresight(made, y, range(1, 61)) == ("is made of", 1.0, last)
    for make in HONEST.values():
        assert foresight.foresight(np.float32(make(y.reset_index(drop=True))), y, range(1, 61)) is None


def test_a_past_column_that_holds_the_next_value_is_named():
    frame = series().assign(next_y=lambda f: f["y"].shift(-1).ffill())
    checks, text = seen(forecast.audit(fit(frame, model=dense(3), past=["x", "next_y"])))
    assert checks == {"columns"}
    assert text == "Column 'next_y' at row t equals y at row t+1: it knows the future. Leave it out."


def test_a_target_that_is_another_ones_future_is_named():
    frame = series().assign(next_y=lambda f: f["y"].shift(-1).ffill())
    for order in (["y", "next_y"], ["next_y", "y"]):
        _, text = seen(forecast.audit(fit(frame, model=dense(2, 4), target=order), cutoffs=1))
        assert text == "Column 'next_y' at row t equals y at row t+1: it knows the future. Leave it out."


def test_a_known_column_that_is_the_target_is_named_and_one_that_is_older_than_the_horizon_is_not():
    frame = series().assign(plan=lambda f: f["y"], old=lambda f: f["y"].shift(2).bfill(), new=lambda f: f["y"].shift(1))
    checks, text = seen(forecast.audit(fit(frame, model=dense(4), known=["plan", "old", "new"])))
    assert checks == {"columns"}
    assert "Column 'plan' at row t equals y at the same row: it is given as known ahead" in text
    assert "Column 'new' at row t equals y at row t-1: it is given as known ahead" in text
    assert "'old'" not in text


# --- leaks built in ---------------------------------------------------------------------------------------------------


def feature(name, compute, warmup=0, known=False):
    return Feature(name, (f"{name}.value",), ("y",), True, warmup, known, compute, "Leaks.")


def centred(values, stamps):
    return pd.DataFrame(values).rolling(3, center=True).mean().to_numpy()


def over_all(values, stamps):
    return (values - values.mean()) / values.std()


def tomorrow(values, stamps):
    return pd.DataFrame(values).shift(1).to_numpy()


def so_far(values, stamps):
    return pd.DataFrame(values).expanding().mean().to_numpy()


@pytest.fixture
def with_feature(monkeypatch):
    def fitted(*args, **options):
        made = feature(*args, **options)
        monkeypatch.setattr(features, "make", lambda text, target, columns: made)
        return fit(series().drop(columns=["unique_id"]).set_index("ds")[["y"]], model=dense(2), features=[made.name])

    return fitted


@pytest.mark.parametrize("compute", [centred, over_all])
def test_a_feature_that_looks_ahead_is_named(with_feature, compute):
    checks, text = seen(forecast.audit(with_feature("mine", compute, warmup=2)))
    assert {"features", "forecasts"} <= checks
    assert re.search(r"Feature 'mine': mine\.value at 2024-\d\d-\d\d moved by [\d.,]+ when rows after 2024-", text)
    assert re.search(
        r"The forecast of own of y, step 1, from cutoff 2024-.* when rows after .* It sees later rows of y\.", text
    )


def test_a_feature_that_claims_to_be_known_ahead_and_reads_the_target_is_named(with_feature):
    checks, text = seen(forecast.audit(with_feature("mine", tomorrow, warmup=1, known=True)))
    assert "features" in checks
    assert "It says that it is known ahead." in text


def test_a_feature_that_sees_more_rows_than_its_warm_up_is_named(with_feature):
    checks, text = seen(forecast.audit(with_feature("mine", so_far)))
    assert "features" in checks
    assert "only the 0 rows of its warm-up lie before: it sees more rows than it says." in text
    assert "forecasts" in checks
    assert "Made live, from rows up to 2024-" in text


def fit_on_all_rows(monkeypatch):
    own = DataPipeline._training_rows
    monkeypatch.setattr(
        DataPipeline,
        "_training_rows",
        lambda self, panel, firsts, ends, report: own(self, panel, panel.offsets[:-1], panel.offsets[1:], report),
    )


def test_a_scaler_fitted_on_all_rows_is_named(plain, monkeypatch):
    fit_on_all_rows(monkeypatch)
    checks, text = seen(forecast.audit(plain))
    assert {"scaling"} <= checks <= {"scaling", "calibration"}
    assert re.search(r"Factor of y of series was 0\.\d+ and became \S+ when rows after training changed\.", text)
    assert "Lower bound of y of series" in text


def test_a_scaler_that_was_fitted_on_all_rows_once_is_named(monkeypatch):
    with monkeypatch.context() as patch:
        fit_on_all_rows(patch)
        model = fit(shop(), model=dense(), scaling={"shared": True})
    checks, text = seen(forecast.audit(model))
    assert {"scaling"} <= checks <= {"scaling", "calibration"}
    assert re.search(
        r"Factor of y of all series is \S+, but training rows give \S+: it was learned on others, too", text
    )


def test_returns_and_static_ranges_learned_on_later_rows_are_named(monkeypatch):
    frame = shop()[["unique_id", "ds", "y", "size"]]
    past, static = keras.Input((8, 1), name="past"), keras.Input((1,), name="static")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(past), static])
    own = keras.Model({"past": past, "static": static}, keras.layers.Dense(2)(joined))
    model = fit(frame, model=own, static=["size"], predict="return", scaling="none")
    monkeypatch.setattr(
        DataPipeline,
        "static",
        lambda self, panel: np.array([[panel.values[panel.rows(s), 1].mean()] for s in range(2)]),
    )
    own_sigma = DataPipeline._return_sigma
    seen_rows = {"panel": None}

    def fit_all(self, panel, splits, report=None, fit=DataPipeline.fit):
        seen_rows["panel"] = panel
        result = fit(self, panel, splits, report)
        self.sigma_ = {
            name: own_sigma(self, panel.values[panel.rows(s), :1].astype(float)) for s, name in enumerate(panel.ids)
        }
        return result

    monkeypatch.setattr(DataPipeline, "fit", fit_all)
    checks, text = seen(forecast.audit(model, cutoffs=1))
    assert "scaling" in checks
    assert "Size of returns of y of s0 was " in text
    assert "Lowest of size of all series was " in text


def test_a_new_series_scaled_by_rows_after_the_cutoff_is_named(plain, monkeypatch):
    own = DataPipeline.transform
    monkeypatch.setattr(DataPipeline, "transform", lambda self, panel, known_until=None: own(self, panel))
    checks, text = seen(forecast.audit(plain))
    assert checks == {"scaling"}
    assert "As a series not seen in training, the factor of y of series moved when rows after 2024-" in text


def test_a_training_part_that_reaches_into_validation_is_named(plain, monkeypatch):
    own = Splits.rows

    def rows(self, part):
        first, end = own(self, part)
        return (first, end + 5) if part == "train" else (first, end)

    monkeypatch.setattr(Splits, "rows", rows)
    checks, text = seen(forecast.audit(plain))
    assert "splits" in checks
    assert "Train reaches 5 rows into validation, in 'series'." in text


def test_windows_whose_future_leaves_their_part_are_named(plain, monkeypatch):
    own = windows.index_windows
    monkeypatch.setattr(
        selection,
        "index_windows",
        lambda offsets, spec, part, *rest: own(offsets, spec, (part[0], np.minimum(part[1] + 1, offsets[1:])), *rest),
    )
    checks, text = seen(forecast.audit(plain))
    assert "splits" in checks
    assert re.search(r"1 of \d+ train windows have a future outside train, the first from cutoff 2024-", text)
    assert re.search(r"1 of \d+ calibration windows have a future outside calibration", text)


def test_series_with_dates_that_are_cut_at_different_dates_are_named(ahead, monkeypatch):
    panel = ahead.panel_
    rows = panel.offsets[:-1, None] + (np.diff(panel.offsets)[:, None] * [0, 0.4, 0.6, 0.8, 1]).astype(int)
    rows[1, 1:4] = panel.offsets[1] + np.array([90, 110, 130])
    monkeypatch.setattr(ahead, "_splits", Splits(rows, ahead.splits_.starts))
    _, text = seen(forecast.audit(ahead))
    assert "Train of 's1' ends at 2024-03-30, and validation of another series has begun at 2024-03-05" in text


def test_a_cut_that_depends_on_values_is_named(plain, monkeypatch):
    own = splits.split

    def by_value(panel, spec=None, starts=None, tails=None):
        found = own(panel, spec, starts, tails)
        found.bounds[:, 1] -= int(panel.values.mean() > 110)
        return found

    monkeypatch.setattr(splits, "split", by_value)
    checks, text = seen(forecast.audit(plain))
    assert checks == {"splits"}
    assert text == "Where the parts are cut depends on values: they moved when rows changed."


def test_a_hole_that_is_filled_from_behind_is_named(ahead, monkeypatch):
    monkeypatch.setattr(pipeline, "fill", lambda values, policy, limit: pd.DataFrame(values).bfill().to_numpy())
    checks, text = seen(forecast.audit(ahead))
    assert "cleaning" in checks
    assert re.search(r"^x at 2024-\d\d-\d\d of s0 moved by [\d.,]+ when rows after 2024-", text, re.MULTILINE)


def test_lines_across_holes_look_ahead_and_the_setting_is_named():
    checks, text = seen(forecast.audit(fit(series(), model=dense(), target="y", cleaning={"gaps": "interpolate"})))
    assert checks == {"cleaning"}
    assert "A line across a hole looks ahead of it: choose cleaning.gaps='ffill'." in text


def test_outliers_smoothed_with_later_rows_are_named(plain, monkeypatch):
    def smoothed(panel, spec=None):
        values = pd.DataFrame(panel.values).rolling(9, center=True, min_periods=1).median()
        return Panel(
            panel.ids, panel.offsets, panel.ds, values.to_numpy(), panel.columns, panel.calendars
        ), cleaning.CleaningReport()

    monkeypatch.setattr(prepare, "clean", smoothed)
    checks, text = seen(forecast.audit(plain))
    assert {"cleaning", "forecasts"} <= checks
    assert text.startswith("y at 2024-")


def test_rows_that_are_dropped_because_of_later_ones_are_named(plain, monkeypatch):
    def shorter(panel, spec=None):
        return panel.tail(len(panel) - int(panel.values[-1, 0] > 500)), cleaning.CleaningReport()

    monkeypatch.setattr(prepare, "clean", shorter)
    _, text = seen(forecast.audit(plain, cutoffs=1))
    assert "Which rows are kept depends on values after them" in text


def test_a_network_that_sees_known_covariates_too_far_ahead_is_named(ahead, monkeypatch):
    def both(self, values):
        rows = np.minimum(self.cutoffs + self.spec.horizon + 1, len(values) - 1)[:, None]
        return np.concatenate([self.past(values), self.future(values)[:, 1:], values[rows]], axis=1)

    monkeypatch.setattr(WindowIndex, "both", both)
    checks, text = seen(forecast.audit(ahead))
    assert "forecasts" in checks
    assert re.search(
        r"The forecast of own of y, step 1, from cutoff 2024-\S+ of s0 moved by .* It sees later rows of promo\.",
        text,
    )


def test_a_window_that_is_a_row_too_late_is_named(plain, monkeypatch):
    own = WindowIndex.past
    monkeypatch.setattr(
        WindowIndex,
        "past",
        lambda self, values: own(
            WindowIndex(np.minimum(self.cutoffs + 1, len(values) - 1), self.series, self.spec), values
        ),
    )
    checks, text = seen(forecast.audit(plain))
    assert "forecasts" in checks
    assert re.search(
        r"The forecast of lstm of y, step 1, from cutoff 2024-\S+ moved by .* It sees later rows of y\.",
        text,
    )


def test_a_processor_that_rounds_at_random_is_no_leak(plain, monkeypatch):
    own, random = fitting.Fitted.answers, np.random.default_rng(0)

    def restless(self, rows, index):
        found = own(self, rows, index)
        return found + 1e-6 * random.normal(size=found.shape)

    monkeypatch.setattr(fitting.Fitted, "answers", restless)
    by = {check.name: check for check in passes(forecast.audit(plain)).checks}
    assert by["forecasts"].result == by["intervals"].result == "passed"
    assert by["calibration"].tried == "two forecasts of the same windows differ on this machine"
    monkeypatch.setattr(
        fitting.Fitted, "answers", lambda self, rows, index: restless(self, rows, index) + 1e-3 * rows.last.mean()
    )
    assert "forecasts" in seen(forecast.audit(plain))[0]


def test_a_baseline_that_looks_ahead_is_named(plain, monkeypatch):
    def mean(values, cutoffs, steps, season_length=1):
        return np.full((len(cutoffs), len(steps)), np.nanmean(values))

    monkeypatch.setitem(BASELINES, "mean", mean)
    checks, text = seen(forecast.audit(plain))
    assert checks == {"baselines"}
    assert text.startswith("The forecast of mean of y, step 1, from cutoff 2024-")


def test_statistical_baselines_pass_and_one_that_looks_ahead_is_named(plain, monkeypatch):
    passes(forecast.audit(plain))
    own = STATISTICAL["ets"]
    monkeypatch.setitem(
        STATISTICAL, "ets", lambda values, cutoffs, *rest: own(values, np.minimum(cutoffs + 1, len(values) - 1), *rest)
    )
    checks, text = seen(forecast.audit(plain))
    assert (checks, text) == ({"baselines"}, "The forecast of ets moved when rows after its cutoff changed.")


def test_intervals_learned_on_test_rows_are_named(plain, monkeypatch):
    monkeypatch.setattr(
        selection, "calibration_windows", lambda p, rows, s: selection.scored_windows(p, rows, s, "test")
    )
    checks, text = seen(forecast.audit(plain))
    assert "calibration" in checks
    assert re.search(r"Scores of calibration windows moved by [\d.,]+ when test rows changed\.", text)


def test_intervals_that_were_learned_on_test_rows_once_are_named(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "calibration_windows", lambda p, rows, s: selection.scored_windows(p, rows, s, "test"))
        model = fit(series(), model=dense())
    checks, text = seen(forecast.audit(model))
    assert checks == {"calibration"}
    assert "Scores of calibration windows are not those of the calibration part" in text


def test_intervals_that_are_as_wide_as_the_future_is_wild_are_named(plain, monkeypatch):
    own = Intervals.scale
    monkeypatch.setattr(Intervals, "scale", lambda self, rows, index: own(self, rows, index) * np.nanstd(rows.last))
    checks, text = seen(forecast.audit(plain))
    assert checks == {"calibration", "intervals"}
    assert re.search(r"y_pred_lo_80 of y, step 1, from cutoff 2024-\S+ moved by", text)


def test_adaptive_intervals_that_know_the_truth_too_soon_are_named(plain, monkeypatch):
    own = adaptive._known
    monkeypatch.setattr(
        adaptive, "_known", lambda at, *rest: np.minimum(own(at, *rest) + 1, np.arange(len(at))[:, None])
    )
    checks, text = seen(forecast.audit(plain))
    assert checks == {"intervals"}
    assert "(adaptive) of y, step 2, from cutoff 2024-" in text  # of step 1, the day after is soon enough


def test_a_converter_that_is_shown_test_rows_is_named(plain, monkeypatch):
    def everything(pipeline, rows, splits, report):
        return selection.scored_windows(pipeline, rows, splits, "test")

    monkeypatch.setattr(exported, "training_windows", everything)
    checks, text = seen(forecast.audit(plain))
    assert checks == {"export"}
    assert text.startswith("The converter is shown windows whose 'past' holds rows after training: ")


# --- fitted again -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def again():
    return fit(series()[["ds", "y"]].set_index("ds"), model=dense())


@pytest.mark.slow
def test_training_again_passes(again):
    found = passes(forecast.audit(again, cutoffs=1, retrain=True))
    assert found.checks[-1].name == "training"
    assert found.checks[-1].tried == "1 epoch, and a backtest that refits"


def test_training_that_sees_test_rows_is_named(again, monkeypatch):
    def everything(pipeline, rows, splits, report):
        return windows.index_windows(
            rows.panel.offsets, pipeline.spec.window, (splits.bounds[:, 0], splits.bounds[:, 4])
        )

    monkeypatch.setattr(fitting, "training_windows", everything)
    checks, text = seen(forecast.audit(again, cutoffs=1, retrain=True))
    assert checks == {"training"}
    assert re.search(r"Weight \S+ moved by \S+ when test rows changed\.", text)


@pytest.mark.slow
def test_early_stopping_by_test_rows_is_named(again, monkeypatch):
    monkeypatch.setattr(fitting, "validation_windows", lambda p, rows, s: selection.scored_windows(p, rows, s, "test"))
    checks, text = seen(forecast.audit(again, cutoffs=1, retrain=True))
    assert checks == {"training"}
    assert "The val_loss by epoch moved by " in text


class Late(Splits):
    def rows(self, part):
        whole = self.bounds[:, 0], self.bounds[:, 4]
        return whole if part == "train" else super().rows(part)


@pytest.mark.slow
def test_a_backtest_whose_refits_see_later_rows_is_named(again, monkeypatch):
    own = refitting.before
    monkeypatch.setattr(refitting, "before", lambda *args: Late(own(*args).bounds, None))
    checks, text = seen(forecast.audit(again, cutoffs=1, retrain=True))
    assert checks == {"training"}
    assert "Forecasts of a model that is fitted again moved by " in text


def test_a_bundle_of_an_own_model_cannot_be_fitted_again(ahead, tmp_path):
    ahead.save("own", tmp_path)
    found = passes(forecast.audit(Forecaster.load("own", tmp_path), shop(), cutoffs=1, retrain=True))
    assert (found.checks[-1].result, found.checks[-1].tried) == (
        "not tried",
        "a bundle holds no untrained model of yours",
    )


# --- what it answers --------------------------------------------------------------------------------------------------


def test_the_answer_is_a_table_for_people_and_plain_data_for_machines(plain):
    found = forecast.audit(plain)
    lines = str(found).splitlines()
    assert lines[0] == "leakage audit of lstm: 1 of 1 series, 160 rows, 3 cutoffs a check, seed 0"
    assert lines[1].split() == ["check", "result", "tried"]
    assert [line.split()[0] for line in lines[2:-1]] == [check.name for check in found.checks]
    assert len({line.index("passed") for line in lines if "passed" in line and line != lines[-1]}) == 1
    assert lines[-1] == found.verdict
    data = json.loads(json.dumps(found.to_dict()))
    assert (data["passed"], data["series"], data["of_series"], data["cutoffs"]) == (True, 1, 1, 3)
    assert data["checks"][0] == {
        "check": "columns",
        "result": "not tried",
        "tried": "there are none beside the target",
        "leaks": [],
    }
    assert found._repr_html_().count("<tr>") == 1 + len(found.checks)


def test_the_verdict_counts_what_leaks(plain, monkeypatch):
    monkeypatch.setattr(Intervals, "scale", lambda self, rows, index: np.full((len(index), 1), np.nanstd(rows.last)))
    found = forecast.audit(plain)
    assert found.verdict == "2 checks leak: calibration, intervals. Not tried: columns, features."
    assert str(found).endswith(found.verdict)
    assert "<p>" in found._repr_html_()


def test_what_is_not_fitted_or_no_number_is_refused(plain):
    with pytest.raises(NotFitted, match="must be fitted first"):
        forecast.audit(Forecaster(**TINY), "sample:goog")
    for name in ("series", "cutoffs"):
        for value in (0, True, 1.5):
            with pytest.raises(ConfigError, match=f"`{name}` must be an integer >= 1. Received: {value}"):
                forecast.audit(plain, **{name: value})


def test_poison_changes_every_row_after_the_cutoff_and_none_before(plain):
    trial = audit._trial(plain, None, 8, 3, 0)
    first = np.array([100])
    for t in range(3):
        other = trial.poisoned(first, t).values
        np.testing.assert_array_equal(other[:100], plain.panel_.values[:100])
        assert (other[100:] != plain.panel_.values[100:]).all()
        assert (other > 0).all()


def test_of_a_few_codes_another_one_is_taken():
    random, codes = np.random.default_rng(0), np.array([0.0, 1.0, 3.0])
    values = np.array([0.0, 3.0, np.nan, 1.0])
    assert _poison.changed(values, 0, random, codes).tolist()[:2] == [1.0, 0.0]
    for t in range(6):
        other = _poison.changed(values, t, random, codes)
        assert np.isin(other[[0, 1, 3]], codes).all()
        assert (other != values).all()


def test_known_covariates_are_changed_beyond_the_horizon_only(ahead):
    trial = audit._trial(ahead, None, 8, 3, 0)
    gone = _poison.moved(trial.panel.values, trial.poisoned(np.array([100, 260]), 0).values)
    columns = {name: np.flatnonzero(gone[:, c]) for c, name in enumerate(trial.panel.columns)}
    assert (columns["y"].min(), columns["promo"].min()) == (100, 102)
    assert set(columns["y"]) >= {260, *range(100, 160)}


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not err.getvalue()
    return end.value.code or 0, out.getvalue()


def test_the_command_ends_with_65_where_something_leaks(tmp_path):
    series().assign(next_y=lambda f: f["y"].shift(-1).ffill()).drop(columns="unique_id").to_csv(
        tmp_path / "rows.csv", index=False
    )
    fit(str(tmp_path / "rows.csv"), model=dense(2), past=["next_y"]).save("leaky", tmp_path)
    fit(str(tmp_path / "rows.csv"), model=dense(2), past=["x"]).save("honest", tmp_path)
    code, out = run("audit", "honest", "--folder", tmp_path)
    assert code == 0
    assert out.splitlines()[-1].startswith("No leak found: ")
    code, out = run("audit", "leaky", "--folder", tmp_path, "--cutoffs", "1", "--json")
    assert code == 65
    assert json.loads(out)["checks"][0]["leaks"] == [
        "Column 'next_y' at row t equals y at row t+1: it knows the future. Leave it out."
    ]


@pytest.mark.parametrize("module", [audit, foresight, _poison])
def test_the_examples_in_the_docstrings_run(module):
    assert doctest.testmod(module, extraglobs={"np": np}, optionflags=doctest.ELLIPSIS).failed == 0
