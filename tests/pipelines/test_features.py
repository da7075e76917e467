"""Features: two rules that hold for every one of them, and a second way to the answer for the best known."""

import math
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import features
from pipelines.errors import ConfigError, UnknownName
from pipelines.features import Call, Feature, indicators

COLUMNS = ["Open", "High", "Low", "Close", "Volume"]
EVERY_NAME = [name for family in features.registry.names() for name in features.registry.load(family).names()]

# A feature ends up as float32: a few of its steps, relative to the largest value that the column has in this series.
RESOLUTION = 4 * float(np.finfo(np.float32).eps)

OF_A_PRICE = "RSI EMA RMA DEMA TEMA T3 TRIX CMO ZLEMA WMA STDDEV"
OF_A_BAR = "ATR NATR ADX ADXR DX PLUS_DI MINUS_DM CCI MFI ERI EFI CVI"

periods = st.integers(2, 40)
averages = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 10, 12, 13])
texts = st.one_of(
    st.builds("{}({})".format, st.sampled_from(["lag", "diff", "returns", "log_returns", "rolling_mean"]), periods),
    st.builds("rolling_std({})".format, periods),
    st.builds("{}({})".format, st.sampled_from(OF_A_PRICE.split()), periods),
    st.builds("{}({})".format, st.sampled_from(OF_A_BAR.split()), periods),
    st.builds("BBANDS({}, {}, nbdevdn={}, matype={})".format, periods, st.floats(0.5, 4), st.floats(0.5, 4), averages),
    st.builds("MA({}, {})".format, periods, averages),
    st.builds("{}({}, {}, matype={})".format, st.sampled_from(["APO", "PPO", "PVO"]), periods, periods, averages),
    st.builds("MACD({}, {}, {})".format, periods, periods, periods),
    st.builds("MACDEXT({}, {}, {}, {}, {}, {})".format, periods, averages, periods, averages, periods, averages),
    st.builds("STOCH({}, {}, {}, {}, {})".format, periods, periods, averages, periods, averages),
    st.builds("{}({}, {})".format, st.sampled_from(["ADOSC", "KC", "RVI", "TSI", "MASSI"]), periods, periods),
    st.builds("SMI({}, {}, {}, {})".format, periods, periods, periods, periods),
)


def make(text: str) -> Feature:
    return features.make(text, target="Close", columns=COLUMNS)


