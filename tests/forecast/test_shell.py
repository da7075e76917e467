"""The shell: what it takes from each window it puts back, and whose models it accepts."""

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast._keras import load_keras
from forecast.models import Shapes, build_core
from forecast.models._shell import adopt, input_names, wrap
from pipelines.errors import ConfigError, DataError

keras = load_keras()

LEVELS = np.array([True, True, False])  # two prices and an oscillator; the first is the target
SHAPES = Shapes(lookback=6, horizon=2, features=3)


def lstm(normalize, put_back=True, levels=LEVELS):
    keras.utils.set_random_seed(2)
    return wrap(build_core("lstm", SHAPES, {"units": 4}), SHAPES, normalize, levels, put_back)


def windows(n=7):
    return np.random.default_rng(0).normal(0, 1, (n, 6, 3)).astype(np.float32)


def answer(model, inputs):
    return np.asarray(model(inputs, training=False))


def seen_by_the_core(past, normalize, levels=LEVELS):
    """Returns what a core gets to see: this one answers with its own input."""
    shapes = Shapes(lookback=6, horizon=6, features=3, targets=3)
    core = keras.Sequential([keras.Input((6, 3)), keras.layers.Activation("linear")])
    return answer(wrap(core, shapes, normalize, levels, put_back=False), past)


# --- normalisation ----------------------------------------------------------------------------------------------------


def test_last_adding_a_constant_to_all_levels_adds_it_to_the_forecast():
    past = windows()
    for constant in (1000.0, -3.0):
        moved = answer(lstm("last"), past + constant * LEVELS.astype(np.float32))
        np.testing.assert_allclose(
            moved, answer(lstm("last"), past) + constant, atol=4e-4 if constant == 1000 else 4e-6
        )


def test_mean_std_scaling_and_shifting_all_levels_does_the_same_to_the_forecast():
    past = 100 * windows()  # against deviations of 100 the epsilon in the variance is nothing
    changed = np.where(LEVELS, 3 * past + 50, past).astype(np.float32)
    expected = 3 * answer(lstm("mean_std"), past) + 50
    np.testing.assert_allclose(answer(lstm("mean_std"), changed), expected, rtol=1e-5, atol=1e-3)


def test_none_leaves_the_level_to_the_network():
    past = windows()
    moved = answer(lstm("none"), past + LEVELS.astype(np.float32))
    assert abs(moved - answer(lstm("none"), past) - 1).max() > 0.1


def test_the_core_sees_changes_up_to_now_under_last():
    past = windows()
    expected = past.copy()
    expected[:, :, :2] -= past[:, -1:, :2]
    np.testing.assert_allclose(seen_by_the_core(past, "last"), expected, atol=1e-6)


