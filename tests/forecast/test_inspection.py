"""Inside a recurrent layer: gates that come to Keras's own states, the rows they belong to, and their picture."""

import contextlib
import io
import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import forecast
from forecast._keras import load_keras
from forecast.cli import main
from forecast.fitting import Fitted, build, shapes_of
from forecast.inspection import Inspection, inspect
from forecast.inspection._equations import GRU, LSTM
from forecast.models._attention import weights_of
from forecast.models._shell import EPSILON, core_of, input_names
from forecast.plotting import plot_inside, write_inside
from forecast.plotting._inside import order_of
from pipelines.errors import ConfigError, DataError, NotFitted, SeriesTooShort, UnknownName
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.splits import split
from pipelines.windows import WindowIndex

keras = load_keras()

LOOKBACK, HORIZON, ROWS = 12, 2, 80


def a_panel(series=1, rows=ROWS, missing=()):
    """Random walks by day, and a covariate beside each; some rows of the target are missing."""
    walks = np.random.default_rng(0).normal(size=(series, 2, rows)).cumsum(axis=2) + 50
    walks[:, 0, list(missing)] = np.nan
    days = pd.date_range("2024-01-01", periods=rows)
    frames = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": days, "y": walks[i, 0], "plan": walks[i, 1]}) for i in range(series)
    ]
    return Panel.from_frame(pd.concat(frames), freq="D")


def a_forecaster(model="lstm", panel=None, *, own=None, **settings):
    """A forecaster whose network has random weights, statistics of batch normalisation among them: no training."""
    options = {"target": "y", "lookback": LOOKBACK, "horizon": HORIZON, "unit": "points", **settings}
    forecaster = forecast.Forecaster(own if own is not None else model, **options)
    panel = (a_panel() if panel is None else panel).select(("y", "plan"))
    config = forecaster.config.replace(target=("y",))
    splits = split(panel, config.split)
    pipeline = DataPipeline(config.pipeline(("y",))).fit(panel, splits)
    network = build(pipeline, config, shapes_of(pipeline, config, 4), own)
    random = np.random.default_rng(1)
    network.set_weights(
        [random.uniform(0.1, 0.6, w.shape) * random.choice([-1, 1], w.shape) for w in network.get_weights()]
    )
    for layer in (one for one in core_of(network, config.normalize).layers if "batch_norm" in one.name):
        layer.moving_variance.assign(random.uniform(0.5, 2, layer.moving_variance.shape))
    forecaster.config, forecaster._panel, forecaster._splits = config, panel, splits
    forecaster._fitted = Fitted(pipeline, network)
    return forecaster


def inputs_of_core(forecaster, row=None, s=0):
    """Returns what the core sees of one window, normalised by hand as the shell does."""
    pipeline, panel, normalize = forecaster.pipeline_, forecaster.panel_, forecaster.config.normalize
    rows = pipeline.transform(panel)
    row = int(panel.offsets[s + 1]) - 1 if row is None else row
    index = WindowIndex(np.array([row]), np.array([s]), pipeline.spec.window)
    past = index.past(rows.inputs).astype(np.float64)
    if normalize == "last":
        seen = past - past[:, -1:]
    elif normalize == "mean_std":
        seen = (past - past.mean(axis=1, keepdims=True)) / np.sqrt(past.var(axis=1, keepdims=True) + EPSILON)
    else:
        seen = past
    return {"past": np.where(pipeline.levels_, seen, past).astype(np.float32), "series": rows.codes[[s]]}


def states_of_keras(forecaster, name):
    """Returns all hidden states of a layer `(T, U)` and its last states, as Keras gives them."""
    core = core_of(forecaster.network_, forecaster.config.normalize)
    layer = core.get_layer(name)
    one = getattr(layer, "forward_layer", layer)
    twin = type(one).from_config({**one.get_config(), "return_sequences": True, "return_state": True})
    inputs = inputs_of_core(forecaster)
    tensor, *starts = layer.input if isinstance(layer.input, list) else [layer.input]
    found = keras.Model(core.inputs, [tensor, *starts])([inputs[name] for name in input_names(core)])
    sequence, *starts = found if isinstance(found, list) else [found]
    twin.build(sequence.shape)
    twin.set_weights(one.get_weights())
    states, *last = twin(sequence, initial_state=starts or None)
    return np.asarray(states)[0], [np.asarray(state)[0] for state in last]