def market(seed: int, rows: int, price: float = 100.0, volatility: float = 0.01, gaps: float = 0.0) -> pd.DataFrame:
    """Returns a market that never stands still: a random walk with its day's range, at uneven stamps."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0, volatility, rows)))
    begin = np.r_[price, close[:-1]] * np.exp(rng.normal(0, volatility / 3, rows))
    high = np.maximum(begin, close) * np.exp(np.abs(rng.normal(0, volatility / 3, rows)))
    low = np.minimum(begin, close) * np.exp(-np.abs(rng.normal(0, volatility / 3, rows)))
    volume = np.floor(np.exp(rng.normal(12, 0.5, rows)))
    unit = ["s", "ms", "us", "ns"][seed % 4]
    stamps = np.datetime64("2001-03-04T05:06:07") + np.cumsum(rng.integers(1, 200_000, rows)).astype("m8[s]")
    frame = pd.DataFrame(
        np.column_stack([begin, high, low, close, volume]),
        columns=COLUMNS,
        index=pd.DatetimeIndex(stamps).as_unit(unit),
    )
    frame[rng.random(rows) < gaps] = np.nan
    return frame


markets = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "price": st.sampled_from([1e-3, 1.0, 100.0, 1e5]),
        "volatility": st.sampled_from([0.001, 0.01, 0.03]),
    }
)


def compute(feature: Feature, frame: pd.DataFrame) -> np.ndarray:
    return feature.compute(frame[list(feature.inputs)].to_numpy(), frame.index)


def check_that_no_value_looks_ahead(feature: Feature, frame: pd.DataFrame, cutoff: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = frame.copy()
    future = rng.permutation(other[cutoff:].to_numpy() * rng.normal(2, 3, (len(frame) - cutoff, 1)))
    future[rng.random(future.shape) < 0.1] = np.nan
    future[rng.random(future.shape) < 0.1] = np.inf
    other.iloc[cutoff:] = future
    other.index = frame.index + pd.to_timedelta(np.where(np.arange(len(frame)) < cutoff, 0, 7), unit="h")
    np.testing.assert_array_equal(compute(feature, other)[:cutoff], compute(feature, frame)[:cutoff])


def check_that_warmup_rows_are_enough(
    feature: Feature, frame: pd.DataFrame, last: int, warmup: int | None = None
) -> None:
    warmup = feature.warmup if warmup is None else warmup
    whole = compute(feature, frame)
    few = compute(feature, frame[-(warmup + last) :])
    for column in range(whole.shape[1]):
        scale = np.nanmax(np.abs(whole[:, column]), initial=0.0)
        np.testing.assert_allclose(few[warmup:, column], whole[-last:, column], rtol=0, atol=RESOLUTION * scale)


def cheat(compute) -> Feature:
    """Returns a feature that breaks the rules which it claims to keep."""
    return Feature("cheat", ("cheat",), ("Close",), False, 10, False, compute, "Cheats.")


# The two rules.


@pytest.mark.parametrize("name", EVERY_NAME)
@settings(deadline=None, max_examples=5)
@given(market_=markets, cutoff=st.integers(0, 299))
def test_a_changed_future_leaves_past_values_unchanged(name, market_, cutoff):
    check_that_no_value_looks_ahead(make(name), market(rows=300, gaps=0.002, **market_), cutoff, market_["seed"])


@pytest.mark.parametrize("name", EVERY_NAME)
@settings(deadline=None, max_examples=5)
@given(market_=markets, last=st.integers(1, 30), before=st.integers(0, 300), gaps=st.sampled_from([0, 0.003]))
def test_warmup_rows_and_the_last_rows_give_what_the_whole_series_gives(name, market_, last, before, gaps):
    feature = make(name)
    frame = market(rows=before + feature.warmup + last, gaps=gaps, **market_)
    check_that_warmup_rows_are_enough(feature, frame, last)


@settings(deadline=None, max_examples=150)
@given(text=texts, market_=markets, last=st.integers(1, 30), cutoff=st.integers(0, 299))
def test_both_rules_hold_whatever_the_parameters(text, market_, last, cutoff):
    feature = make(text)
    check_that_no_value_looks_ahead(feature, market(rows=300, gaps=0.002, **market_), cutoff, market_["seed"])
    check_that_warmup_rows_are_enough(feature, market(rows=200 + feature.warmup + last, **market_), last)


@pytest.mark.parametrize("name", ["BBANDS", "RSI", "lag", "rolling_std", "elapsed"])
@settings(deadline=None, max_examples=20)
@given(closes=st.lists(st.floats(), max_size=60))
def test_no_data_is_an_error(name, closes):
    feature = make(name)
    stamps = pd.date_range("2024-01-01", periods=len(closes), freq="h")
    values = np.array(closes, dtype=float).reshape(-1, 1)[:, : len(feature.inputs)]
    result = feature.compute(values, stamps)
    assert result.shape == (len(closes), len(feature.columns))
    assert not np.isinf(result).any()


def test_the_rules_catch_a_feature_that_looks_one_row_ahead():
    tomorrow = cheat(lambda values, stamps: np.roll(values, -1, axis=0))
    with pytest.raises(AssertionError):
        check_that_no_value_looks_ahead(tomorrow, market(0, 300), cutoff=200, seed=0)


def test_the_rules_catch_a_feature_that_remembers_the_first_row():
    since_the_start = cheat(lambda values, stamps: values - values[0])
    with pytest.raises(AssertionError):
        check_that_warmup_rows_are_enough(since_the_start, market(0, 300), last=20)


@pytest.mark.parametrize(
    ("name", "part"),  # the more recursions over recursions, the more generous is the sum of their memories
    [(name, 3) for name in ("EMA", "RSI", "ATR", "MACD", "ADX", "KC", "STOCHRSI", "HA", "CVI")]
    + [("TRIX", 4), ("T3", 7)],
)
def test_a_small_part_of_the_warmup_would_not_be_enough(name, part):
    feature = make(name)
    with pytest.raises(AssertionError):
        check_that_warmup_rows_are_enough(
            feature, market(1, 4 * feature.warmup), last=30, warmup=feature.warmup // part
        )


# What every feature says of itself.


@pytest.mark.parametrize("name", EVERY_NAME)
def test_a_feature_yields_the_columns_that_it_names(name):
    feature = make(name)
    for rows in (0, 1, 40):
        frame = market(0, rows)
        assert compute(feature, frame).shape == (rows, len(feature.columns))
        assert np.isnan(compute(feature, frame * np.nan)).all() or feature.known
    assert len(set(feature.columns)) == len(feature.columns)
    assert feature.known == (not feature.inputs)
    assert feature.means.endswith(".")
    assert make(feature.name).columns == feature.columns


def test_levels_are_told_from_what_does_not_move_with_the_price():
    levels = {name for name in EVERY_NAME if make(name).level}
    assert levels >= {"EMA", "SMA", "BBANDS", "MIDPRICE", "HA", "TYPPRICE", "SUM", "lag", "rolling_mean"}
    assert not levels & {"RSI", "MACD", "ATR", "AVGDEV", "STDDEV", "CDLDOJI", "rolling_std", "returns", "day_of_week"}


def test_a_feature_says_in_one_sentence_how_to_compute_it():
    assert make("RSI(14)").means == "TA-Lib RSI of Close, timeperiod=14."
    assert make("ATR(7)").means == "TA-Lib ATR of High, Low, Close, timeperiod=7."
    assert make("lag(3)").means == "Close, 3 rows earlier."


# Calendar.


def test_cycles_of_known_dates():
    stamps = pd.DatetimeIndex(["2024-02-29 06:00", "2023-12-31 18:00", "2024-01-01 00:00"])  # Thursday, Sunday, Monday
    positions = {
        "time_of_day": [1 / 4, 3 / 4, 0],
        "day_of_week": [3 / 7, 6 / 7, 0],
        "day_of_month": [28 / 29, 30 / 31, 0],
        "month": [1 / 12, 11 / 12, 0],
        "day_of_year": [59 / 366, 364 / 365, 0],
    }
    for unit in ("s", "us", "ns"):
        for name, position in positions.items():
            feature = make(name)
            expected = [[math.sin(2 * math.pi * p), math.cos(2 * math.pi * p)] for p in position]
            found = feature.compute(np.empty((3, 0)), stamps.as_unit(unit))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
            assert feature.columns == (f"{name}.sin", f"{name}.cos")


def test_the_last_minute_of_a_day_lies_beside_the_first():
    late, early = make("time_of_day").compute(np.empty((2, 0)), pd.DatetimeIndex(["2024-01-01 23:59", "2024-01-02"]))
    assert np.hypot(*(late - early)) == pytest.approx(2 * math.pi / (24 * 60), rel=1e-3)


def test_elapsed_counts_days_since_the_row_before():
    stamps = pd.DatetimeIndex(["2024-01-05", "2024-01-08", "2024-01-08 06:00"])  # a weekend, then a quarter of a day
    np.testing.assert_array_equal(make("elapsed").compute(np.empty((3, 0)), stamps), [[np.nan], [3], [0.25]])


@pytest.mark.parametrize("name", ["day_of_week", "elapsed"])
def test_a_series_without_dates_has_no_calendar(name):
    with pytest.raises(
        ConfigError, match=rf"`{name}` needs stamps that are dates. Received: int64 .* take '{name}' out"
    ):
        make(name).compute(np.empty((3, 0)), np.arange(3))


# Lags.


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_lags_are_what_pandas_computes(n):
    close = market(5, 200, gaps=0.01)["Close"]
    expected = {
        "lag": close.shift(n),
        "diff": close.diff(n),
        "returns": close.pct_change(n, fill_method=None),
        "log_returns": np.log(close / close.shift(n)),
        "rolling_mean": close.rolling(n).mean(),
        "rolling_std": close.rolling(max(n, 2)).apply(lambda window: np.std(window, ddof=1), raw=True),
    }
    for name, column in expected.items():
        feature = make(f"{name}({max(n, 2) if name == 'rolling_std' else n})")
        found = feature.compute(close.to_numpy()[:, None], close.index)[:, 0]
        np.testing.assert_allclose(found, column, rtol=1e-9, atol=1e-12)
        assert np.isnan(found[: feature.warmup]).all()


def test_rolling_std_of_cents_on_a_high_price_keeps_its_digits():
    close = 1e5 + np.random.default_rng(0).normal(0, 0.01, 300)
    found = make("rolling_std(20)").compute(close[:, None], np.arange(300))[19:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(close - 1e5, 20)  # exact: so near to one another
    np.testing.assert_allclose(found, windows.std(axis=1, ddof=1), rtol=1e-10)
    assert (make("rolling_std(3)").compute(np.full((50, 1), 0.1), np.arange(50))[2:] == 0).all()


@pytest.mark.parametrize("text", ["rolling_mean(7)", "rolling_std(20)", "log_returns(3)"])
def test_a_lag_is_a_function_of_its_own_rows_to_the_last_bit(text):
    feature, frame = make(text), market(3, 500)
    frame.iloc[:100] *= 1e12  # what lies before must leave no rounding behind
    whole = compute(feature, frame)[-1]
    np.testing.assert_array_equal(compute(feature, frame[-(feature.warmup + 1) :])[-1], whole)


def test_what_has_no_logarithm_or_no_ratio_is_missing():
    close = np.array([[1.0], [0.0], [-2.0], [4.0], [2.0]])
    np.testing.assert_array_equal(make("returns").compute(close, np.arange(5)).T, [[np.nan, -1, np.nan, -3, -0.5]])
    found = make("log_returns").compute(close, np.arange(5)).T
    np.testing.assert_allclose(found, [[np.nan, np.nan, np.nan, np.nan, -math.log(2)]], rtol=1e-15)


# Indicators.


def wilder(values: np.ndarray, period: int) -> np.ndarray:
    """Returns Wilder's mean: the plain mean of the first `period` values, then 1/period of each new one."""
    means = [values[:period].mean()]
    for value in values[period:]:
        means.append(means[-1] + (value - means[-1]) / period)
    return np.array(means)


