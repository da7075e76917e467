"""The fast LSTM kernel gives the results and gradients of Keras's own loop, and leaves the model as it was."""

import logging
import resource

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.layers.fast_lstm import fast, why_not
from pipelines.errors import ConfigError

LSTM = keras.layers.LSTM


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype("float32")


def randomised(model):
    """The model with weights of any sign everywhere: a bias of zeros would hide a bias that is forgotten."""
    model.set_weights([0.4 * normal(*w.shape, seed=k) for k, w in enumerate(model.get_weights())])
    return model


def chain(*layers, steps=7, features=3):
    return randomised(keras.Sequential([keras.Input((steps, features)), *layers]))


def answers(model, *inputs, training=False):
    """Outputs, and the gradients of a sum that weighs each of them differently, for inputs and all weights."""
    inputs = [tf.constant(value) for value in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0], training=training))
        loss = tf.add_n([tf.reduce_sum(one * normal(*one.shape, seed=9)) for one in outputs])
    return outputs, tape.gradient(loss, [*inputs, *[w.value for w in model.trainable_weights]])


def assert_same(model, *inputs, training=False, before=lambda: None):
    """The kernel's answers are Keras's."""
    assert all(why_not(layer) == "" for layer in model._flatten_layers() if isinstance(layer, LSTM))
    before()
    outputs, gradients = answers(model, *inputs, training=training)
    before()
    with fast(model):
        ours, our_gradients = answers(model, *inputs, training=training)
    for a, b in zip(ours, outputs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    for a, b in zip(our_gradients, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(("batch", "steps", "features", "units"), [(5, 7, 3, 4), (8, 1, 1, 3), (1, 9, 2, 1)])
@settings(max_examples=8)
@given(bias=st.booleans(), backwards=st.booleans(), sequences=st.booleans(), training=st.booleans())
def test_outputs_and_gradients_are_those_of_keras(batch, steps, features, units, bias, backwards, sequences, training):
    layer = LSTM(units, use_bias=bias, go_backwards=backwards, return_sequences=sequences)
    model = chain(layer, steps=steps, features=features)
    assert_same(model, normal(batch, steps, features), training=training)


@pytest.mark.parametrize("training", [False, True])
def test_initial_states_are_read_and_get_gradients_and_last_states_come_back(training):
    x, h, c = keras.Input((6, 3)), keras.Input((4,)), keras.Input((4,))
    layer = LSTM(4, return_sequences=True, return_state=True)
    model = randomised(keras.Model([x, h, c], layer(x, initial_state=[h, c])))
    assert_same(model, normal(5, 6, 3), normal(5, 4), normal(5, 4, seed=1), training=training)


def test_dropout_draws_the_mask_that_keras_draws():
    layer = LSTM(4, dropout=0.5, seed=3, return_sequences=True)
    state = layer.cell.seed_generator.state
    assert_same(chain(layer), normal(8, 7, 3), training=True, before=lambda: state.assign([3, 0]))


@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions_of_a_bidirectional_layer_run_on_it(sequences):
    assert_same(chain(keras.layers.Bidirectional(LSTM(4, return_sequences=sequences))), normal(5, 7, 3), training=True)


def test_stacked_layers_in_a_nested_model_that_is_called_twice():
    core = chain(LSTM(4, return_sequences=True), LSTM(3, return_sequences=True))
    x = keras.Input((7, 3))
    assert_same(randomised(keras.Model(x, core(core(x)))), normal(5, 7, 3), training=True)


def by_hand(x, W, R, b):
    """The LSTM's equations in float64."""
    h = c = np.zeros((len(x), len(R)))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ W + h @ R + b, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return h


def test_it_computes_the_equations_of_an_lstm_and_their_slopes():
    model = chain(LSTM(4))
    x = normal(5, 7, 3)
    values = [x.astype("float64"), *[w.astype("float64") for w in model.get_weights()]]
    weigh = normal(5, 4, seed=9)
    with fast(model):
        (ours,), gradients = answers(model, x, training=True)
    np.testing.assert_allclose(ours, by_hand(*values), rtol=0, atol=1e-6)
    for value, gradient in zip(values, gradients, strict=True):
        slopes = np.empty(value.shape)
        for place in np.ndindex(value.shape):
            here = value[place]
            ends = []
            for value[place] in (here + 1e-6, here - 1e-6):
                ends.append(np.sum(by_hand(*values) * weigh))
            value[place] = here
            slopes[place] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)


def trained(kernel, spread=1, **layer):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((7, 3)), LSTM(8, return_sequences=True, **layer), LSTM(4, **layer), keras.layers.Dense(1)]
    )
    x = normal(20, 7, 3)
    data = tf.data.Dataset.from_tensor_slices((x, x[:, -1, :1])).batch(8)  # 8, 8 and 4 windows
    with kernel(model):
        model.compile("adam", "mse", steps_per_execution=spread)
        history = model.fit(data, validation_data=data, epochs=3, shuffle=False, verbose=0).history
    return [*model.get_weights(), history["loss"], history["val_loss"]]


