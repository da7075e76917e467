"""Cells of our own beside a dozen lines of numpy and numerical gradients, and what is special to single models."""

import numpy as np
import pytest
import tensorflow as tf

import forecast
from forecast._keras import load_keras
from forecast.evaluation.baselines import seasonal_naive
from forecast.models import Shapes, _shell, build_core, registry
from forecast.models._attention import LAYER, weights_of
from forecast.models._segments import segment_of
from pipelines.errors import ConfigError, ExportError

keras = load_keras()

from forecast.layers.layernorm_lstm import CELL, GATES, LayerNormLSTMCell  # noqa: E402
from forecast.layers.peephole_lstm import PeepholeLSTMCell  # noqa: E402


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def peephole(x, W, R, b, p):
    """Returns the last hidden state by equations 1 to 5 of Gers and Schmidhuber (2000), gates i, f, c, o."""
    h = c = np.zeros((len(x), R.shape[0]))
    for x_t in x.swapaxes(0, 1):
        i, f, g, o = np.split(x_t @ W + h @ R + b, 4, axis=1)
        p_i, p_f, p_o = np.split(p, 3)
        c, before = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g), c
        h = sigmoid(o + p_o * c) * np.tanh(c)
        assert before.shape == c.shape
    return h


def layernorm(x, W, R, b, gain, cell_gain, cell_bias):
    """Returns the last hidden state by equations 20 to 22 of Ba et al. (2016), the sum normalised once."""

    def normal(z, least):
        return (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + least)

    h = c = np.zeros((len(x), R.shape[0]))
    for x_t in x.swapaxes(0, 1):
        i, f, g, o = np.split(normal(x_t @ W + h @ R, GATES) * gain + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(normal(c, CELL) * cell_gain + cell_bias)
    return h


CELLS = {PeepholeLSTMCell: peephole, LayerNormLSTMCell: layernorm}
every_cell = pytest.mark.parametrize("cell", CELLS)


def shaken(cell, units=3, features=2):
    """Returns a layer of such cells with random weights, and these in float64."""
    layer = keras.layers.RNN(cell(units))
    layer.build((None, None, features))
    random = np.random.default_rng(7)
    layer.set_weights([random.normal(0, 0.7, weight.shape) for weight in layer.get_weights()])
    return layer, [weight.astype(np.float64) for weight in layer.get_weights()]


@every_cell
def test_a_cell_computes_the_equations_of_its_paper(cell):
    layer, weights = shaken(cell)
    x = np.random.default_rng(0).normal(size=(5, 7, 2))
    np.testing.assert_allclose(np.asarray(layer(x.astype(np.float32))), CELLS[cell](x, *weights), atol=3e-6)


@every_cell
def test_gradients_of_a_cell_are_the_slopes_of_the_equations(cell):
    layer, weights = shaken(cell)
    x = np.random.default_rng(1).normal(size=(4, 5, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant(x, tf.float32)) ** 2)
    gradients = tape.gradient(loss, layer.trainable_variables)
    step = 1e-6
    for n, gradient in enumerate(gradients):
        slopes = np.zeros(weights[n].shape)
        for place in np.ndindex(slopes.shape):
            moved = []
            for sign in (1, -1):
                others = [weight.copy() for weight in weights]
                others[n][place] += sign * step
                moved.append((CELLS[cell](x, *others) ** 2).sum())
            slopes[place] = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradient), slopes, rtol=2e-3, atol=2e-4)


@every_cell
def test_dropout_of_a_cell_leaves_out_in_training_only(cell):
    keras.utils.set_random_seed(0)
    layer = keras.layers.RNN(cell(4, dropout=0.5, recurrent_dropout=0.5, seed=3))
    x = np.ones((64, 5, 3), np.float32)
    still, trained = np.asarray(layer(x)), np.asarray(layer(x, training=True))
    np.testing.assert_array_equal(still, still[:1].repeat(64, axis=0))
    assert len(np.unique(trained.round(5), axis=0)) > 8
    np.testing.assert_array_equal(np.asarray(layer(x)), still)


def test_without_peepholes_the_cell_is_kerass():
    peepholes, _ = shaken(PeepholeLSTMCell)
    plain = keras.layers.LSTM(3)
    plain.build((None, None, 2))
    W, R, b, p = peepholes.get_weights()
    peepholes.set_weights([W, R, b, 0 * p])
    plain.set_weights([W, R, b])
    x = np.random.default_rng(2).normal(size=(5, 7, 2)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(peepholes(x)), np.asarray(plain(x)), atol=1e-6)