@pytest.mark.parametrize("period", [2, 14, 21])
def test_rsi_is_wilders(period):
    frame = market(7, 300)
    change = np.diff(frame["Close"])
    gain, loss = wilder(np.maximum(change, 0), period), wilder(np.maximum(-change, 0), period)
    found = compute(make(f"RSI({period})"), frame)[:, 0]
    np.testing.assert_allclose(found[period:], 100 * gain / (gain + loss), rtol=1e-9)
    assert np.isnan(found[:period]).all()


def test_atr_is_wilders():
    frame = market(8, 300)
    high, low, before = frame["High"][1:], frame["Low"][1:], frame["Close"].shift()[1:]
    true_range = np.max([high - low, (high - before).abs(), (low - before).abs()], axis=0)
    np.testing.assert_allclose(compute(make("ATR(14)"), frame)[14:, 0], wilder(true_range, 14), rtol=1e-10)


@pytest.mark.parametrize("text", ["EMA(10)", "MACD", "DEMA(9)", "TRIX(5)"])
def test_settled_exponential_means_are_those_of_pandas_wherever_they_start(text):
    frame = market(9, 1000)

    def ema(values: pd.Series, span: int) -> pd.Series:
        return values.ewm(span=span, adjust=False).mean()  # starts from the first row, TA-Lib from a mean

    close = frame["Close"]
    if text == "MACD":
        line = ema(close, 12) - ema(close, 26)
        expected = [line, ema(line, 9), line - ema(line, 9)]
    elif text == "DEMA(9)":
        expected = [2 * ema(close, 9) - ema(ema(close, 9), 9)]
    elif text == "TRIX(5)":
        expected = [100 * ema(ema(ema(close, 5), 5), 5).pct_change()]
    else:
        expected = [ema(close, 10)]
    feature = make(text)
    found = compute(feature, frame)[feature.warmup :]
    for column, other in zip(found.T, expected, strict=True):
        np.testing.assert_allclose(column, other[feature.warmup :], rtol=0, atol=RESOLUTION * np.abs(other).max())


