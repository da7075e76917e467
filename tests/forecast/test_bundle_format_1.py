"""A bundle that was saved in November 2026 still loads, and still forecasts the same.

`tests/data/bundle_format_1/tiny/1` was made once, by version 0.1.0 and the libraries that its manifest names:

    from matplotlib.figure import Figure

    from forecast import Forecaster

    draw = Figure.savefig  # a small picture: it is not what is tested
    Figure.savefig = lambda figure, path, **options: draw(figure, path, **options | {"dpi": 20})
    model = Forecaster({"name": "lstm", "units": 2}, lookback=5, horizon=2, features=["day_of_week"])
    model.fit("synthetic:sine?rows=80&series=2&noise=0&season_length=8", quiet=True, epochs=3)
    model.save("tiny", folder="tests/data/bundle_format_1")

It is never made again. Where this file fails, bundles that people have saved fail, too: repair the loading, or raise
the format's number and keep reading this one; a new format gets a bundle and a test of its own beside these.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast import bundle
from forecast.cli import main
from forecast.forecaster import Forecaster

FOLDER = Path(__file__).parents[1] / "data/bundle_format_1"
VERSION = FOLDER / "tiny/1"

# What it forecast on the day it was saved, three steps from a horizon of two, so the third is rolled forward.
FORECAST = pd.DataFrame(
    {
        "unique_id": ["s0"] * 3 + ["s1"] * 3,
        "target": "y",
        "ds": pd.to_datetime(["2020-03-21", "2020-03-22", "2020-03-23"] * 2),
        "cutoff": pd.Timestamp("2020-03-20"),
        "step": [1, 2, 3] * 2,
    }
)
Y_PRED = [9.239397, 9.381294, 9.274872, 10.629633, 10.751268, 10.654067]
MAE = 0.694337  # on its test part
DIGEST = "470e1d5ef4b8869ee7680bd10d1e0795123fc835402f33dfae8b5b881b054ec6"


@pytest.fixture(scope="module")
def model():
    return Forecaster.load("tiny", folder=FOLDER)  # compares sums and golden answers


def test_it_is_the_bundle_of_that_day():
    manifest = bundle.verify(VERSION)
    assert manifest["format"] == 1
    assert manifest["digest"] == DIGEST
    assert manifest["data"]["source"] == "synthetic:sine?rows=80&series=2&noise=0&season_length=8"


def test_it_names_no_folder_of_the_machine_that_saved_it():
    for path in VERSION.glob("*.json"):
        texts = list(strings(json.loads(path.read_text(encoding="utf-8"))))
        assert not [text for text in texts if text.startswith(("/", "~", "\\")) or ":\\" in text], path.name


def strings(value):
    """Yields every text in a JSON value."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def test_its_golden_answers_are_still_given(model):
    with np.load(VERSION / "golden.npz", allow_pickle=False) as golden:
        assert golden["y"].shape == (4, 2, 1)
        np.testing.assert_allclose(bundle.answers(model.network_, golden["past"]), golden["y"], rtol=0, atol=1e-5)


def test_it_forecasts_what_it_forecast_that_day(model):
    frame = model.predict(3, data=model.source_)
    pd.testing.assert_frame_equal(
        frame.drop(columns="y_pred"), FORECAST, check_dtype=False, check_index_type=False, check_column_type=False
    )
    np.testing.assert_allclose(frame["y_pred"], Y_PRED, rtol=0, atol=1e-4)  # of values between 9 and 11


def test_its_test_part_starts_where_it_did(model):
    scores = model.evaluate(model.source_)
    assert scores["lstm"]["mae"] == pytest.approx(MAE, abs=1e-4)
    assert model.manifest_["metrics"]["test"]["lstm"]["mae"] == pytest.approx(MAE, abs=1e-4)


def test_its_history_can_be_drawn(model):
    assert len(model.run_.history) == 4  # the untrained network, and three epochs
    assert model.plot("history").get_title().startswith("Loss by epoch")


def test_the_command_forecasts_from_it(capsys):
    with pytest.raises(SystemExit) as end:
        main(["predict", "tiny", "--steps", "3", "--json", "--folder", str(FOLDER)])
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose([row["y_pred"] for row in found], Y_PRED, rtol=0, atol=1e-4)
