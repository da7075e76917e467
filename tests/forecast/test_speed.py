"""How a network is trained and asked: on the LSTM kernel, compiled by XLA, or as Keras has it; all answer the same."""

import logging

import numpy as np
import pytest

import forecast
from forecast._keras import load_keras
from forecast.models import Shapes, build_core
from forecast.training import speed
from pipelines.errors import ConfigError

keras = load_keras()

LONG = {"batches": 1000, "epochs": 5}  # of 60 rows: compiling pays


@pytest.fixture(autouse=True)
def kernel_allowed(monkeypatch):
    monkeypatch.delenv("FORECAST_KERNEL", raising=False)


def network(name, **options):
    return build_core(name, Shapes(60, 2), {"units": 4, **options})


def chosen(model, **size):
    """Returns what `compile` is told, and how many layers have another loop meanwhile."""
    with speed.training(model, **size) as settings:
        swapped = sum("inner_loop" in vars(layer) for layer in model._flatten_layers())
    assert not any("inner_loop" in vars(layer) for layer in model._flatten_layers())
    return settings, swapped


def test_lstms_train_on_the_kernel():
    assert chosen(network("residual_lstm", depth=3), **LONG) == ({"jit_compile": False, "steps_per_execution": 8}, 3)


@pytest.mark.parametrize("name", ["gru", "peephole_lstm", "layernorm_lstm", "segment_lstm"])
def test_other_recurrent_layers_are_compiled_by_xla(name, caplog):
    with caplog.at_level(logging.INFO, logger="forecast"):
        assert chosen(network(name), **LONG) == ({"jit_compile": True, "steps_per_execution": 8}, 0)
    assert "The training step is compiled by XLA: the kernel is for keras.layers.LSTM, and this is" in caplog.text


def test_where_there_is_little_to_do_nothing_is_compiled(caplog):
    with caplog.at_level(logging.INFO, logger="forecast"):
        assert chosen(network("lstm"), batches=20, epochs=100) == ({}, 0)
    assert "Training runs on Keras's own loops: compiling would take longer than the training." in caplog.text


def test_large_batches_are_worth_compiling_for_earlier():
    small = {"batches": 100, "epochs": 5}
    assert chosen(network("segment_lstm"), **small) == ({}, 0)
    assert chosen(network("segment_lstm"), **small, batch_size=256)[0]["jit_compile"]


def test_a_network_without_a_recurrence_is_left_to_keras():
    assert chosen(build_core("mlp", Shapes(60, 2), {}), **LONG) == ({}, 0)


def test_one_setting_switches_everything_off(monkeypatch, caplog):
    monkeypatch.setenv("FORECAST_KERNEL", "stock")
    with caplog.at_level(logging.INFO, logger="forecast"):
        assert chosen(network("lstm"), **LONG) == ({}, 0)
        assert chosen(network("gru"), **LONG) == ({}, 0)
    assert "FORECAST_KERNEL=stock" in caplog.text
    assert not speed.prediction_pays(network("lstm"), 10**6)
    monkeypatch.setenv("FORECAST_KERNEL", "fats")
    with pytest.raises(ConfigError, match=r"`FORECAST_KERNEL` must be 'fast' or 'stock'\. Received: 'fats'"):
        chosen(network("lstm"), **LONG)


def test_many_windows_are_predicted_on_the_kernel_and_few_are_not():
    assert speed.prediction_pays(network("lstm"), 2048)
    assert not speed.prediction_pays(network("lstm"), 2047)
    assert not speed.prediction_pays(network("gru"), 10**6)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_forecaster_learns_and_answers_the_same_either_way(name, monkeypatch):
    def fitted(setting):
        monkeypatch.setenv("FORECAST_KERNEL", setting)
        model = forecast.Forecaster(
            {"name": name, "units": 4}, lookback=12, horizon=2, training={"epochs": 2, "batch_size": 64}
        )
        return model.fit("synthetic:sine?rows=1500&season_length=12&freq=h", quiet=True)

    monkeypatch.setattr(speed, "TRAINING_PAYS", 0)
    monkeypatch.setattr(speed, "PREDICTION_PAYS", 0)
    ours, stock = fitted("fast"), fitted("stock")
    for a, b in zip(ours.network_.get_weights(), stock.network_.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    a, b = ours.backtest().y_pred[name], stock.backtest().y_pred[name]
    np.testing.assert_allclose(a, b, atol=1e-3 * b.std())
    again = fitted("fast")
    for a, b in zip(ours.network_.get_weights(), again.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