def test_bollinger_bands_are_a_mean_and_two_deviations():
    frame = market(10, 200)
    rolling = frame["Close"].rolling(20)
    mean, deviation = rolling.mean(), rolling.std(ddof=0)
    feature = make("BBANDS(20, nbdevup=2.5)")
    assert feature.columns == tuple(
        f"BBANDS(20, nbdevup=2.5).{band}" for band in ("upperband", "middleband", "lowerband")
    )
    expected = np.column_stack([mean + 2.5 * deviation, mean, mean - 2 * deviation])
    np.testing.assert_allclose(compute(feature, frame), expected, rtol=1e-10)


def test_a_candle_pattern_is_100_where_it_is_seen():
    frame = pd.DataFrame(
        {"Open": [10.0, 9.0, 8.0, 6.5], "High": 11.0, "Low": 6.0, "Close": [9.0, 8.0, 7.0, 8.5]}, columns=COLUMNS[:4]
    )
    found = features.make("CDLENGULFING", "Close", COLUMNS[:4]).compute(frame.to_numpy(), np.arange(4))
    np.testing.assert_array_equal(found, [[np.nan], [np.nan], [0], [100]])  # a white body over the black one before


@given(a=st.floats(0.001, 0.999))
def test_after_the_rows_that_settle_less_than_a_float32_step_is_left(a):
    assert (1 - a) ** indicators.settle(a) <= 2**-24 * (1 + 1e-6)
    assert (1 - a) ** (indicators.settle(a) - 1) > 2**-24 * (1 - 1e-6)


