"""What the README says of the models, held by the long sweeps; the runs are those of `benchmarks/models.py`."""

import importlib.util
import statistics
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = [pytest.mark.slow, pytest.mark.shared_data]


@pytest.fixture(scope="module")
def models():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("models_benchmark", BENCHMARKS / "models.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.mark.parametrize("name", ["lstm", "stacked_lstm", "bidirectional_lstm", "conv1d_lstm"])
def test_each_model_at_its_defaults_is_at_most_two_percent_worse_than_naive_on_a_stock(models, shared_data, name):
    ratios = [models.stock(shared_data, seed, model=name)["ratio"] for seed in range(3)]
    assert statistics.median(ratios) <= 1.02


def test_minmax_alone_has_several_times_the_naive_error_on_a_rising_stock(models, shared_data):
    assert models.stock(shared_data, 0, model="stacked_lstm", normalize="none")["ratio"] > 2.5


def test_hourly_traffic_is_forecast_far_better_than_by_the_same_hour_of_yesterday(models, shared_data):
    found = models.traffic(shared_data, 0, model="conv1d_lstm")  # the cheapest; the benchmark runs all four
    assert found["ratio"] <= 0.8
    assert found["untrained"] > 1