# --- the equations ----------------------------------------------------------------------------------------------------

MODELS = [
    ("lstm", {}, "lstm", "LSTM"),
    ("gru", {}, "gru", "GRU"),
    ("peephole_lstm", {}, "peephole_lstm", "peephole LSTM"),
    ("layernorm_lstm", {}, "layernorm_lstm", "layer-normalised LSTM"),
    ("bidirectional_lstm", {}, "both_ways", "forward LSTM"),
    ("attention_lstm", {}, None, "LSTM"),
    ("conv1d_lstm", {"pool_size": 5}, None, "LSTM"),
    ("segment_lstm", {"segment": 2}, "encoder", "GRU"),
    ("segment_lstm", {"segment": 2, "cell": "lstm"}, "encoder", "LSTM"),
    ("seasonal_lstm", {"season": 5}, None, "LSTM"),
    ("encoder_decoder", {"embedding": 2}, None, "LSTM"),
    ("residual_lstm", {"depth": 2}, None, "LSTM"),
]


@pytest.mark.parametrize(("model", "options", "layer", "kind"), MODELS, ids=lambda value: str(value))
def test_gates_come_to_the_hidden_states_of_keras(model, options, layer, kind):
    forecaster = a_forecaster({"name": model, "units": 5, **options}, features=["diff(2)"])
    seen = inspect(forecaster)
    assert seen.kind == kind
    if layer is not None:
        assert seen.layer.startswith(layer)
    states, last = states_of_keras(forecaster, seen.layer)
    np.testing.assert_allclose(seen.gates["hidden state"], states, atol=1e-5)
    np.testing.assert_allclose(seen.gates["hidden state"][-1], last[0], atol=1e-5)
    if "cell state" in seen.gates:
        np.testing.assert_allclose(seen.gates["cell state"][-1], last[1], atol=1e-5)
    assert tuple(seen.gates) == (GRU if kind == "GRU" else LSTM)
    assert {values.shape for values in seen.gates.values()} == {(len(seen.steps), 5)}
    for name in seen.openness:
        assert ((seen.gates[name] > 0) & (seen.gates[name] < 1)).all()


@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
@pytest.mark.parametrize("model", ["lstm", "gru", "layernorm_lstm"])
def test_from_the_last_hidden_state_the_head_comes_to_the_networks_own_forecast(model, normalize):
    forecaster = a_forecaster(
        {"name": model, "units": 4, "batch_norm": True}, normalize=normalize, features=["diff(2)"]
    )
    core, pipeline, panel = core_of(forecaster.network_, normalize), forecaster.pipeline_, forecaster.panel_
    h = inspect(forecaster).gates["hidden state"][-1:].astype(np.float32)
    y = h
    for layer in core.layers[-3:]:  # batch normalisation, head, answer
        y = layer(y, training=False) if "batch" in layer.name else layer(y)
    index = WindowIndex(np.array([len(panel) - 1]), np.array([0]), pipeline.spec.window)
    rows = pipeline.transform(panel)
    past = index.past(rows.inputs)[0, :, 0].astype(np.float64)
    scale = np.sqrt(past.var() + EPSILON) if normalize == "mean_std" else 1.0
    shift = {"last": past[-1], "mean_std": past.mean(), "none": 0.0}[normalize]
    expected = forecaster.fitted_.predictor(pipeline, rows, index)
    np.testing.assert_allclose(np.asarray(y) * scale + shift, expected, atol=1e-5)


@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
def test_each_layer_of_a_stack_is_looked_into_by_its_name(normalize):
    forecaster = a_forecaster({"name": "stacked_lstm", "units": [6, 4, 3], "batch_norm": True}, normalize=normalize)
    names = inspect(forecaster).layers
    assert len(names) == 3
    assert inspect(forecaster).layer == names[0]
    for name, units in zip(names, (6, 4, 3), strict=True):
        seen = inspect(forecaster, layer=name)
        assert (seen.layer, seen.units) == (name, units)
        np.testing.assert_allclose(seen.gates["hidden state"], states_of_keras(forecaster, name)[0], atol=1e-5)


