"""`forecast stock`: one table and one sentence, which claim no more of a network than its test part shows."""

import contextlib
import io
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecast.cli import main
from forecast.evaluation.backtest import Backtest
from forecast.evaluation.baselines import drift
from forecast.evaluation.moves import moves
from forecast.evaluation.statistical import STATISTICAL
from forecast.evaluation.stocks import Stock, Stocks
from forecast.stock import stock
from pipelines.errors import ConfigError, DataError, SeriesTooShort, UnknownName
from pipelines.panel import Panel
from pipelines.sources import load
from pipelines.windows import WindowSpec, index_windows

TINY = {"model": {"name": "lstm", "units": 4}, "lookback": 8, "horizon": 3, "training": {"epochs": 1}, "quiet": True}
FIVE = ("Open", "High", "Low", "Close", "Volume")


def prices(rows=300):
    return load("sample:goog").iloc[-rows:]


def walk(rows=400, seed=0, drift=0.0):
    """A random walk of prices, in steps of about 1 around 1000."""
    return 1000 + np.cumsum(np.random.default_rng(seed).normal(drift, 1.0, rows))


def a_backtest(values, says, horizon=5, gap=0, unit="dollars", stride=1):
    """Forecasts of a series' last 300 rows, `says(cutoffs (N,), steps (H,)) -> (N, H)`; arima is naive with noise."""
    days = pd.date_range("2020-01-01", periods=len(values), freq="D")
    panel = Panel.from_frame(pd.DataFrame({"Close": values}, index=days), freq="D")
    spec = WindowSpec(lookback=5, horizon=horizon, gap=gap, stride=stride)
    index = index_windows(panel.offsets, spec, (np.array([len(values) - 300]), panel.offsets[1:]))
    rows = np.asarray(panel.values[:, 0], float)
    naive = np.repeat(rows[index.cutoffs][:, None], horizon, axis=1)
    noise = np.random.default_rng(1).normal(0, 0.3, naive.shape)
    y_pred = {"lstm": says(index.cutoffs, gap + np.arange(1, horizon + 1)), "naive": naive, "arima": naive + noise}
    ones = np.ones((len(index), 1))
    training = {"mase_scale": ones, "rmsse_scale": ones, "low": ones, "high": 2000 * ones}
    y_pred = {name: y[:, :, None] for name, y in y_pred.items()}
    y_true = index.future(panel.values)[:, :, :1].astype(float)
    return Backtest(panel, index, ("Close",), y_true, y_pred, naive[:, :1], training, "test", unit)


def a_stock(name, values, says, **options):
    return Stock(name, a_backtest(values, says, **options), FIVE)


def knowing(values, share):
    """Says a share of the true move."""
    return lambda at, steps: values[at][:, None] + share * (values[at[:, None] + steps] - values[at][:, None])


def guessing(values, size=0.5, seed=2):
    return lambda at, steps: values[at][:, None] + np.random.default_rng(seed).normal(0, size, (len(at), len(steps)))


# --- moves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "stride", "step"), [(0, 1, 5), (0, 1, 1), (2, 1, 5), (0, 2, 5), (0, 1, 3)])
def test_futures_of_moves_do_not_overlap_and_no_room_is_wasted(gap, stride, step):
    values = walk()
    backtest = a_backtest(values, guessing(values), gap=gap, stride=stride)
    made = moves(backtest, step=step)
    at = backtest.index.cutoffs[made.which]
    apart = np.diff(at)
    assert (apart >= gap + step).all()
    assert (apart < gap + step + stride).all()
    assert at[0] == backtest.index.cutoffs[0]
    exact = values.astype(np.float32).astype(float)
    np.testing.assert_array_equal(made.y_true, exact[at + gap + step])
    np.testing.assert_array_equal(made.last, exact[at])


def test_the_scores_of_moves_are_those_of_numpy_and_scipy():
    values = walk(drift=0.2)
    made = moves(a_backtest(values, knowing(values, 0.1)), step=5)
    noisy = moves(a_backtest(values, guessing(values)), step=5)
    realised, predicted = noisy.y_true - noisy.last, noisy.y_pred - noisy.last
    assert noisy.accuracy == pytest.approx(100 * np.mean(np.sign(realised) == np.sign(predicted)))
    assert noisy.up_share == pytest.approx(100 * np.mean(realised > 0))
    assert noisy.correlation == pytest.approx(stats.pearsonr(realised / noisy.last, predicted / noisy.last)[0])
    hits = stats.binomtest(round(len(noisy) * noisy.accuracy / 100), len(noisy)).proportion_ci(0.95, "wilson")
    assert noisy.interval() == pytest.approx((100 * hits.low, 100 * hits.high))
    assert (made.accuracy, round(made.correlation, 3)) == (100, 1)


