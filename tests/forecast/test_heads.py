"""What every model can be asked for besides one value a step: quantiles, bounds, and what it knows besides the past."""

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast._keras import load_keras
from forecast.models import Shapes, _shell, build_core, registry
from pipelines.errors import ConfigError, DataError

keras = load_keras()

from forecast.training.fit import compile_model  # noqa: E402  (Keras must be loaded quietly first)
from forecast.training.losses import Pinball  # noqa: E402

every_model = pytest.mark.parametrize("name", registry.names())
FUNCTIONAL = [name for name in registry.names() if "known" in registry.load(name).INPUTS]
LEVELS = (0.05, 0.25, 0.5, 0.9)


def network(name, shapes, normalize="last", **options):
    keras.utils.set_random_seed(3)
    core = build_core(name, shapes, options)
    return _shell.wrap(core, shapes, normalize, np.ones(shapes.features, bool), put_back=True)


def inputs_for(model, n=6, seed=1):
    random = np.random.default_rng(seed)
    names = _shell.input_names(model)
    made = {
        "past" if names == ("past",) else one.name: np.arange(n, dtype=np.int32) % 3
        if one.name == "series"
        else random.random((n, *one.shape[1:]), np.float32)
        for one in model.inputs
    }
    return made["past"] if names == ("past",) else made


def shaken(model, seed=5):
    """Gives a network large random weights, so that nothing is near where it started."""
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(0, 1, weight.shape) for weight in model.get_weights()])
    return model


# --- quantiles --------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
def test_quantiles_never_cross_whatever_the_weights(name, normalize):
    model = shaken(network(name, Shapes(6, 3, features=2, targets=2, quantiles=LEVELS), normalize))
    answers = np.asarray(model(inputs_for(model, 50)))
    assert answers.shape == (50, 3, 2, 4)
    assert (np.diff(answers, axis=-1) >= 0).all()
    assert np.diff(answers, axis=-1).max() > 0


@every_model
def test_the_middle_quantile_is_what_a_network_without_quantiles_answers(name):
    one, many = (network(name, Shapes(6, 3, features=2, quantiles=levels)) for levels in ((), LEVELS))
    shared = [weight for weight in many.weights if "apart" not in weight.path]
    for mine, weight in zip(one.weights, shared, strict=True):
        weight.assign(mine)
    inputs = inputs_for(one)
    np.testing.assert_allclose(np.asarray(many(inputs))[..., 2], np.asarray(one(inputs)), atol=1e-6)