def test_scaling_all_products_changes_a_layer_normalised_cell_little():
    layer, (W, R, *others) = shaken(LayerNormLSTMCell, units=16, features=4)
    x = np.random.default_rng(3).normal(size=(5, 7, 4)).astype(np.float32)
    before = np.asarray(layer(x))
    layer.set_weights([3 * W, 3 * R, *others])
    assert np.abs(np.asarray(layer(x)) - before).max() < 0.05 * np.abs(before).max()


# --- single models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attention_lstm", "cnn_lstm_attention"])
def test_attention_weights_are_shares_that_lead_to_the_rows_they_name(name):
    keras.utils.set_random_seed(0)
    core = build_core(name, Shapes(9, 2, features=2), {"units": 4})
    x = np.random.default_rng(0).normal(size=(6, 9, 2)).astype(np.float32)
    weights = weights_of(core, {"past": x})
    assert weights.shape == (6, 9)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    read = keras.Model(core.input, [core.get_layer(LAYER).output, core.get_layer("attended").output])
    sequence = core.get_layer("branches" if name == "cnn_lstm_attention" else core.layers[1].name).output
    rows = np.asarray(keras.Model(core.input, sequence)(x))
    np.testing.assert_allclose(np.asarray(read(x)[1]), np.einsum("nl,nlc->nc", weights, rows), atol=1e-6)


def test_a_network_without_attention_has_no_weights_to_show():
    core = build_core("lstm", Shapes(6, 1), {"units": 2})
    assert weights_of(core, {"past": np.zeros((1, 6, 1), np.float32)}) is None


def test_an_attention_model_does_not_stream(tmp_path):
    model = forecast.Forecaster(
        {"name": "attention_lstm", "units": 4}, lookback=12, normalize="none", training={"epochs": 1}
    ).fit("synthetic:sine?rows=200&season_length=12&freq=h", quiet=True)
    with pytest.raises(ExportError, match=r"several rows at once.*Choose state=\"windowed\""):
        model.export(tmp_path / "m.tflite", state="streaming", quiet=True)


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("quantiles", [(), (0.5,), (0.1, 0.5)])
def test_a_teacher_who_says_nothing_changes_no_answer_and_one_who_speaks_does(known, quantiles):
    keras.utils.set_random_seed(0)
    shapes = Shapes(6, 4, features=2 + known, targets=2, known=known, quantiles=quantiles)
    model = build_core("encoder_decoder", shapes, {"units": 5})
    taught = registry.load("encoder_decoder").taught(model, shapes)
    random = np.random.default_rng(0)
    given = {t.name: random.normal(size=(3, *t.shape[1:])).astype(np.float32) for t in taught.inputs}
    alone = {t.name: given[t.name] for t in model.inputs}
    answers = np.asarray(model(alone if known else alone["past"]))
    silent = np.asarray(taught({**given, "forced": np.zeros((3, 4, 1), np.float32)}))
    np.testing.assert_allclose(silent, answers, atol=1e-6)
    forced = np.zeros((3, 4, 1), np.float32)
    forced[:, 1] = 1  # after step 2 the truth is told
    told = np.asarray(taught({**given, "forced": forced}))
    np.testing.assert_allclose(told[:, :2], answers[:, :2], atol=1e-6)
    assert np.abs(told[:, 2:] - answers[:, 2:]).max() > 1e-3
    points = answers[..., quantiles.index(0.5)] if quantiles else answers
    own = np.asarray(taught({**given, "teacher": points, "forced": np.ones((3, 4, 1), np.float32)}))
    np.testing.assert_allclose(own, answers, atol=1e-6)  # who is told what he would have said answers the same
    assert all(a is b for a, b in zip(model.trainable_variables, taught.trainable_variables, strict=True))


def test_the_truth_is_told_less_and_less_often():
    module = registry.load("encoder_decoder")
    shares = [module.forced_share(epoch, module.Options(teacher_epochs=4)) for epoch in range(6)]
    assert shares == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert module.forced_share(0, module.Options(teacher_epochs=0)) == 0