def own(*layers):
    return keras.Sequential([keras.Input((LOOKBACK, 1)), *layers, keras.layers.Dense(HORIZON)])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.GRU(4, reset_after=False, name="mine"),
        lambda: keras.layers.GRU(4, use_bias=False, name="mine"),
        lambda: keras.layers.LSTM(4, use_bias=False, name="mine"),
        lambda: keras.layers.LSTM(4, activation="softsign", recurrent_activation="hard_sigmoid", name="mine"),
        lambda: keras.layers.LSTM(4, go_backwards=True, name="mine"),
        lambda: keras.layers.RNN(keras.layers.LSTMCell(4), name="mine"),
        lambda: keras.layers.Bidirectional(keras.layers.GRU(4), merge_mode="sum", name="mine"),
        lambda: keras.layers.Bidirectional(keras.layers.RNN(keras.layers.GRUCell(4)), name="mine"),
    ],
)
def test_layers_of_a_users_own_model_are_looked_into(layer):
    forecaster = a_forecaster(own=own(layer()))
    seen = inspect(forecaster)
    np.testing.assert_allclose(seen.gates["hidden state"], states_of_keras(forecaster, "mine")[0], atol=1e-5)
    assert seen.model == "own"


def test_a_layer_that_reads_backwards_has_its_steps_from_the_last_row_on():
    seen = inspect(a_forecaster(own=own(keras.layers.LSTM(3, go_backwards=True))))
    assert seen.kind == "backward LSTM"
    assert seen.steps.tolist() == list(range(LOOKBACK))[::-1]


def test_a_layer_that_starts_from_given_states_is_computed_from_them():
    past = keras.Input((LOOKBACK, 1), name="past")
    first = keras.layers.Dense(4, name="first")(keras.layers.Flatten()(past))
    state = keras.layers.LSTM(4, name="mine")(past, initial_state=[first, first])
    forecaster = a_forecaster(own=keras.Model(past, keras.layers.Dense(HORIZON)(state)))
    seen = inspect(forecaster)
    np.testing.assert_allclose(seen.gates["hidden state"], states_of_keras(forecaster, "mine")[0], atol=1e-5)


# --- which rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "steps"),
    [
        ("lstm", {}, list(range(12))),
        ("conv1d_lstm", {"pool_size": 5}, [4, 9]),  # two rows are left at the end
        ("conv1d_lstm", {"pool_size": 1}, list(range(12))),
        ("segment_lstm", {"segment": 2}, [1, 3, 5, 7, 9, 11]),
        ("seasonal_lstm", {"season": 5}, [6, 11]),  # two rows are left at the beginning
    ],
)
def test_each_step_ends_at_the_last_row_that_it_sees(model, options, steps):
    seen = inspect(a_forecaster({"name": model, "units": 4, **options}))
    assert seen.steps.tolist() == steps
    assert len(seen.gates["hidden state"]) == len(steps)
    assert seen.rows_a_step == (steps[1] - steps[0])


def test_where_each_step_sees_all_rows_steps_lie_evenly_over_them():
    layers = [keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True)), keras.layers.MaxPooling1D(3)]
    forecaster = a_forecaster(own=own(*layers, keras.layers.LSTM(2, name="upper")))
    assert inspect(forecaster, layer="upper").steps.tolist() == [2, 5, 8, 11]


def test_by_default_the_window_is_the_last_one_of_the_first_series():
    panel = a_panel(series=2)
    seen = inspect(a_forecaster(panel=panel))
    assert (seen.series, seen.target, seen.unit, seen.cutoff) == ("s0", "y", "points", "2024-03-20")
    np.testing.assert_array_equal(seen.values, panel.values[ROWS - LOOKBACK : ROWS, 0])
    np.testing.assert_array_equal(seen.stamps, pd.date_range("2024-03-09", "2024-03-20").to_numpy())


def test_series_and_cutoff_choose_the_window():
    panel = a_panel(series=2)
    forecaster = a_forecaster(panel=panel)
    seen = inspect(forecaster, series="s1", cutoff="2024-02-19")  # row 49 of 80
    assert (seen.series, seen.cutoff) == ("s1", "2024-02-19")
    np.testing.assert_array_equal(seen.values, panel.values[ROWS + 38 : ROWS + 50, 0])
    with pytest.raises(UnknownName, match="No series is called 's7'"):
        inspect(forecaster, series="s7")
    with pytest.raises(
        ConfigError, match=r"69 stamps, 2024-01-12 to 2024-03-20. Received: '2024-01-02'. The nearest is"
    ):
        inspect(forecaster, cutoff="2024-01-02")