@pytest.mark.parametrize("text", ["RSI(14)", "MACD", "ATR(5)", "CDLDOJI"])
def test_after_a_missing_row_an_indicator_starts_anew(text):
    feature, frame = make(text), market(11, 600)
    frame.loc[frame.index[200], "Close"] = np.nan
    found = compute(feature, frame)
    np.testing.assert_array_equal(found[:200], compute(feature, frame[:200]))
    assert np.isnan(found[200]).all()
    np.testing.assert_array_equal(found[201:], compute(feature, frame[201:]))


def test_columns_are_found_in_capitals_or_not_and_one_price_is_the_target():
    assert features.make("ATR", "low", ["low", "CLOSE", "High", "note"]).inputs == ("High", "low", "CLOSE")
    assert features.make("RSI", "load", ["load", "Close"]).inputs == ("load",)
    assert make("VWMA").inputs == ("Close", "Volume")


def test_every_function_of_ta_lib_is_offered_or_says_why_not():
    import talib

    for name in set(talib.get_functions()) - set(indicators.names()):
        with pytest.raises(ConfigError, match=rf"TA-Lib's `{name}` is not a feature: .* (Use|Compute) "):
            make(name)
    assert not {"OBV", "SAR", "CUMSUM", "HT_SINE", "CORREL", "MAVP"} & set(indicators.names())