def test_the_core_sees_a_standard_window_under_mean_std():
    past = windows()
    levels = past[:, :, :2].astype(np.float64)
    expected = past.astype(np.float64)
    expected[:, :, :2] = (levels - levels.mean(axis=1, keepdims=True)) / np.sqrt(
        levels.var(axis=1, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(seen_by_the_core(past, "mean_std"), expected, atol=2e-6)


@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
def test_columns_that_are_no_levels_are_left_as_they_are(normalize):
    past = windows()
    np.testing.assert_array_equal(seen_by_the_core(past, normalize)[:, :, 2], past[:, :, 2])


def test_a_constant_window_becomes_zeros_and_comes_back_as_itself():
    past = np.full((1, 6, 3), 0.25, np.float32)
    np.testing.assert_array_equal(seen_by_the_core(past, "mean_std", np.ones(3, bool)), 0)
    model = lstm("mean_std", levels=np.ones(3, bool))
    assert np.isfinite(answer(model, past)).all()
    np.testing.assert_allclose(answer(model, past), 0.25, atol=0.02)  # a core of any answer, times next to no deviation


@pytest.mark.parametrize("normalize", ["last", "mean_std"])
def test_of_a_return_nothing_is_put_back(normalize):
    past = 100 * windows()
    moved = np.where(LEVELS, past + 64, past).astype(np.float32)
    model = lstm(normalize, put_back=False)
    np.testing.assert_allclose(answer(model, moved), answer(model, past), atol=1e-4)


def test_without_normalisation_and_other_inputs_the_model_is_the_core_itself():
    core = build_core("lstm", SHAPES, {"units": 4})
    assert wrap(core, SHAPES, "none", LEVELS, put_back=True) is core
    assert isinstance(core, keras.Sequential)


# --- models of one's own ----------------------------------------------------------------------------------------------


def test_a_sequential_model_becomes_the_core_with_fresh_weights():
    own = keras.Sequential([keras.layers.LSTM(3), keras.layers.Dense(2), keras.layers.Reshape((2, 1))])  # not built yet
    core = adopt(own, SHAPES)
    assert core.input_shape == (None, 6, 3)
    assert core.get_config()["layers"] == own.get_config()["layers"]
    assert np.abs(core.get_weights()[0] - own.get_weights()[0]).max() > 0.01


@pytest.mark.parametrize("shape", [(6, 3), (None, 3)])
def test_a_functional_model_with_one_flat_answer_gets_its_shape(shape):
    past = keras.Input(shape, name="whatever")
    own = keras.Model(past, keras.layers.Dense(2)(keras.layers.LSTM(3)(past)))
    core = adopt(own, SHAPES)
    assert input_names(core) == ("past",)
    core.set_weights(own.get_weights())
    np.testing.assert_array_equal(answer(core, windows())[:, :, 0], answer(own, windows()))


@pytest.mark.parametrize("as_list", [True, False])
def test_a_model_of_several_inputs_with_one_flat_answer_gets_its_shape(as_list):
    shapes = Shapes(lookback=6, horizon=2, features=3, known=1)
    past, known = keras.Input((6, 3), name="past"), keras.Input((8, 1), name="known")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(known), keras.layers.Flatten()(past)])
    inputs = [past, known] if as_list else {"past": past, "known": known}
    own = keras.Model(inputs, keras.layers.Dense(2)(joined))
    feed = {"past": windows(), "known": np.random.default_rng(1).random((7, 8, 1), np.float32)}
    core = adopt(own, shapes)
    core.set_weights(own.get_weights())
    model = wrap(core, shapes, "none", LEVELS, put_back=True)
    expected = answer(own, [feed["past"], feed["known"]] if as_list else feed)
    np.testing.assert_array_equal(answer(model, feed)[:, :, 0], expected)


class Subclassed(keras.Model):
    def call(self, past):
        return past[:, -2:, :1]


@pytest.mark.parametrize("wrong", [Subclassed(), keras.layers.LSTM(3), len])
def test_anything_but_a_sequential_or_functional_model_is_refused(wrong):
    name = type(wrong).__name__
    with pytest.raises(ConfigError, match=rf"Sequential or functional keras.Model. Received: {name}\. .*keras.Input"):
        adopt(wrong, SHAPES)


def test_a_past_of_another_shape_is_refused():
    own = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(3), keras.layers.Dense(2)])
    with pytest.raises(ConfigError, match=r"past input must be \(lookback 6, inputs 3\)\. Received: \(5, 3\)"):
        adopt(own, SHAPES)
    flat = keras.Sequential([keras.Input((18,)), keras.layers.Dense(2)])
    with pytest.raises(ConfigError, match=r"Received: \(18,\)"):
        adopt(flat, SHAPES)


def test_an_answer_of_another_shape_is_refused():
    own = keras.Sequential([keras.Input((6, 3)), keras.layers.LSTM(3), keras.layers.Dense(5)])
    with pytest.raises(ConfigError, match=r"output must be \(horizon 2, targets 1\) or \(2,\)\. Received: \(5,\)"):
        adopt(own, SHAPES)


def test_one_of_several_inputs_must_have_a_name_that_is_known_here():
    past, other = keras.Input((6, 3), name="past"), keras.Input((2,), name="weather")
    own = keras.Model([past, other], keras.layers.Concatenate()([keras.layers.LSTM(2)(past), other]))
    with pytest.raises(ConfigError, match=r"named past, known, static, series\. Received: 'weather'.*keras\.Input"):
        adopt(own, SHAPES)


def test_several_inputs_without_the_past_are_refused():
    known, static = keras.Input((8, 1), name="known"), keras.Input((2,), name="static")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(known), static])
    own = keras.Model([known, static], keras.layers.Dense(2)(joined))
    with pytest.raises(ConfigError, match=r"past"):
        adopt(own, Shapes(lookback=6, horizon=2, features=3, known=1, static=2))


def test_an_input_that_does_not_fit_the_covariates_is_refused():
    past, known = keras.Input((6, 3), name="past"), keras.Input((8, 2), name="known")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(known), keras.layers.LSTM(2)(past)])
    own = keras.Model([past, known], keras.layers.Dense(2)(joined))
    with pytest.raises(ConfigError, match=r"known input must be .*\. Received: \(8, 2\)"):
        adopt(own, SHAPES)  # no covariate is known ahead
    with pytest.raises(ConfigError, match=r"known input must be .*\. Received: \(8, 2\)"):
        adopt(own, Shapes(lookback=6, horizon=2, features=3, known=1))
    adopt(own, Shapes(lookback=6, horizon=2, features=3, known=2))