def test_moves_of_naive_have_no_direction():
    values = walk()
    made = moves(a_backtest(values, guessing(values)), name="naive")
    assert made.still
    assert np.isnan([made.accuracy, *made.interval(), made.correlation]).all()
    assert 0 < made.up_share < 100
    assert made.bar == max(made.up_share, 100 - made.up_share)


def test_moves_within_rounding_are_those_of_naive():
    values = walk()
    still = moves(a_backtest(values, lambda at, steps: (values[at] * 1.0000002)[:, None] + 0 * steps))
    assert still.still
    assert np.isnan([still.accuracy, *still.interval(), still.correlation]).all()
    assert not moves(a_backtest(values, lambda at, steps: (values[at] * 1.00001)[:, None] + 0 * steps)).still


def test_an_unobserved_end_of_a_move_is_left_out():
    values = walk()
    values[-3:] = np.nan
    backtest = a_backtest(values, guessing(walk()))
    assert len(moves(backtest, step=5)) == len(moves(a_backtest(walk(), guessing(walk())), step=5)) - 1


@pytest.mark.parametrize(
    ("options", "error"),
    [({"step": 6}, ConfigError), ({"step": 0}, ConfigError), ({"target": "Clsoe"}, UnknownName),
     ({"series": "x"}, UnknownName), ({"name": "ets"}, UnknownName)],
)  # fmt: skip
def test_moves_of_what_is_not_there_are_refused(options, error):
    with pytest.raises(error, match=r"Received|Choose from"):
        moves(a_backtest(walk(), guessing(walk())), **options)


# --- the table and the sentence ---------------------------------------------------------------------------------------


def test_the_table_says_what_the_backtest_says():
    values = walk()
    one = a_stock("A", values, guessing(values))
    table, scores = Stocks((one,)).table, one.backtest.scores
    assert table.index.tolist() == [("A", "lstm"), ("A", "naive"), ("A", "arima")]
    mae = scores.table["mae"].xs("Close", level="target")
    np.testing.assert_allclose(table["mae"], mae[["lstm", "naive", "arima"]])
    np.testing.assert_allclose(table["of_naive"], table["mae"] / mae["naive"])
    assert table.loc[("A", "lstm"), "p_value"] == scores.verdicts["Close"].naive.p_value
    assert np.isnan(
        table.loc[("A", "naive"), ["p_value", "direction", "low", "high", "correlation"]].astype(float)
    ).all()
    assert (table["moves"] == len(range(0, 296, 5))).all()


def test_random_forecasts_beat_nothing_and_know_no_direction():
    values = walk()
    sentence = Stocks((a_stock("A", values, guessing(values, seed=3)),)).sentence
    assert sentence.startswith("lstm is not shown to beat naive on A: MAE ")
    assert " dollars (" in sentence
    assert re.search(r"not shown to be better than always saying (up|down)\.$", sentence)


def test_forecasts_that_know_half_the_move_beat_naive_and_know_its_direction():
    values = walk()
    sentence = Stocks((a_stock("A", values, knowing(values, 0.5)),)).sentence
    assert re.match(r"lstm beats naive on A: MAE [\d.]+ against [\d.]+ dollars \(50.0 % lower, p < 0.001\); ", sentence)
    assert "its error is below that of arima; " in sentence
    assert sentence.endswith("is right more often than always saying the same on 1 of 1 (A).")


def test_always_saying_up_in_a_rising_market_is_no_knowledge():
    values = walk(drift=0.8)
    one = a_stock("A", values, lambda at, steps: values[at][:, None] + 0.01 * steps)
    row = one.rows["lstm"]
    assert row["direction"] == row["up_share"] > 80
    assert Stocks((one,)).sentence.endswith("not shown to be better than always saying up.")


def test_what_one_stock_shows_many_tries_need_not():
    values = walk(seed=3)
    shares = np.linspace(0.0, 0.2, 200)

    def says(share):  # a little of the truth in much noise
        return lambda at, steps: (
            knowing(values, share)(at, steps) + guessing(values, 0.3)(at, steps) - values[at][:, None]
        )

    tried = (a_stock("lucky", values, says(share)) for share in shares)
    good = next(one for one in tried if one.beside["lstm"].outcome == "better")  # barely
    p, others = good.rows["lstm"]["p_value"], [walk(seed=i) for i in range(9)]
    among = Stocks((good, *(a_stock(f"B{i}", other, guessing(other)) for i, other in enumerate(others))))
    assert 0.01 < p < 0.05
    assert Stocks((good,)).sentence.startswith("lstm beats naive on lucky: ")
    assert among.sentence.startswith("lstm is shown to beat naive on none of 10 stocks, closest on lucky: ")
    assert f"p = {10 * p:.2f} for 10 tries)" in among.sentence