def test_a_window_with_a_row_that_is_missing_is_none():
    settings = {"cleaning": {"gaps": "keep"}}
    panel = a_panel(missing=[ROWS - 5])
    seen = inspect(a_forecaster(panel=panel, **settings))
    assert seen.cutoff == "2024-03-15"
    with pytest.raises(ConfigError, match="The nearest is 2024-03-15"):
        inspect(a_forecaster(panel=panel, **settings), cutoff="2024-03-18")


def test_other_rows_are_looked_at_as_a_forecast_from_them_would_be():
    forecaster = a_forecaster()
    days = pd.date_range("2024-06-01", periods=20)
    later = pd.DataFrame({"unique_id": "s0", "ds": days, "y": np.arange(20.0), "plan": 0.0})
    seen = inspect(forecaster, later, cutoff="2024-06-15")
    assert seen.values.tolist() == list(range(3, 15))
    short = later.iloc[:5]
    with pytest.raises(SeriesTooShort, match=f"One window needs {LOOKBACK} rows"):
        inspect(forecaster, short)


def test_rows_after_the_cutoff_change_nothing_even_of_a_series_that_was_not_in_training():
    forecaster = a_forecaster()
    days = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"unique_id": "new", "ds": days, "y": np.sin(np.arange(60.0)), "plan": 0.0})
    other = frame.assign(y=frame["y"].where(frame["ds"] <= "2024-02-10", 1000.0))
    one, two = (inspect(forecaster, rows, cutoff="2024-02-10") for rows in (frame, other))
    for name, values in one.gates.items():
        np.testing.assert_array_equal(values, two.gates[name])


def test_what_is_known_ahead_need_not_be_known_where_the_layer_does_not_see_it():
    forecaster = a_forecaster({"name": "attention_lstm", "units": 4, "embedding": 2}, known=["plan"])
    assert "known" in forecaster.fitted_.inputs
    seen = inspect(forecaster)
    assert seen.cutoff == "2024-03-20"
    assert np.isfinite(seen.attention).all()


def test_a_layer_that_sees_what_nobody_knows_is_refused():
    past = keras.Input((LOOKBACK, 2), name="past")
    known = keras.Input((LOOKBACK + HORIZON, 1), name="known")
    state = keras.layers.LSTM(3, name="ahead")(known)
    both = keras.layers.Concatenate()([keras.layers.Flatten()(past), state])
    model = keras.Model({"past": past, "known": known}, keras.layers.Dense(HORIZON)(both))
    forecaster = a_forecaster(own=model, known=["plan"])
    with pytest.raises(DataError, match=r"sees covariates that are known ahead.*Give rows that reach 2 further"):
        inspect(forecaster)
    assert len(inspect(forecaster, cutoff="2024-03-18").steps) == LOOKBACK + HORIZON


# --- attention --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["attention_lstm", "cnn_lstm_attention"])
@pytest.mark.parametrize("embedding", [0, 2])
def test_attention_weights_are_the_layers_own_and_sum_to_one(model, embedding):
    forecaster = a_forecaster({"name": model, "units": 4, "embedding": embedding})
    core = core_of(forecaster.network_, "last")
    seen = inspect(forecaster)
    inputs = inputs_of_core(forecaster)
    expected = weights_of(core, {tensor.name: inputs[tensor.name] for tensor in core.inputs})[0]
    np.testing.assert_allclose(seen.attention, expected, atol=1e-6)
    assert seen.attention.shape == (LOOKBACK,)
    assert seen.attention.sum() == pytest.approx(1, abs=1e-6)
    (at, weight), *_ = seen.largest()
    assert weight == seen.attention.max()
    assert at == str(seen.stamps[seen.attention.argmax()])[:10]


@pytest.mark.parametrize("model", ["lstm", "encoder_decoder"])
def test_a_network_without_such_attention_has_no_weights(model):
    seen = inspect(a_forecaster({"name": model, "units": 4}))
    assert seen.attention is None
    assert seen.largest() == []
    assert "weight" not in str(seen)


def test_a_layer_of_a_users_own_that_is_called_attention_is_not_taken_for_ours():
    past = keras.Input((LOOKBACK, 1), name="past")
    x = keras.layers.LSTM(3, return_sequences=True)(past)
    x = keras.layers.Flatten()(keras.layers.Attention(name="attention")([x, x]))
    assert inspect(a_forecaster(own=keras.Model(past, keras.layers.Dense(HORIZON)(x)))).attention is None


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_before_fit_there_is_nothing_to_look_into():
    with pytest.raises(NotFitted):
        inspect(forecast.Forecaster(target="y"))


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_a_network_without_a_recurrent_layer_is_refused(model):
    with pytest.raises(ConfigError, match=f"Only a network with a recurrent layer.*Received: '{model}'.*Choose a rec"):
        inspect(a_forecaster(model))