# --- every kind of input, end to end ----------------------------------------------------------------------------------


def shop(rows=200):
    """Returns sales of two shops: 100 or 200, plus 30 on days of promotion, plus a little noise."""
    random = np.random.default_rng(4)
    parts = []
    for name, level in (("small", 100.0), ("large", 200.0)):
        promo = (random.random(rows) < 0.3).astype(float)
        sales = level + 30 * promo + random.normal(0, 1, rows)
        days = pd.date_range("2023-01-01", periods=rows, name="ds")
        parts.append(pd.DataFrame({"unique_id": name, "ds": days, "sales": sales, "promo": promo, "size": level}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def promoted():
    past, known = keras.Input((4, 2), name="past"), keras.Input((6, 1), name="known")  # lookback 4, horizon 2
    static, series = keras.Input((1,), name="static"), keras.Input((), dtype="int32", name="series")
    who = keras.layers.Embedding(3, 2)(series)  # two series, and one number for those not in training
    parts = [keras.layers.Flatten()(past), keras.layers.Flatten()(known), static, who]
    answers = keras.layers.Dense(2)(keras.layers.Concatenate()(parts))
    own = keras.Model([past, known, static, series], answers, name="shops")
    model = forecast.Forecaster(
        own,
        target="sales",
        lookback=4,
        horizon=2,
        known="promo",
        static="size",
        training={"epochs": 25, "learning_rate": 0.03, "patience": 25},
    )
    return model.fit(shop(), quiet=True)


def ahead(**promo):
    days = pd.date_range("2023-07-20", periods=2)
    return pd.concat([pd.DataFrame({"unique_id": name, "ds": days, "promo": values}) for name, values in promo.items()])


def test_a_model_of_four_inputs_sees_what_is_known_ahead(promoted):
    flat = promoted.predict(future=ahead(small=[0, 0], large=[0, 0]))
    one = promoted.predict(future=ahead(small=[0, 1], large=[0, 0]))
    assert flat["ds"].tolist() == 2 * pd.date_range("2023-07-20", periods=2).tolist()
    change = (one["y_pred"] - flat["y_pred"]).to_numpy()
    assert change[1] == pytest.approx(30, abs=8)  # the promotion of the second day, in sales of that day
    assert abs(change[0]) < 5
    np.testing.assert_array_equal(change[2:], 0)  # it was in one shop only
    scores = promoted.evaluate()
    assert scores[scores.model]["mae"] < 0.3 * scores["naive"]["mae"]


def test_the_order_of_rows_and_shops_in_future_makes_no_difference(promoted):
    future = ahead(small=[0, 1], large=[1, 0])
    pd.testing.assert_frame_equal(promoted.predict(future=future), promoted.predict(future=future.iloc[::-1]))


def test_what_is_known_ahead_has_to_be_given(promoted):
    with pytest.raises(ConfigError, match=r"Give `future` with ds, promo"):
        promoted.predict()


def test_missing_rows_of_future_are_named(promoted):
    with pytest.raises(
        DataError, match=r"`future` must hold promo for the next 2 rows .* 1 of them in series 'large'.* 2023-07-21"
    ):
        promoted.predict(future=ahead(small=[0, 0], large=[0, np.nan]))
    with pytest.raises(DataError, match=r"Received none for 2 of them in series 'large', the first at 2023-07-20"):
        promoted.predict(future=ahead(small=[0, 0]))
    nameless = ahead(small=[0, 0]).drop(columns="unique_id")
    with pytest.raises(ConfigError, match=r"Add the column unique_id: small, large"):
        promoted.predict(future=nameless)


def test_a_shop_that_was_not_in_training_is_forecast_with_the_number_of_strangers(promoted):
    new = shop().query("unique_id == 'small'").assign(unique_id="corner")
    frame = promoted.predict(data=new, future=ahead(corner=[0, 0]))
    assert frame.attrs["cold"] == ["corner"]
    assert np.isfinite(frame["y_pred"]).all()


def test_static_covariates_need_a_model_that_takes_them():
    own = keras.Sequential([keras.Input((4, 1)), keras.layers.LSTM(2), keras.layers.Dense(2)])
    model = forecast.Forecaster(own, target="sales", lookback=4, horizon=2, static="size")
    with pytest.raises(ConfigError, match=r"takes no static covariates"):
        model.fit(shop(), quiet=True)