def test_directions_need_more_where_more_stocks_are_tried():
    values, tries = walk(seed=5), 50

    def right(share):  # in so many cases

        def says(at, steps):
            hit = np.where(np.random.default_rng(4).random(len(at)) < share, 1, -1)[:, None]
            return values[at][:, None] + 0.1 * hit * np.sign(values[at[:, None] + steps] - values[at][:, None])

        return a_stock("A", values, says)

    made = (right(share) for share in np.linspace(0.6, 0.9, 60))
    one = next(one for one in made if one.moves.interval(0.95)[0] > one.moves.bar)  # barely enough for one
    others = tuple(a_stock(f"B{i}", values, guessing(values, seed=3)) for i in range(tries - 1))
    assert "more often" in Stocks((one,)).sentence
    assert "more often" not in Stocks((one, *others)).sentence


def test_the_table_is_aligned_and_units_that_differ_stand_beside_the_names():
    values = walk()
    same = Stocks((a_stock("A", values, guessing(values)), a_stock("BB", values, guessing(values))))
    title, head, *rows = str(same).splitlines()
    assert (
        title == "lstm: 5 rows of Open, High, Low, Close, Volume to the next 5 of Close, in dollars, on 296 test days"
    )
    assert " ".join(head.split()) == "mae of_naive p_value direction 95 % interval up_share correlation moves"
    assert {len(row) for row in rows[:6]} == {len(head)}
    assert [row.split()[0] for row in rows[:6]] == ["A", "naive", "arima", "BB", "naive", "arima"]
    mixed = Stocks((a_stock("A", values, guessing(values)), a_stock("B", values, guessing(values), unit="yuan")))
    assert ", in " not in str(mixed).splitlines()[0]
    assert "  A, dollars  lstm" in str(mixed)
    assert "  B, yuan     lstm" in str(mixed)
    assert "<th>of_naive</th>" in same._repr_html_()


# --- training -----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Drift in place of ARIMA, which takes longer than all the rest."""
    monkeypatch.setitem(STATISTICAL, "arima", drift)


def test_a_network_learns_the_close_from_all_five(quick):
    (one,) = stock(prices(), **TINY).stocks
    assert (one.inputs, one.missing, one.backtest.targets) == (FIVE, (), ("Close",))
    spec = one.backtest.index.spec
    assert (spec.lookback, spec.horizon) == (8, 3)
    assert set(one.backtest.panel.columns) == set(FIVE)
    closes = prices()["Close"].iloc[-60:].astype(np.float32)  # the test part: the last fifth
    np.testing.assert_array_equal(one.backtest.y_true[:, 0, 0], closes.iloc[:58])


def test_columns_are_found_however_they_are_spelt(quick):
    frame = prices(200).rename(columns=str.lower)
    frame["Adj Close"] = 1.0
    (one,) = stock(frame, **TINY).stocks
    assert one.backtest.targets == ("close",)
    assert one.inputs == ("open", "high", "low", "close", "volume")


def test_what_a_stock_lacks_is_said_and_the_rest_is_used(quick):
    found = stock(prices(200)[["Close", "High", "Adj Close"]], **TINY)
    assert found.stocks[0].inputs == ("High", "Close")
    assert found.notes == ["goog has no Open and no Low and no Volume: the network saw High, Close."]
    assert found.notes[0] in str(found)


def test_without_a_close_a_target_is_asked_for_and_taken(quick):
    frame = prices(200)[["Open", "High", "Adj Close"]]
    with pytest.raises(ConfigError, match=r"must be 'Close'.*Received: Open, High, Adj Close.*--target 'Adj Close'"):
        stock(frame, **TINY)
    (one,) = stock(frame, target="adj_close", **TINY).stocks
    assert one.backtest.targets == ("Adj Close",)
    assert one.inputs == ("Adj Close", "Open", "High")