class Keras:
    """Stands where `fast` does, and changes nothing."""

    def __init__(self, model):
        pass

    __enter__ = __exit__ = lambda self, *args: None


@pytest.mark.parametrize("options", [{}, {"spread": 2}, {"dropout": 0.2, "seed": 5}, {"use_bias": False}])
def test_training_ends_at_the_weights_where_keras_ends(options):
    for ours, theirs in zip(trained(fast, **options), trained(Keras, **options), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_training_twice_gives_the_same_weights_to_the_bit():
    for first, second in zip(trained(fast), trained(fast), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LSTM(4, recurrent_dropout=0.2), "recurrent dropout"),
        (LSTM(4, activation="relu"), "not tanh and sigmoid"),
        (LSTM(4, recurrent_activation="hard_sigmoid"), "not tanh and sigmoid"),
        (LSTM(4, unroll=True), "unrolled"),
        (LSTM(4, dtype="float64"), "float64"),
        (LSTM(4, dtype="mixed_bfloat16"), "bfloat16"),
        (LSTM(4, dropout=0.2, implementation=1), "mask for each gate"),
        (keras.layers.GRU(4), "GRU"),
        (keras.layers.RNN(keras.layers.LSTMCell(4)), "RNN"),
    ],
)
def test_what_is_not_covered_stays_with_keras_and_the_log_says_why(layer, reason, caplog):
    model = chain(layer)
    x = normal(5, 7, 3)
    expected = model(x)
    with caplog.at_level(logging.INFO, "forecast"), fast(model):
        np.testing.assert_array_equal(model(x), expected)
        assert "inner_loop" not in vars(layer)
    assert reason in why_not(layer)
    (line,) = caplog.messages
    assert repr(layer.name) in line
    assert reason in line


def test_a_stateful_layer_stays_with_keras():
    assert "stateful" in why_not(LSTM(4, stateful=True))


def test_masked_sequences_take_keras_own_loop_and_the_log_says_so(caplog):
    model = chain(keras.layers.Masking(), LSTM(4))
    x = normal(5, 7, 3)
    x[:, 4:] = 0
    expected = model(x)
    with caplog.at_level(logging.INFO, "forecast"), fast(model):
        np.testing.assert_array_equal(model(x), expected)
    (line,) = caplog.messages
    assert "masked" in line


def test_a_setting_switches_it_off_and_the_log_says_so_once(monkeypatch, caplog):
    monkeypatch.setenv("FORECAST_KERNEL", "stock")
    model = chain(LSTM(4, return_sequences=True), LSTM(4))
    with caplog.at_level(logging.INFO, "forecast"), fast(model):
        assert not any("inner_loop" in vars(layer) for layer in model.layers)
    (line,) = caplog.messages
    assert "FORECAST_KERNEL=stock" in line


def test_a_gpu_switches_it_off(monkeypatch, caplog):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
    model = chain(LSTM(4))
    with caplog.at_level(logging.INFO, "forecast"), fast(model):
        assert "inner_loop" not in vars(model.layers[0])
    assert "GPU" in caplog.text


def test_a_wrong_setting_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setenv("FORECAST_KERNEL", "quick")
    with pytest.raises(ConfigError, match=r"'fast' or 'stock'. Received: 'quick'. Unset it"), fast(chain(LSTM(4))):
        pass


def test_the_layer_is_left_as_it_was_also_after_an_error():
    model = chain(LSTM(4), keras.layers.Reshape((4, 1)), LSTM(4))
    mine = lambda *args, **kwargs: None  # noqa: E731
    vars(model.layers[0])["inner_loop"] = mine
    before = [dict(vars(layer)) for layer in model.layers]
    with pytest.raises(RuntimeError, match="stop"), fast(model):
        raise RuntimeError("stop" if vars(model.layers[0])["inner_loop"] is not mine else "not swapped")
    assert [dict(vars(layer)) for layer in model.layers] == before


def test_a_model_that_is_saved_meanwhile_holds_the_layer_of_keras(tmp_path):
    model = chain(LSTM(4))
    x = normal(5, 7, 3)
    with fast(model):
        expected = model(x)
        model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert type(opened.layers[0]) is LSTM
    np.testing.assert_allclose(opened(x), expected, rtol=0, atol=1e-6)


def test_prediction_of_batches_of_any_size_traces_once_and_needs_no_more_memory():
    model = chain(LSTM(8, return_sequences=True), LSTM(4))
    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, 7, 3])], autograph=False)
    def predict(x):
        traces.append(1)
        return model(x, training=False)

    x = normal(200, 7, 3)
    with fast(model):
        whole = predict(x).numpy()
    sizes = np.random.default_rng(0).integers(0, 201, 1000)
    for size in [200, *range(0, 33), 40, 70, 100, 150]:  # each size of a slice was compiled after these
        np.testing.assert_allclose(predict(x[:size]), whole[:size], rtol=0, atol=1e-6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for size in sizes:
        assert len(predict(x[:size])) == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 20_000  # KiB
    assert len(traces) == 1