def test_a_users_own_network_without_a_recurrent_layer_is_refused():
    with pytest.raises(ConfigError, match="Received: 'own', whose layers are Flatten, Dense, Reshape"):
        inspect(a_forecaster(own=own(keras.layers.Flatten())))


def test_a_layer_that_there_is_not_is_refused_with_its_neighbours():
    forecaster = a_forecaster({"name": "peephole_lstm", "units": 3})
    with pytest.raises(
        UnknownName, match=r"No recurrent layer is called 'pephole_lstm'. Did you mean 'peephole_lstm'\?"
    ):
        inspect(forecaster, layer="pephole_lstm")
    with pytest.raises(UnknownName, match="No recurrent layer is called 'head'"):
        inspect(forecaster, layer="head")


def test_layers_whose_equations_are_not_known_here_are_refused():
    with pytest.raises(ConfigError, match=r"must be an LSTM or a GRU.*'conv_lstm' of model 'conv_lstm', a ConvLSTM1D"):
        inspect(a_forecaster({"name": "conv_lstm", "units": 2, "segment": 3}))
    two = [keras.layers.SimpleRNN(3, return_sequences=True, name="simple"), keras.layers.GRU(3, name="upper")]
    forecaster = a_forecaster(own=own(*two))
    with pytest.raises(ConfigError, match=r"a SimpleRNN. Choose another layer: upper"):
        inspect(forecaster)
    assert inspect(forecaster, layer="upper").kind == "GRU"
    cells = keras.layers.StackedRNNCells([keras.layers.LSTMCell(2), keras.layers.LSTMCell(2)])
    forecaster = a_forecaster(own=own(keras.layers.RNN(cells)))
    with pytest.raises(ConfigError, match="a RNN of StackedRNNCells"):
        inspect(forecaster)


def test_a_layer_that_skips_steps_is_refused_rather_than_shown_wrongly():
    masked = own(keras.layers.Masking(0.0), keras.layers.LSTM(3, name="masked"))  # the last row is 0, normalised
    with pytest.raises(ConfigError, match=r"must come to the hidden states that Keras gives.*layer 'masked'"):
        inspect(a_forecaster(own=masked))


# --- what it says -----------------------------------------------------------------------------------------------------