def test_the_pinball_loss_is_the_mean_of_its_formula():
    random = np.random.default_rng(0)
    true, said = random.normal(size=(7, 3, 2)).astype("float32"), random.normal(size=(7, 3, 2, 4)).astype("float32")
    expected = np.mean(
        [
            max(q * (y - s[i]), (q - 1) * (y - s[i]))
            for y, s in zip(true.ravel(), said.reshape(-1, 4), strict=True)
            for i, q in enumerate(LEVELS)
        ]
    )
    assert float(Pinball(LEVELS)(true, said)) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def skewed():
    """A network of quantiles of noise that is as long-tailed as an exponential's, around a sine."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"y": 10 + np.sin(np.arange(3000) * 2 * np.pi / 12) + random.exponential(1.0, 3000)},
        index=pd.date_range("2024-01-01", periods=3000, freq="h"),
    )
    model = forecast.Forecaster(
        {"name": "mlp", "units": [16]},
        lookback=12,
        horizon=2,
        normalize="none",
        quantiles=[0.1, 0.9],
        training={"epochs": 25, "learning_rate": 0.01},
    )
    return model.fit(rows, quiet=True)


def test_quantiles_hold_the_share_that_they_promise(skewed):
    tested = skewed.backtest()
    table = tested.scores.quantiles["y"]
    assert table.index.tolist() == [0.1, 0.5, 0.9]
    np.testing.assert_allclose(table["below"], [10, 50, 90], atol=6)
    low, middle, high = (tested.quantiles[q] for q in (0.1, 0.5, 0.9))
    assert (high - middle).mean() > 1.5 * (middle - low).mean()  # the tail is above
    np.testing.assert_array_equal(middle, tested.y_pred["mlp"])
    assert "Below the quantiles 10, 50, 90 % lay" in str(tested.scores)


def test_quantiles_are_columns_of_forecasts_and_of_backtests(skewed):
    columns = ["y_pred_q10", "y_pred_q50", "y_pred_q90"]
    ahead = skewed.predict(3)
    assert [name for name in ahead if "_q" in name] == columns
    assert ahead[columns].iloc[:2].notna().all(axis=None)
    assert ahead[columns].iloc[2].isna().all()  # beyond the horizon nobody knows how far they lie apart
    assert set(columns) <= set(skewed.backtest(cutoffs=3).frame())


def test_a_saved_network_of_quantiles_answers_the_same(skewed, tmp_path):
    skewed.save("skewed", tmp_path)
    again = forecast.Forecaster.load("skewed", tmp_path)
    rows = skewed.panel_
    pd.testing.assert_frame_equal(again.predict(2, rows), skewed.predict(2, rows))


@pytest.mark.parametrize(("given", "wrong"), [([1.2], "1.2"), ([0.1, 0], "0"), ([-0.5], "-0.5"), ([90], "90")])
def test_a_quantile_beyond_0_and_1_is_refused(given, wrong):
    with pytest.raises(
        ConfigError, match=rf"`quantiles` must be numbers above 0 and below 1\. Received: {wrong}\. Write 90 % as 0\.9"
    ):
        forecast.Forecaster(quantiles=given)


@pytest.mark.parametrize(("quantiles", "loss"), [([0.1], "mse"), ([], "pinball")])
def test_a_loss_that_contradicts_the_quantiles_is_refused(quantiles, loss):
    with pytest.raises(ConfigError, match=r"`training\.loss` must be 'pinball' for a network of quantiles"):
        forecast.Forecaster(quantiles=quantiles, training={"loss": loss})


def test_a_model_of_ones_own_needs_a_head_of_quantiles():
    own = keras.Sequential([keras.Input((6, 1)), keras.layers.LSTM(2), keras.layers.Dense(2)])
    with pytest.raises(ConfigError, match=r"output must be \(horizon 2, targets 1, quantiles 3\)\. Received: \(2,\)"):
        _shell.adopt(own, Shapes(6, 2, quantiles=(0.1, 0.5, 0.9)))


# --- bounds -----------------------------------------------------------------------------------------------------------


def demand(rows=400):
    random = np.random.default_rng(2)
    values = np.where(random.random(rows) < 0.5, 0.0, random.integers(1, 9, rows))
    return pd.DataFrame({"y": values}, index=pd.date_range("2024-01-01", periods=rows))


@pytest.mark.parametrize("scaling", ["minmax", "standard", "log1p"])
def test_nothing_that_is_forecast_leaves_its_bounds(scaling):
    model = forecast.Forecaster(
        {"name": "mlp", "units": [8]},
        lookback=7,
        horizon=2,
        scaling=scaling,
        bounds=[0, 6],
        quantiles=[0.1, 0.9],
        training={"epochs": 2},
    )
    with pytest.raises(DataError, match=r"within `bounds` \[0\.0, 6\.0\]\. Received: [78] in series"):
        model.fit(demand(), quiet=True)
    model.fit(demand().clip(upper=6), quiet=True)
    model.network_.set_weights([0.5 * weight for weight in shaken(model.network_).get_weights()])
    frame = pd.concat([model.backtest().frame().filter(like="y_pred"), model.predict().filter(like="y_pred")])
    assert len(frame.columns) == 8
    assert frame.min(axis=None) == 0
    assert frame.max(axis=None) == 6


def test_bounds_never_take_a_forecast_further_from_what_happens():
    free, bounded = (
        forecast.Forecaster(
            {"name": "mlp", "units": [8]}, lookback=7, bounds=bounds, training={"epochs": 3}, seed=1
        ).fit(demand(), quiet=True)
        for bounds in ([None, None], [0, None])
    )
    a, b = (abs(m.backtest().y_pred["mlp"] - m.backtest().y_true) for m in (free, bounded))
    assert (b <= a + 1e-12).all()
    assert (b < a).any()


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match=r"`bounds` must be a lower and a higher number\. Received: 5 and 1"):
        forecast.Forecaster(bounds=[5, 1])


# --- what is known besides the past -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_every_functional_model_sees_what_is_known_ahead_static_and_whose_window_it_is(name):
    shapes = Shapes(6, 3, features=3, known=2, static=2, series=2)
    model = shaken(network(name, shapes, embedding=2))
    assert set(_shell.input_names(model)) == {"past", "known", "static", "series"}
    given = inputs_for(model)
    before = np.asarray(model(given))
    later = given["known"].copy()
    later[:, 6:] += 1  # the rows ahead alone
    for changed in ({"known": later}, {"static": given["static"] + 1}, {"series": (given["series"] + 1) % 3}):
        assert abs(np.asarray(model({**given, **changed})) - before).max() > 1e-3, changed.keys()


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_a_series_that_was_not_in_training_has_an_embedding_of_zeros(name):
    model = network(name, Shapes(6, 2, series=3), embedding=4)
    core = _shell.core_of(model, "last")
    table = core.get_layer("embedding")
    assert table.get_weights()[0].shape == (4, 4)  # three series, and one that was not there
    compile_model(model, forecast.config.TrainingSpec())
    given = inputs_for(model, 12)
    model.fit(given, np.ones((12, 2, 1), np.float32), epochs=2, verbose=0)
    learned = table.get_weights()[0]
    assert np.abs(learned[:3]).min(axis=1).max() > 0
    np.testing.assert_array_equal(learned[3], 0)


def shops(rows=220):
    random = np.random.default_rng(4)
    parts = []
    for name, effect in (("a", 30.0), ("b", -30.0)):  # a promotion lifts one, and empties the other
        promo = (random.random(rows) < 0.3).astype(float)
        sales = 200 + effect * promo + random.normal(0, 1, rows)
        days = pd.date_range("2023-01-01", periods=rows)
        parts.append(pd.DataFrame({"unique_id": name, "ds": days, "sales": sales, "promo": promo}))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("name", ["mlp", "encoder_decoder"])
def test_a_what_if_question_is_answered_for_each_series_by_what_it_learned_of_it(name):
    model = forecast.Forecaster(
        {"name": name, "embedding": 4, "units": [32] if name == "mlp" else 16},
        target="sales",
        lookback=4,
        horizon=2,
        known="promo",
        training={"epochs": 40, "learning_rate": 0.01, "patience": 40},
    ).fit(shops(), quiet=True)
    days = pd.date_range("2023-08-09", periods=2)

    def asked(promo):
        ahead = [pd.DataFrame({"unique_id": one, "ds": days, "promo": promo}) for one in "ab"]
        return model.predict(future=pd.concat(ahead)).set_index(["unique_id", "step"])["y_pred"]

    change = asked([0.0, 1.0]) - asked([0.0, 0.0])
    assert change["a", 2] == pytest.approx(30, abs=10)
    assert change["b", 2] == pytest.approx(-30, abs=10)
    assert abs(change["a", 1]) < 8


def test_covariates_that_end_before_the_horizon_are_refused():
    model = forecast.Forecaster(
        {"name": "mlp", "units": [4]}, target="sales", lookback=4, horizon=3, known="promo", training={"epochs": 1}
    ).fit(shops(60), quiet=True)
    short = pd.concat(
        [pd.DataFrame({"unique_id": one, "ds": pd.date_range("2023-03-02", periods=2), "promo": 0.0}) for one in "ab"]
    )
    with pytest.raises(DataError, match=r"`future` must hold promo for the next 3 rows of each series\. Received none"):
        model.predict(future=short)