def test_several_series_get_networks_of_their_own_and_one_that_fails_keeps_no_other_from_its_scores(quick):
    long = prices(200)[["Close", "Volume"]].reset_index(names="ds")
    short = long.iloc[:9]
    both = pd.concat([long.assign(unique_id="long"), short.assign(unique_id="short"), long.assign(unique_id="again")])
    found = stock(both, **TINY)
    assert [one.name for one in found.stocks] == ["long", "again"]
    assert [(name, type(error)) for name, error in found.failed] == [("short", SeriesTooShort)]
    same = [one.backtest.y_pred["lstm"] for one in found.stocks]  # the same rows and seed: the same network
    np.testing.assert_allclose(*same, rtol=1e-5)


def test_where_all_fail_the_error_names_each():
    with pytest.raises(DataError, match=r"(?s)^data: .*\ndata: "):
        stock([prices(200).assign(Close="x"), prices(200).assign(Close="y")], **TINY)


def test_a_wrong_setting_fails_at_once():
    with pytest.raises(UnknownName, match="Did you mean 'lstm'"):
        stock("no/such/file.csv", "lstmm")


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


SMALL = ("--lookback", 8, "--horizon", 3, "--epochs", 1, "--quiet")


def test_the_command_prints_a_table_and_a_sentence(tmp_path, quick):
    prices(200).to_csv(tmp_path / "AAA.csv")
    prices(150).drop(columns="Volume").to_csv(tmp_path / "BBB.csv")
    code, out, err = run("stock", tmp_path / "AAA.csv", tmp_path / "BBB.csv", *SMALL)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "lstm: 8 rows of Open, High, Low, Close, Volume to the next 3 of Close"
    assert [line.split()[0] for line in lines[2:8]] == ["AAA", "naive", "arima", "BBB", "naive", "arima"]
    assert lines[8] == "BBB has no Volume: the network saw Open, High, Low, Close."
    assert re.match(r"lstm (is shown to beat|beats) naive on (none|\d) of 2 stocks, ", lines[9])
    assert len(lines) == 10


def test_a_stock_that_fails_is_named_after_the_table_of_the_others(tmp_path, quick):
    prices(200).to_csv(tmp_path / "AAA.csv")
    prices(9).to_csv(tmp_path / "BBB.csv")
    code, out, err = run("stock", tmp_path / "BBB.csv", tmp_path / "AAA.csv", tmp_path / "CCC.csv", *SMALL)
    assert code == 65  # of the first
    assert "naive on AAA: MAE " in out
    assert err.startswith("SeriesTooShort: BBB: ")
    assert f"\n{tmp_path / 'CCC.csv'}: " in err


def test_without_statsmodels_nothing_is_read_or_trained_and_the_extra_is_named(tmp_path, monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == "statsmodels"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    monkeypatch.setattr("forecast.Forecaster.fit", lambda *_, **__: pytest.fail("it trained first"))
    code, out, err = run("stock", tmp_path / "missing.csv", *SMALL)
    assert (code, out) == (78, "")
    assert err == (
        "ConfigError: `arima` needs statsmodels, which is not installed. Run: pip install 'keras-forecast[baselines]'\n"
    )


def test_json_holds_the_same(tmp_path, quick):
    prices(200).to_csv(tmp_path / "AAA.csv")
    code, out, _ = run("stock", tmp_path / "AAA.csv", "--json", *SMALL)
    found = json.loads(out)
    assert code == 0
    assert (found["model"], found["lookback"], found["horizon"], found["failed"]) == ("lstm", 8, 3, [])
    (one,) = found["stocks"]
    assert (one["stock"], one["inputs"]) == ("AAA", list(FIVE))
    assert one["scores"]["naive"]["p_value"] is None
    assert one["scores"]["lstm"]["of_naive"] == pytest.approx(
        one["scores"]["lstm"]["mae"] / one["scores"]["naive"]["mae"]
    )
    assert found["sentence"].endswith(".")


def test_arima_stands_beside_a_real_stock(shared_data):
    file = shared_data / "stocks/AAPL.csv.gz"
    found = stock([file], **TINY | {"horizon": 5})
    closes = pd.read_csv(file)["Close"].to_numpy(np.float32).astype(float)
    cutoffs = found.stocks[0].backtest.index.cutoffs
    assert cutoffs[-1] == len(closes) - 6
    naive = np.abs(closes[cutoffs[:, None] + np.arange(1, 6)] - closes[cutoffs][:, None]).mean()
    mae = found.table["mae"]["AAPL"]
    assert mae["naive"] == pytest.approx(naive)
    assert mae["arima"] == pytest.approx(naive, rel=0.05)
    assert mae["arima"] != mae["naive"]