def an_inspection(steps=6, units=3, rows=None, gru=False, attention=False, dated=True, forget=0.5):
    rows = steps if rows is None else rows
    random = np.random.default_rng(0)
    gates = {name: random.uniform(size=(steps, units)) for name in (GRU if gru else LSTM)}
    gates["update gate" if gru else "forget gate"][:] = forget
    gates["hidden state" if gru else "cell state"] -= 0.5
    stamps = pd.date_range("2024-01-29", periods=rows).to_numpy() if dated else np.arange(100, 100 + rows)
    return Inspection(
        model="gru" if gru else "lstm",
        layer="layer",
        layers=("layer",),
        kind="GRU" if gru else "LSTM",
        series="GOOG",
        cutoff=str(stamps[-1])[:10],
        target="Close",
        unit="dollars",
        stamps=stamps,
        values=np.arange(float(rows)),
        steps=np.linspace(rows // steps - 1, rows - 1, steps).astype(int),
        gates=gates,
        attention=np.arange(rows) / np.arange(rows).sum() if attention else None,
    )


def test_half_of_what_a_unit_holds_is_gone_after_its_half_life():
    seen = an_inspection(forget=np.array([0.5, 0.5**0.5, 0.25]))
    np.testing.assert_allclose(seen.half_lives, [1, 2, 0.5])
    assert seen.half_life == 1
    for life, f in zip(seen.half_lives, seen.gates["forget gate"][0], strict=True):
        assert f**life == pytest.approx(0.5)
    assert an_inspection(gru=True, forget=0.5).half_life == 1  # of a GRU, by the update gate
    np.testing.assert_array_equal(an_inspection(forget=np.array([0.0, 1.0, 0.5])).half_lives, [0, np.inf, 1])


def test_it_says_how_open_each_gate_is_and_how_long_a_unit_remembers():
    text = str(an_inspection(steps=6, rows=12, attention=True))
    assert text.splitlines()[:2] == [
        "lstm: Close of GOOG, the 12 rows up to 2024-02-09",
        "layer layer: LSTM of 3 units, 6 steps of 2 rows",
    ]
    assert "forget gate         0.5000" in text
    assert "Half-life of the median unit: 1.000 steps" in text
    assert "2024-02-09  0.1667" in text


def test_its_numbers_are_plain_values():
    numbers = json.loads(json.dumps(an_inspection(attention=True, dated=False).to_dict(), default=int))
    assert numbers["openness"]["forget gate"] == 0.5
    assert numbers["half_lives"] == [1, 1, 1]
    assert numbers["largest_weights"][0] == {"ds": 105, "weight": pytest.approx(1 / 3)}


# --- the picture ------------------------------------------------------------------------------------------------------


def panels(ax):
    """Returns the Axes of a picture by what they are called."""
    return {one.get_label(): one for one in ax.figure.axes}


def shown(ax):
    """Returns the values of a map `(U, T)`."""
    (mesh,) = ax.collections
    return np.asarray(mesh.get_array()).reshape(mesh.get_coordinates().shape[0] - 1, -1)


def test_the_picture_of_an_lstm_has_the_series_three_gates_and_the_cell_state():
    seen = an_inspection()
    ax = plot_inside(seen)
    assert set(panels(ax)) == {
        "series", "input gate", "forget gate", "output gate", "cell state",
        "units", "output gate scale", "cell state scale",
    }  # fmt: skip
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), seen.values)
    order = order_of(seen)
    for name in ("input gate", "forget gate", "output gate", "cell state"):
        np.testing.assert_array_equal(shown(panels(ax)[name]), seen.gates[name][:, order].T)
        (mesh,) = panels(ax)[name].collections
        if name.endswith("gate"):
            assert mesh.get_clim() == (0, 1)
        else:
            assert mesh.get_clim()[0] == -mesh.get_clim()[1] == -np.abs(seen.gates[name]).max()
    assert ax.get_title().startswith("Inside lstm: Close of GOOG, 6 rows up to")
    assert "layer layer, LSTM of 3 units, 6 steps: median half-life 1.000 steps" in ax.get_title()
    assert panels(ax)["units"].get_ylabel() == "3 units, one order: like cell states lie together"
    assert "closed" in panels(ax)["output gate scale"].get_yticklabels()[0].get_text()


def test_the_picture_of_a_gru_has_update_gate_reset_gate_and_hidden_state():
    names = [name for name in panels(plot_inside(an_inspection(gru=True))) if "scale" not in name]
    assert names == ["series", "update gate", "reset gate", "hidden state", "units"]


def test_attention_weights_are_bars_under_the_series():
    seen = an_inspection(steps=3, rows=12, attention=True)
    ax = plot_inside(seen)
    strip = panels(ax)["attention"]
    np.testing.assert_allclose([bar.get_height() for bar in strip.patches], seen.attention)
    (alike,) = strip.lines
    assert set(alike.get_ydata()) == {1 / 12}


def test_panels_share_x_and_a_step_is_as_wide_as_its_rows():
    ax = plot_inside(an_inspection(steps=3, rows=12))
    for name in ("input gate", "cell state"):
        one = panels(ax)[name]
        assert one.get_xlim() == ax.get_xlim() == (-0.5, 11.5)
        (mesh,) = one.collections
        assert mesh.get_coordinates()[0, :, 0].tolist() == [-0.5, 3.5, 7.5, 11.5]


def test_rows_before_the_first_step_stay_empty_and_backward_steps_are_drawn_in_the_order_of_rows():
    seen = replace(an_inspection(steps=2, rows=12), steps=np.array([6, 11]))
    assert panels(plot_inside(seen))["cell state"].collections[0].get_coordinates()[0, :, 0].tolist() == [
        1.5,
        6.5,
        11.5,
    ]
    backward = replace(seen, steps=np.array([11, 6]))
    here = seen.gates["forget gate"].copy()
    here[:] = [[0.2], [0.9]]
    backward = replace(backward, gates={**seen.gates, "forget gate": here})
    assert shown(panels(plot_inside(backward))["forget gate"])[0].tolist() == [0.9, 0.2]


