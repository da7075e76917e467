"""The contract of every file in forecast/models, and the recurrent cores beside the gate equations in numpy.

A new model is tested by being there. Networks are tiny and data come from a formula, so that the right answer is known.
"""

import doctest
import textwrap
from pathlib import Path

import numpy as np
import pytest

import forecast
from forecast import models
from forecast._keras import load_keras
from forecast.layers.layernorm_lstm import LayerNormLSTMCell
from forecast.layers.peephole_lstm import PeepholeLSTMCell
from forecast.models import Shapes, _head, _recurrent, _segments, _shell, build_core, registry
from pipelines.errors import ConfigError, UnknownName

keras = load_keras()

every_model = pytest.mark.parametrize("name", registry.names())
every_normalization = pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])


def small(name, units=4, **options):
    """Returns options of a small network: as many layers as by default, each of a few units; those that it has."""
    fields = registry.load(name).Options.model_fields
    options = {option: value for option, value in options.items() if option in fields}
    if "season" in fields:
        options = {"season": 6, **options}
    if "units" not in fields:
        return options
    several = isinstance(fields["units"].default, tuple | list)
    return {"units": (units,) * len(fields["units"].default) if several else units, **options}


def network(name, shapes, normalize="last", seed=0, **options):
    keras.utils.set_random_seed(seed)
    core = build_core(name, shapes, small(name, **options))
    return _shell.wrap(core, shapes, normalize, np.ones(shapes.features, bool), put_back=True)


def inputs_for(model, n=5):
    """Returns random inputs of `n` windows, whatever the model takes."""
    random = np.random.default_rng(1)
    names = _shell.input_names(model)
    made = {}
    for one in model.inputs:
        key = "past" if names == ("past",) else one.name
        made[key] = np.zeros(n, np.int32) if key == "series" else random.random((n, *one.shape[1:]), np.float32)
    return made["past"] if names == ("past",) else made


def answer(model, inputs):
    return np.asarray(model(inputs, training=False))


def lstms(model, kinds=(keras.layers.LSTM,)):
    """Returns every LSTM layer, those inside wrappers too, each once."""
    found = {id(layer): layer for layer in model._flatten_layers() if isinstance(layer, kinds)}
    cells = {id(layer.cell): layer for layer in found.values()}
    return list(cells.values())


def with_option(*options):
    """Returns each model with each of these options that it has."""
    return [
        (name, option)
        for name in registry.names()
        for option in options
        if option in registry.load(name).Options.model_fields
    ]


# --- the contract -----------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize(("horizon", "targets"), [(1, 1), (5, 1), (1, 2), (3, 2)])
def test_the_answer_has_a_value_for_each_step_and_target(name, horizon, targets):
    shapes = Shapes(lookback=6, horizon=horizon, features=targets + 1, targets=targets)
    model = network(name, shapes)
    assert model.output_shape == (None, horizon, targets)
    assert answer(model, inputs_for(model)).shape == (5, horizon, targets)