def test_without_ta_lib_its_names_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "talib", None)
    assert indicators.names() == ()
    assert make("lag(2)").warmup == 2
    with pytest.raises(
        ConfigError, match=r"`RSI` .* TA-Lib is not installed. Run: pip install 'keras-forecast\[indicators\]'"
    ):
        make("RSI(14)")
    with pytest.raises(UnknownName, match=r"No feature is called 'lagg'\. Did you mean 'lag'"):
        make("lagg(2)")


# Wrong requests.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RSI(14", "A feature is written like `RSI(14)` or `day_of_week`. Received: 'RSI(14'"),
        ("RSI(x)", "A feature's parameters are numbers. Received: 'x' in 'RSI(x)'"),
        ("RSI(1)", "`timeperiod` of RSI must be an integer >= 2 and <= 100000. Received: 1"),
        ("RSI(-14)", "`timeperiod` of RSI must be an integer >= 2 and <= 100000. Received: -14"),
        ("RSI(1e300)", "`timeperiod` of RSI must be an integer >= 2 and <= 100000. Received: 1e+300"),
        ("RSI(14.5)", "`timeperiod` of RSI must be an integer. Received: 14.5"),
        ("RSI(14, 3)", "`RSI` takes timeperiod. Received: 'RSI(14, 3)', which gives 2. Leave the rest out."),
        ("RSI(14, timeperiod=3)", "`timeperiod` must be given once. Received: 'RSI(14, timeperiod=3)'"),
        ("RSI(timeperiod=3, timeperiod=4)", "`timeperiod` must be given once. Received: "),
        ("RSI(timeperiods=3)", "`RSI` takes timeperiod. Did you mean 'timeperiod'? Received: 'timeperiods' in "),
        ("MACD(signalperiod=3, 12)", "Parameters without a name come first. Received: 'MACD(signalperiod=3, 12)'"),
        (
            "T3(5, vfactor=3)",
            "`vfactor` of T3 must be a number that TA-Lib accepts, such as its default 0.7. Received: 3",
        ),
        ("T3(5, inf)", "`vfactor` of T3 must be a finite number. Received: inf"),
        ("MA(5, matype=7)", "A matype must be one of 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13 (0 simple, "),
        ("rolling_mean(0)", "`n` of rolling_mean must be an integer >= 1. Received: 0"),
        ("rolling_std(1)", "`n` of rolling_std must be an integer >= 2. Received: 1"),
        ("lag(nan)", "`n` of lag must be an integer. Received: nan"),
        ("month(3)", "`month` takes no parameters. Received: 'month(3)', which gives 1. Leave the rest out."),
    ],
)
def test_a_wrong_parameter_is_told_from_what_must_hold(text, message):
    with pytest.raises(ConfigError) as error:
        make(text)
    assert str(error.value).startswith(message)


def test_a_missing_or_ambiguous_column_is_named():
    with pytest.raises(ConfigError) as error:
        features.make("ATR", "Close", ["Close", "Low", "Volume"])
    assert str(error.value) == (
        "`ATR` reads the columns high, low, close, each of which must be there once, in capitals or not. "
        "Received: Close, Low, Volume (high 0 times). Give the data these columns, or take ATR out of `features`."
    )
    with pytest.raises(ConfigError, match=r"\(close 2 times\)"):
        features.make("ATR", "Close", ["Close", "close", "High", "Low"])


def test_a_name_in_small_letters_finds_its_capitals():
    with pytest.raises(UnknownName, match=r"No feature is called 'rsi'\. Did you mean 'RSI'"):
        make("rsi")


def test_a_text_is_taken_apart():
    assert Call.parse(" BBANDS(20, nbdevup=2.5) ") == Call("BBANDS(20, nbdevup=2.5)", "BBANDS", (20,), {"nbdevup": 2.5})