def marked(ax):
    """Returns what rows are marked by, under the lowest map."""
    lowest = panels(ax)["cell state"]
    return {int(at): text.get_text() for at, text in zip(lowest.get_xticks(), lowest.get_xticklabels(), strict=True)}


def test_rows_are_marked_by_their_stamps_below_the_lowest_panel_only():
    ax = plot_inside(an_inspection(rows=60, steps=60))
    ax.figure.canvas.draw()
    assert marked(ax)[3] == "Feb"  # 29 January is row 0
    assert all(0 <= at < 60 for at in marked(ax))
    assert not any(text.get_visible() for text in ax.get_xticklabels())
    assert marked(plot_inside(an_inspection(dated=False, rows=60, steps=60)))[20] == "120"


@pytest.mark.parametrize(
    ("freq", "rows"), [("B", 20), ("B", 60), ("W", 52), ("MS", 40), ("h", 72), ("30min", 30), ("7min", 50), ("QE", 12)]
)
def test_a_mark_names_the_very_row_that_it_stands_at(freq, rows):
    stamps = pd.date_range("2024-03-04 00:00", periods=rows, freq=freq)
    seen = replace(an_inspection(rows=rows, steps=rows), stamps=stamps.to_numpy())
    ax = plot_inside(seen)
    found = marked(ax)
    assert 2 <= len(found) <= 10
    for at, text in found.items():
        own = [stamps[at].strftime(form).lstrip("0") for form in ("%Y", "%b", "%b-%d", "%d", "%H:%M")]
        assert text.lstrip("0") in own


def test_the_session_hours_of_an_exchange_are_marked_too():
    stamps = pd.DatetimeIndex(
        [day + pd.Timedelta(minutes=570 + 60 * h) for day in pd.bdate_range("2024-03-04", periods=4) for h in range(7)]
    )
    seen = replace(an_inspection(rows=28, steps=28), stamps=stamps.to_numpy())
    found = marked(plot_inside(seen))
    assert {7, 14, 21} <= set(found)
    assert all(at % 7 == 0 for at in found)


@pytest.mark.parametrize("steps", [1, 2, 60])
def test_units_that_move_together_lie_together(steps):
    seen = an_inspection(steps=steps, units=12)
    phases = np.random.default_rng(3).permutation(12) * 2 * np.pi / 12
    t = np.arange(steps)[:, None] / max(steps, 1) * 6 * np.pi
    seen = replace(seen, gates={**seen.gates, "cell state": np.sin(t - phases)})
    order = order_of(seen)
    assert sorted(order) == list(range(12))
    if steps == 60:
        apart = np.abs(np.diff(phases[order]))
        np.testing.assert_allclose(np.minimum(apart, 2 * np.pi - apart), 2 * np.pi / 12)  # each beside its neighbours


@pytest.mark.parametrize("still", [0.0, 0.3])
def test_states_that_never_move_are_drawn_too(still):
    seen = an_inspection()
    seen = replace(seen, gates={**seen.gates, "cell state": np.full((6, 3), still)})
    plot_inside(seen).figure.canvas.draw()


def test_nothing_overlaps_and_nothing_is_cut_off():
    for seen in (an_inspection(60, 20, attention=True), an_inspection(60, 20, gru=True), an_inspection(6, 20, 60)):
        ax = plot_inside(seen)
        ax.figure.canvas.draw()
        below = [one for name, one in panels(ax).items() if name != "units" and "scale" not in name]
        boxes = sorted((one.get_tightbbox() for one in below), key=lambda box: -box.y1)
        assert all(upper.y0 >= lower.y1 - 1 for upper, lower in itertools.pairwise(boxes))
        label = panels(ax)["units"].yaxis.label.get_window_extent()
        maps = [one for name, one in panels(ax).items() if name.endswith(("gate", "state"))]
        assert all(label.x1 <= one.get_window_extent().x0 for one in maps)
        whole = ax.figure.bbox
        for box in [*boxes, label, *(one.get_tightbbox() for one in ax.figure.axes)]:
            assert box.x0 >= whole.x0 - 1
            assert box.x1 <= whole.x1 + 1
            assert box.y0 >= whole.y0 - 1
            assert box.y1 <= whole.y1 + 1