@pytest.mark.parametrize("gap", [0, 3, 5])
@pytest.mark.parametrize(("horizon", "season", "share"), [(6, 4, 0.02), (2, 9, 0.95)])
def test_an_untrained_seasonal_lstm_answers_with_seasonal_naive_forecasts_or_near_by_with_the_last_value(
    horizon, season, share, gap
):
    L, H, m = 19, horizon, season
    model = build_core("seasonal_lstm", Shapes(L, H, features=2, season=m, gap=gap), {"units": 3})
    x = np.random.default_rng(0).normal(size=(5, L, 2)).astype(np.float32)
    expected = np.empty((5, H, 1))
    for h in range(H):
        back = np.arange(gap + h + 1, 100)[(np.arange(gap + h + 1, 100) % m) == 0] - gap - h - 1  # rows before the last
        seasonal = x[:, L - 1 - back[back < (L // m) * m], 0].mean(axis=1)
        expected[:, h, 0] = (1 - share) * seasonal + share * x[:, -1, 0]
    np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-6)


def test_a_seasonal_lstm_chooses_a_season_or_the_last_value_for_each_day_ahead_by_its_weights():
    """A bias that points to one season makes the answer that season's values."""
    L, H, m = 12, 8, 4
    model = build_core("seasonal_lstm", Shapes(L, H, season=m), {"units": 3, "layers": 2})
    x = np.random.default_rng(0).normal(size=(5, L, 1)).astype(np.float32)
    kernel, _ = model.get_layer("choice").get_weights()
    values = [*np.split(x, 3, axis=1), np.repeat(x[:, -1:], m, axis=1)]  # three seasons of the past, and the last value
    for first, second in ((0, 2), (3, 1)):
        bias = np.zeros((2, 4), np.float32)  # two days ahead
        bias[0, first] = bias[1, second] = 50.0
        model.get_layer("choice").set_weights([kernel, bias.ravel()])
        expected = np.concatenate([values[first], values[second]], axis=1)
        np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-5)
    assert sum(isinstance(layer, keras.layers.LSTM) for layer in model.layers) == 2


def test_the_last_rows_reach_the_correction_of_a_seasonal_lstm_themselves():
    model = build_core("seasonal_lstm", Shapes(96, 3, features=2, season=48), {"units": 3})
    kernel, bias = model.get_layer("correction").get_weights()
    assert kernel.shape == (3 + 24, 3)
    kernel[3 + 23 - np.arange(3), np.arange(3)] = 1.0  # the last row, the one before, and the one before that
    x = np.random.default_rng(0).normal(size=(5, 96, 2)).astype(np.float32)
    before = np.asarray(model(x))
    model.get_layer("correction").set_weights([kernel, bias])
    np.testing.assert_allclose(np.asarray(model(x)) - before, x[:, :-4:-1, :1], atol=1e-5)


@pytest.mark.parametrize(("season", "gap"), [(1, 0), (1, 3), (4, 0), (4, 3), (4, 6)])
@pytest.mark.parametrize("targets", [1, 2])
def test_repeat_is_the_naive_or_the_seasonal_naive_forecast(season, gap, targets):
    L, H = 9, 6
    model = build_core("repeat", Shapes(L, H, features=3, targets=targets, gap=gap), {"season": season})
    x = np.random.default_rng(0).normal(size=(5, L, 3)).astype(np.float32)
    steps = gap + np.arange(1, H + 1)
    for k in range(targets):
        expected = [seasonal_naive(window, [L - 1], steps, season)[0] for window in x[:, :, k]]
        np.testing.assert_allclose(np.asarray(model(x))[:, :, k], expected, atol=1e-6)
    assert model.count_params() == 0


def test_repeat_needs_as_many_rows_as_it_repeats():
    with pytest.raises(ConfigError, match=r"at least what it repeats, 24 rows. Received: lookback 12"):
        build_core("repeat", Shapes(12, 2), {"season": 24})


def test_a_season_longer_than_the_lookback_is_refused():
    with pytest.raises(ConfigError, match=r"lookback of at least one season, or of the horizon, 24 rows\. Received"):
        build_core("seasonal_lstm", Shapes(12, 2), {"season": 24})
    with pytest.raises(ConfigError, match=r"or of the horizon, 13 rows\. Received: lookback 12\. Choose"):
        build_core("seasonal_lstm", Shapes(12, 13, season=24), {})


def test_where_the_lookback_holds_no_season_the_horizon_takes_its_place():
    """A day of minutes, half an hour ahead: seven half hours are read, and it begins with the last value."""
    model = build_core("seasonal_lstm", Shapes(210, 30, season=1440), {"units": 3})
    assert model.get_layer("seasons").output.shape == (None, 7, 30)
    x = np.ones((1, 210, 1), np.float32)
    x[0, -1] = 3
    np.testing.assert_allclose(np.asarray(model(x))[0, :29, 0], 0.95 * 3 + 0.05, rtol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "dlinear"])