@every_model
@every_normalization
def test_plain_keras_reads_the_network_back_in_safe_mode_with_the_same_answers(name, normalize, tmp_path):
    model = network(name, Shapes(lookback=6, horizon=2, features=2), normalize)
    inputs = inputs_for(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(answer(again, inputs), answer(model, inputs))


@every_model
@every_normalization
def test_nothing_but_stock_layers_and_operations_is_inside(name, normalize):
    model = network(name, Shapes(lookback=6, horizon=2, features=2), normalize)
    inside = [*model._flatten_layers(), *getattr(model, "operations", [])]
    assert len(inside) > 3
    for one in inside:
        own = type(one) in (PeepholeLSTMCell, LayerNormLSTMCell)  # Keras has none
        assert own or type(one).__module__.startswith("keras."), one
        assert not isinstance(one, keras.layers.Lambda)
        assert own == (name in ("peephole_lstm", "layernorm_lstm") and isinstance(one, keras.layers.LSTMCell))


@pytest.mark.parametrize("name", [name for name in registry.names() if name != "repeat"])  # which learns nothing
def test_a_noisy_sine_is_learned_far_better_than_the_naive_forecast(name):
    model = forecast.Forecaster(
        model={"name": name, **small(name, units=8)},
        lookback=12,
        horizon=3,
        training={"epochs": 6, "learning_rate": 0.02, "patience": 6},
    )
    scores = model.fit("synthetic:sine?rows=500&season_length=12&noise=0.1&freq=h", quiet=True).evaluate()
    assert scores["naive"]["mae"] > 0.5  # the sine moves by up to 1.4 within three of its twelve rows
    assert scores[name]["mae"] < 0.5 * scores["naive"]["mae"]


@pytest.mark.parametrize(
    ("name", "dropout"),
    [("lstm", 0.0), *(pytest.param(name, 0.2, marks=pytest.mark.slow) for name in registry.names())],
)
def test_the_seed_decides_every_bit_of_the_weights(name, dropout):
    def trained(seed):
        model = forecast.Forecaster(
            model={"name": name, **small(name, dropout=dropout)},
            lookback=6,
            horizon=2,
            seed=seed,
            training={"epochs": 1, "batch_size": 16},
        )
        return model.fit("synthetic:random_walk?rows=60", quiet=True)

    one, again, other = trained(3), trained(3), trained(4)
    for a, b in zip(one.network_.get_weights(), again.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.run_.history.to_numpy(), again.run_.history.to_numpy(), strict=True):
        np.testing.assert_array_equal(a, b)
    pairs = zip(one.network_.get_weights(), other.network_.get_weights(), strict=True)
    assert any((a != b).any() for a, b in pairs)


@every_model
def test_every_option_has_a_default_and_a_sentence(name):
    module = registry.load(name)
    module.Options()
    told = "".join(cls.__doc__ or "" for cls in module.Options.__mro__)
    for option, field in module.Options.model_fields.items():
        assert not field.is_required()
        assert f"{option}:" in told or f"`{option}`" in told, option


@every_model
def test_the_file_draws_its_graph_and_names_its_source(name):
    about = registry.load(name).__doc__
    assert "(H, K)" in about
    assert "Source:" in about
    assert set(registry.load(name).INPUTS) <= set(_shell.INPUT_NAMES)
    assert "past" in registry.load(name).INPUTS


@every_model
def test_an_unknown_option_is_refused_with_those_there_are(name):
    near = r" Did you mean 'units'\?" if "units" in registry.load(name).Options.model_fields else ""
    with pytest.raises(ConfigError, match=rf"`{name}` has no setting 'unitz'\.{near} Choose from: "):
        build_core(name, Shapes(lookback=6, horizon=1), {"unitz": 4})


@every_model
def test_no_option_takes_a_value_that_is_none(name):
    for option in registry.load(name).Options.model_fields:
        with pytest.raises(ConfigError, match=f"{option}.*Received: 'no such thing'"):
            build_core(name, Shapes(lookback=6, horizon=1), {option: "no such thing"})


OUT_OF_RANGE = {
    "dropout": (1.0, r"`dropout` must be a number < 1"),
    "recurrent_dropout": (-0.1, r"`recurrent_dropout` must be a number >= 0"),
    "l2": (-1.0, r"`l2` must be a number >= 0"),
    "kernel_initializer": ("glorot", r"`kernel_initializer`.*initializer that Keras knows.*Received: 'glorot'"),
}


@pytest.mark.parametrize(("name", "option"), with_option(*OUT_OF_RANGE))
def test_an_option_out_of_range_is_named_with_its_bound(name, option):
    value, message = OUT_OF_RANGE[option]
    with pytest.raises(ConfigError, match=message):
        build_core(name, Shapes(lookback=6, horizon=1), {option: value})


@pytest.mark.parametrize("name", [name for name, _ in with_option("recurrent_dropout")])
def test_options_reach_every_recurrent_layer(name):
    options = {"dropout": 0.1, "recurrent_dropout": 0.3, "l2": 0.01}
    starts = {"kernel_initializer": "ones", "recurrent_initializer": "zeros"}
    forgets = "forget_bias" in registry.load(name).Options.model_fields
    model = network(
        name, Shapes(lookback=6, horizon=1), **options, **starts, **({"forget_bias": 2.5} if forgets else {})
    )
    cells = [layer.cell for layer in lstms(model, keras.layers.RNN)]
    assert cells
    assert forgets == any(isinstance(cell, keras.layers.LSTMCell) for cell in cells)
    penalty = 0.0
    for cell in cells:
        kernel, recurrent, bias = (np.asarray(one) for one in (cell.kernel, cell.recurrent_kernel, cell.bias))
        assert (cell.dropout, cell.recurrent_dropout) == (0.1, 0.3)
        assert (kernel == 1).all()
        assert (recurrent == 0).all()
        if isinstance(cell, keras.layers.LSTMCell):
            U = cell.units
            np.testing.assert_array_equal(bias.reshape(4, U)[[0, 2, 3]], 0)  # gates i, f, c, o
            np.testing.assert_array_equal(bias.reshape(4, U)[1], 2.5)
        penalty += 0.01 * (np.square(kernel).sum() + np.square(recurrent).sum())
    others = [layer for layer in model._flatten_layers() if type(layer) is keras.layers.LSTMCell]
    for cell in {id(layer): layer for layer in others if layer not in cells}.values():  # called without a layer
        penalty += 0.01 * sum(np.square(np.asarray(one)).sum() for one in (cell.kernel, cell.recurrent_kernel))
    assert float(sum(model.losses)) == pytest.approx(penalty, rel=1e-5)


@every_model
def test_without_l2_nothing_is_added_to_the_loss(name):
    assert not network(name, Shapes(lookback=6, horizon=1)).losses


def test_a_forget_bias_is_a_number():
    with pytest.raises(ConfigError, match=r"`forget_bias` must be a finite number"):
        build_core("lstm", Shapes(lookback=6, horizon=1), {"forget_bias": float("nan")})


def test_the_model_in_contributing_is_a_model(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = text[text.index('    """Simple RNN:') : text.index("\nA source is a file")]
    (tmp_path / "simple_rnn.py").write_text(textwrap.dedent(code), encoding="utf-8")
    monkeypatch.setattr(forecast.models, "__path__", [*forecast.models.__path__, str(tmp_path)])
    assert "simple_rnn" in registry.names()
    core = build_core("simple_rnn", Shapes(lookback=6, horizon=2, features=3), {"units": 5, "dropout": 0.2})
    (layer,) = lstms(core, keras.layers.SimpleRNN)
    assert (layer.units, layer.dropout, core.output_shape) == (5, 0.2, (None, 2, 1))


def test_names_come_from_the_files_and_an_unknown_one_has_a_neighbour():
    assert {"lstm", "stacked_lstm", "bidirectional_lstm", "conv1d_lstm"} <= set(registry.names())
    assert not any(name.startswith("_") for name in registry.names())
    with pytest.raises(UnknownName, match=r"No model is called 'lstmm'\. Did you mean 'lstm'\? Choose from: "):
        forecast.Forecaster(model="lstmm")


def test_a_model_that_takes_no_static_covariates_says_so():
    with pytest.raises(ConfigError, match=r"Model 'lstm' takes no static covariates. Received: 2. .*`forecast models`"):
        build_core("lstm", Shapes(lookback=6, horizon=1, static=2), {})


# --- the cores, step by step ------------------------------------------------------------------------------------------


def states(x, kernel, recurrent, bias):
    """Returns the hidden states `(N, L, U)` of an LSTM by its gate equations, in float64."""
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    h = c = np.zeros((len(x), recurrent.shape[0]))
    all_h = []
    for x_t in x.astype(np.float64).swapaxes(0, 1):
        z = x_t @ kernel.astype(np.float64) + h @ recurrent.astype(np.float64) + bias  # (N, 4U)
        i, f, g, o = np.split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        all_h.append(h)
    return np.stack(all_h, axis=1)


def headed(model, h):
    kernel, bias = model.get_layer("head").get_weights()
    return (h @ kernel + bias).reshape(len(h), *model.output_shape[1:])


def random_core(name, lookback=5, **options):
    keras.utils.set_random_seed(11)
    shapes = Shapes(lookback=lookback, horizon=2, features=3, targets=2)
    core = build_core(name, shapes, {**small(name), **options})
    random = np.random.default_rng(5)
    core.set_weights([random.normal(0, 0.7, w.shape) for w in core.get_weights()])
    return core, random.normal(0, 1, (4, lookback, 3)).astype(np.float32)


def test_lstm_is_its_gate_equations_and_a_dense_layer_on_the_last_state():
    core, x = random_core("lstm")
    (layer,) = lstms(core)
    np.testing.assert_allclose(answer(core, x), headed(core, states(x, *layer.get_weights())[:, -1]), atol=2e-6)


def test_stacked_lstm_reads_the_whole_sequence_of_the_layer_below():
    core, x = random_core("stacked_lstm", units=(3, 4, 2))
    sequence = x
    for layer, units in zip(lstms(core), (3, 4, 2), strict=True):
        assert layer.units == units
        sequence = states(sequence, *layer.get_weights())
    np.testing.assert_allclose(answer(core, x), headed(core, sequence[:, -1]), atol=2e-6)


def test_bidirectional_lstm_joins_a_forward_and_a_backward_reading():
    core, x = random_core("bidirectional_lstm")
    both = core.get_layer("both_ways")
    forwards = states(x, *both.forward_layer.get_weights())[:, -1]
    backwards = states(x[:, ::-1], *both.backward_layer.get_weights())[:, -1]
    np.testing.assert_allclose(answer(core, x), headed(core, np.hstack([forwards, backwards])), atol=2e-6)


def test_conv1d_lstm_convolves_causally_then_pools_then_reads():
    core, x = random_core("conv1d_lstm", lookback=7, filters=6, kernel_size=3, pool_size=2)
    conv = next(layer for layer in core.layers if isinstance(layer, keras.layers.Conv1D))
    kernel, bias = conv.get_weights()  # (3, F, C), (C,)
    padded = np.concatenate([np.zeros((4, 2, 3)), x], axis=1)  # causal: rows before the window are zeros
    shapes = np.stack([np.einsum("nkf,kfc->nc", padded[:, t : t + 3], kernel) + bias for t in range(7)], axis=1)
    pooled = np.maximum(shapes, 0)[:, :6].reshape(4, 3, 2, 6).max(axis=2)  # a tail shorter than the pool is dropped
    (layer,) = lstms(core)
    np.testing.assert_allclose(answer(core, x), headed(core, states(pooled, *layer.get_weights())[:, -1]), atol=5e-6)


def test_a_pool_of_one_row_turns_pooling_off():
    core, _ = random_core("conv1d_lstm", pool_size=1)
    assert not any(isinstance(layer, keras.layers.MaxPooling1D) for layer in core.layers)
    with pytest.raises(ConfigError, match=r"`pool_size` must be at most the lookback of 5 rows\. Received: 6"):
        random_core("conv1d_lstm", pool_size=6)


def test_stacked_lstm_has_two_to_four_layers():
    for units in [(8,), (8,) * 5, 8]:
        with pytest.raises(ConfigError, match="`units`"):
            build_core("stacked_lstm", Shapes(lookback=6, horizon=1), {"units": units})


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(models).failed == 0
    for module in (_recurrent, _head, _segments):
        assert doctest.testmod(module).failed == 0