def test_the_callers_axes_hold_all_panels_wherever_they_lie():
    figure = Figure(figsize=(14, 8), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert plot_inside(an_inspection(), left) is left
    plot_inside(an_inspection(gru=True), right)
    figure.canvas.draw()
    middle = figure.bbox.width / 2
    edges = [one.get_window_extent().x1 for one in figure.axes]
    assert sum(edge < middle for edge in edges) == 8
    for by_hand in (Figure().add_axes((0.1, 0.2, 0.6, 0.7)), Figure().add_subplot()):
        place = by_hand.get_position()
        plot_inside(an_inspection(), by_hand)
        heights = [one.get_position() for one in by_hand.figure.axes]
        assert min(box.y0 for box in heights) == pytest.approx(place.y0)
        assert max(box.y1 for box in heights) == pytest.approx(place.y1)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_picture_is_written_in_its_own_size(tmp_path, ending):
    write_inside(an_inspection(units=200), tmp_path / f"inside.{ending}")
    assert 5_000 < (tmp_path / f"inside.{ending}").stat().st_size < 400_000


def test_a_forecaster_draws_it_by_series_cutoff_and_layer():
    forecaster = a_forecaster({"name": "stacked_lstm", "units": [4, 3]}, panel=a_panel(series=2))
    upper = inspect(forecaster).layers[1]
    ax = forecaster.plot("inside", series="s1", cutoff="2024-02-19", layer=upper)
    assert "y of s1, 12 rows up to 2024-02-19" in ax.get_title()
    assert f"layer {upper}, LSTM of 3 units" in ax.get_title()
    with pytest.raises(ConfigError, match=r"'inside' takes series, cutoff, layer, ax. Received: 'step'"):
        forecaster.plot("inside", step=1)


# --- the command ------------------------------------------------------------------------------------------------------


def succeeds(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not end.value.code, err.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the bundle `waves` of a small network with attention lies."""
    home = tmp_path_factory.mktemp("bundles")
    train = [
        "train",
        "synthetic:sine?rows=120&freq=h",
        "--name",
        "waves",
        "--folder",
        home,
        "--model",
        "attention_lstm",
    ]
    succeeds(*train, "--lookback", 8, "--horizon", 2, "--epochs", 1, "--set", "model.units=4", "--quiet")
    return home


def test_inspect_prints_gates_half_life_and_weights_and_writes_the_picture(folder, tmp_path):
    picture = tmp_path / "waves.png"
    lines = succeeds("inspect", "waves", "--folder", folder, "--out", picture).splitlines()
    assert lines[0] == "attention_lstm: y of sine, the 8 rows up to 2020-01-05 23:00:00"
    assert [line.split()[0] for line in lines[3:6]] == ["input", "forget", "output"]
    assert any(line.startswith("Half-life of the median unit: ") for line in lines)
    assert any(line.split()[:1] == ["2020-01-05"] for line in lines)
    assert lines[-1] == f"picture {picture}"
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_inspect_gives_numbers_as_one_json_object(folder, tmp_path):
    arguments = ["inspect", "waves", "--folder", folder, "--cutoff", "2020-01-03 05:00", "--json"]
    answer = json.loads(succeeds(*arguments, "--out", tmp_path / "waves.svg"))
    assert (answer["model"], answer["kind"], answer["units"]) == ("attention_lstm", "LSTM", 4)
    assert answer["cutoff"] == "2020-01-03 05:00:00"
    assert set(answer["openness"]) == {"input gate", "forget gate", "output gate"}
    assert len(answer["half_lives"]) == 4
    assert sum(answer["attention"]) == pytest.approx(1, abs=1e-5)
    assert len(answer["largest_weights"]) == 5
    assert answer["picture"].endswith("waves.svg")


def test_plot_draws_the_inside_too(folder, tmp_path):
    picture = tmp_path / "inside.png"
    assert succeeds("plot", "waves", "--folder", folder, "--kind", "inside", "--out", picture) == f"picture {picture}\n"


def test_the_loaded_network_is_looked_into_as_the_trained_one(folder):
    model = forecast.Forecaster.load("waves", folder)
    seen = inspect(model, "synthetic:sine?rows=120&freq=h")
    core = core_of(model.network_, "last")
    assert seen.layers == tuple(one.name for one in core.layers if isinstance(one, keras.layers.LSTM))
    attached = model.attach("synthetic:sine?rows=120&freq=h")
    np.testing.assert_allclose(
        seen.attention, weights_of(core, {"past": inputs_of_core(attached)["past"]})[0], atol=1e-6
    )