@pytest.mark.parametrize("targets", [1, 2])
def test_a_linear_model_is_linear_and_shares_its_weights_between_targets(kind, targets):
    keras.utils.set_random_seed(0)
    model = build_core("linear", Shapes(8, 3, features=targets, targets=targets), {"kind": kind, "moving_average": 4})
    a, b = np.random.default_rng(0).normal(size=(2, 5, 8, targets)).astype(np.float32)
    y = lambda x: np.asarray(model(x))  # noqa: E731
    np.testing.assert_allclose(y(a + b), y(a) + y(b) - y(0 * a), atol=1e-5)
    np.testing.assert_allclose(y(a[:, :, ::-1]), y(a)[:, :, ::-1], atol=1e-6)


def test_dlinear_takes_the_trend_as_a_moving_average_with_its_ends_repeated():
    model = build_core("linear", Shapes(6, 1), {"kind": "dlinear", "moving_average": 3})
    x = np.array([1.0, 4, 2, 8, 5, 7], np.float32)[None, :, None]
    trend = keras.Model(model.input, model.get_layer("trend").output)
    np.testing.assert_allclose(np.asarray(trend(x))[0, :, 0], [2, 7 / 3, 14 / 3, 5, 20 / 3, 19 / 3], rtol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_segments_of_the_horizon_do_not_wait_for_each_other(cell):
    keras.utils.set_random_seed(0)
    model = build_core("segment_lstm", Shapes(12, 9, features=2, known=1), {"units": 6, "segment": 3, "cell": cell})
    random = np.random.default_rng(0)
    given = {"past": random.normal(size=(4, 12, 2)), "known": random.normal(size=(4, 21, 1))}
    given = {name: values.astype(np.float32) for name, values in given.items()}
    before = np.asarray(model(given))
    given["known"][:, 12 + 3 : 12 + 6] += 1  # of the second segment
    moved = np.abs(np.asarray(model(given)) - before).max(axis=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert np.abs(np.diff(before.reshape(4, 3, 3), axis=1)).max() > 1e-3  # each has weights for its place


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"lookback": 720, "horizon": 100, "segment": 24},
            r"must divide the horizon of 100 rows\. Received: 24\. Choose 5, 10 or 20, or a horizon of 96 rows",
        ),
        ({"lookback": 50, "horizon": 24, "segment": 24}, r"`segment` must divide the lookback of 50 rows"),
    ],
)
def test_segments_that_do_not_divide_are_refused_with_those_that_do(settings, message):
    segment = settings.pop("segment")
    with pytest.raises(ConfigError, match=message):
        build_core("segment_lstm", Shapes(**settings), {"segment": segment})


def test_a_segment_is_a_season_where_that_fits():
    assert segment_of(None, Shapes(720, 96, season=24), "both") == 24
    assert segment_of(None, Shapes(720, 96, season=7), "both") == 48
    assert segment_of(None, Shapes(168, 5, season=24), "lookback") == 24
    assert segment_of(None, Shapes(60, 5), "lookback") == 6


def test_conv_lstm_reads_sub_windows_one_after_the_other():
    core = build_core("conv_lstm", Shapes(12, 1, features=2), {"units": 3, "segment": 4})
    assert core.get_layer("conv_lstm").input.shape == (None, 3, 4, 2)
    with pytest.raises(ConfigError, match=r"`segment` must divide the lookback of 12 rows\. Received: 5"):
        build_core("conv_lstm", Shapes(12, 1), {"segment": 5})


@pytest.mark.parametrize("name", ["lstm", "stacked_lstm", "gru", "residual_lstm", "attention_lstm", "conv_lstm"])
def test_batch_normalisation_follows_every_recurrent_layer(name):
    plain, normalised = (
        build_core(
            name, Shapes(6, 2, features=2), {"batch_norm": asked, **({"segment": 2} if name == "conv_lstm" else {})}
        )
        for asked in (False, True)
    )
    recurrent = [layer for layer in normalised.layers if isinstance(layer, keras.layers.RNN)]
    norms = [layer for layer in normalised.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == len(recurrent) > 0
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers)


def test_what_a_core_of_a_user_may_not_be_called():
    teacher = keras.Input((2, 1), name="teacher")
    past = keras.Input((6, 1), name="past")
    own = keras.Model([past, teacher], keras.layers.Dense(2)(keras.layers.Flatten()(past)) + teacher[:, :, 0])
    with pytest.raises(ConfigError, match=r"named past, known, static, series\. Received: past, teacher"):
        _shell.adopt(own, Shapes(6, 2))
