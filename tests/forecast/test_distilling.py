"""A student learns from its teacher, is small, and fits the device it was made for."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import forecast
from forecast.cli import app
from forecast.device_fit import fit_to, size
from forecast.distilling import distill, students
from forecast.export import runtimes
from pipelines.errors import ConfigError, ExportError

DAYS = pd.date_range("2024-01-01", periods=400)
VALUES = 10 + np.sin(np.arange(400) / 4) + np.random.default_rng(0).normal(0, 0.1, 400)
ROWS = pd.DataFrame({"y": VALUES}, index=DAYS)
FEW = {"target": "y", "lookback": 12, "horizon": 2, "training": {"epochs": 4, "learning_rate": 0.01}}


def fitted(model=None, rows=ROWS, **settings):
    return forecast.Forecaster(model or {"name": "lstm", "units": 16}, **{**FEW, **settings}).fit(rows, quiet=True)


@pytest.fixture(scope="module")
def teacher():
    return fitted()


@pytest.fixture(scope="module")
def distilled(teacher):
    return distill(teacher, quiet=True)


def test_the_default_student_is_the_largest_of_a_quarter(teacher, distilled):
    count = teacher.network_.count_params()
    units = distilled.student.config.model.options["units"]
    assert distilled.student.network_.count_params() == 4 * units * (units + 2) + 2 * (units + 1) <= count / 4
    assert 4 * (units + 1) * (units + 3) + 2 * (units + 2) > count / 4
    assert distilled.parameters == (count, distilled.student.network_.count_params())


def test_the_student_is_a_forecaster_like_any_other(teacher, distilled, tmp_path):
    student = distilled.student
    assert student.predict().shape == teacher.predict().shape
    assert student.intervals_ is not None
    loaded = forecast.Forecaster.load(student.save("student", tmp_path))
    np.testing.assert_allclose(loaded.predict(data=ROWS)["y_pred"], student.predict()["y_pred"], rtol=1e-6)
    assert loaded.manifest_["lineage"] == [{"what": "distilled", "weight": 0.5, "teacher": "lstm"}]


def test_its_errors_stand_beside_the_others(teacher, distilled):
    backtest = teacher.backtest(levels=())
    error = np.abs(backtest.y_true - backtest.y_pred["lstm"]).mean()
    assert distilled.mae["teacher"] == pytest.approx(error, rel=1e-6)
    assert set(distilled.mae) == {"teacher", "student", "alone", "naive"}
    assert "student, distilled" in str(distilled)
    assert "the same network trained alone: the teacher" in str(distilled)


def test_without_weight_the_teacher_changes_no_bit(teacher, distilled):
    weightless = distill(teacher, weight=0, quiet=True)
    for a, b in zip(weightless.student.network_.get_weights(), distilled.alone.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    changed = zip(distilled.student.network_.get_weights(), distilled.alone.network_.get_weights(), strict=True)
    assert any((a != b).any() for a, b in changed)


def test_with_all_weight_the_truth_of_training_windows_is_not_looked_at():
    """The teacher sees pasts alone: a student of weight 1 learns the teacher's answers, noise of the truth or not."""
    teacher = fitted("linear")
    student = distill(teacher, model={"name": "linear"}, share=1, weight=1.0, alone=False, quiet=True, epochs=60)
    both = [one.backtest(part="train", levels=()).frame()["y_pred"] for one in (teacher, student.student)]
    assert np.abs(both[0] - both[1]).mean() < 0.05  # the noise of the truth is 0.1


def test_rows_after_validation_change_nothing(teacher):
    poisoned = ROWS.copy()
    poisoned.iloc[330:] = 1e4
    clean = distill(teacher, ROWS, quiet=True, alone=False)
    dirty = distill(teacher, poisoned, quiet=True, alone=False)
    for a, b in zip(clean.student.network_.get_weights(), dirty.student.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_ensemble_teaches_one_network():
    teacher = fitted({"name": "lstm", "units": 8}, ensemble=2)
    found = distill(teacher, quiet=True, alone=False)
    assert found.student.config.ensemble is None
    assert found.student.config.model.name == "lstm"
    assert 4 * found.parameters[1] <= found.parameters[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"name": "lstm", "units": 16}}, r"at most 296 parameters \(0.25 of its teacher's 1,186\)"),
        ({"model": {"name": "lstm", "units": 32}, "share": 1.0}, r"at most 1,186 parameters \(1 of its teacher's"),
        ({"share": 0}, r"`share` must be a number from 0 to 1. Received: 0"),
        ({"share": 1.5}, r"`share` must be a number from 0 to 1"),
        ({"weight": -0.1}, r"`weight` must be a number from 0 to 1"),
        ({"share": 0.001}, r"Received: 16 in the smallest lstm. Raise `share`"),
        ({"model": "lstmm"}, r"No model is called 'lstmm'"),
        ({"model": {"name": "lstm", "unit": 1}}, r"`lstm` has no setting 'unit'"),
    ],
)
def test_students_that_cannot_be_are_refused(settings, message, teacher):
    with pytest.raises(forecast.ForecastError, match=message):
        distill(teacher, quiet=True, **settings)


def test_a_kind_without_units_needs_a_named_student():
    with pytest.raises(ConfigError, match=r"model 'linear', which has none. Name the student"):
        distill(fitted("linear"), quiet=True)


def test_a_teacher_of_quantiles_is_refused():
    with pytest.raises(ConfigError, match=r"quantiles would no longer be quantiles"):
        distill(fitted("mlp", quantiles=[0.1, 0.9]), quiet=True)


def test_students_grow_up_to_the_share(teacher):
    found = [one.options["units"] for one in students(teacher)]
    assert found == sorted(found)
    assert found[0] == 1
    assert found[-1] == 16


# --- devices ----------------------------------------------------------------------------------------------------------


SIZES = {"16k": 16384, "16 KiB": 16384, 2000: 2000, "0.5M": 524288, "1kb": 1024}


@pytest.mark.parametrize("text", SIZES)
def test_sizes_are_read(text):
    assert size(text, "flash") == SIZES[text]


@pytest.mark.parametrize("text", ["", "16x", "-1k", "0", "k", "1e3"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ConfigError, match=r"`flash` must be a size above 0, such as 16k"):
        size(text, "flash")


@pytest.mark.slow
@pytest.mark.skipif(not runtimes.micro_installed(), reason="TFLite Micro, which measures arenas, is for x86 Linux")
def test_what_fits_is_as_large_as_the_device_allows(teacher, tmp_path):
    found = fit_to(teacher, "5800", 5000, path=tmp_path / "small.tflite", name="small", folder=tmp_path, quiet=True)
    file = tmp_path / "small.tflite"
    assert 5_000 < file.stat().st_size <= 5800
    assert runtimes.Micro(file.read_bytes()).arena <= 5000
    assert found.distilled is not None
    assert found.forecaster.path_ == tmp_path / "small/1"
    too_large = [one for one in found.tried if not one.fits]
    fits = [one for one in found.tried if one.fits]
    assert max(one.parameters for one in fits) < min(one.parameters for one in too_large)
    assert "too large" in str(found)
    assert json.dumps(found.to_dict(), default=str)


def test_a_bundle_that_fits_is_exported_as_it_is(teacher, tmp_path):
    found = fit_to(teacher, "1M", path=tmp_path / "whole.tflite", quiet=True)
    assert found.distilled is None
    assert found.forecaster is teacher
    assert "The bundle itself fits; nothing was distilled." in str(found)
    assert (tmp_path / "whole.tflite").is_file()


@pytest.mark.parametrize("units", [1, 2, 3, 4])
def test_the_largest_that_fits_is_trained_however_small_it_is(units, monkeypatch, tmp_path):
    """Sizes are made up here: a hundred bytes a unit, so that it is known which is the largest."""
    teacher = fitted(training={"epochs": 1})

    def spent(forecaster, options):
        return {"file_bytes": 100 * forecaster.config.model.options["units"], "arena": 1}

    monkeypatch.setattr("forecast.device_fit._spent", spent)
    monkeypatch.setattr(forecast.Forecaster, "export", lambda *_, **__: "a report")
    found = fit_to(teacher, 100 * units + 50, path=tmp_path / "made_up.tflite", quiet=True)
    assert found.forecaster.config.model.options["units"] == units
    assert found.report == "a report"


@pytest.mark.slow
def test_where_nothing_fits_the_least_is_named_and_nothing_written(teacher, tmp_path):
    with pytest.raises(
        ExportError, match=r"A file must fit into 1,024 bytes. Received: the smallest lstm needs \d,\d\d\d"
    ):
        fit_to(teacher, "1k", path=tmp_path / "none.tflite", quiet=True)
    assert not list(tmp_path.iterdir())


# --- the commands -----------------------------------------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_the_command_saves_a_student(teacher, tmp_path):
    ROWS.rename_axis("ds").to_csv(tmp_path / "rows.csv")
    teacher.save("large", tmp_path)
    place = ["--folder", tmp_path, "--quiet"]
    done = run("distill", "large", tmp_path / "rows.csv", "--student", "gru", "--set", "model.units=4", *place)
    assert done.exit_code == 0, done.output
    assert "student, alone" in done.output
    assert forecast.Forecaster.load("large-student", tmp_path).config.model.name == "gru"
    lone = run("distill", "large", tmp_path / "rows.csv", "--no-alone", "--name", "lone", "--json", *place)
    assert set(json.loads(lone.output)["mae"]) == {"teacher", "student", "naive"}
    for words, message in (
        (["--set", "lookback=3"], "A student has its own `model` and `training`"),
        (["--set", "model.units=3"], "is of the student that `--student` names"),
    ):
        refused = run("distill", "large", tmp_path / "rows.csv", *words, *place)
        assert message in str(refused.exception)


def test_the_command_fits_a_device(tmp_path):
    ROWS.rename_axis("ds").to_csv(tmp_path / "rows.csv")
    teacher = fitted({"name": "lstm", "units": 4}, tmp_path / "rows.csv")
    teacher.save("large", tmp_path)
    out = tmp_path / "device"
    words = ["fit-to", "large", tmp_path / "rows.csv", "--flash", "5400", "--out", out, "--folder", tmp_path, "--quiet"]
    done = run(*words, "--set", "training.epochs=2")
    assert done.exit_code == 0, done.output
    assert (out / "model.tflite").stat().st_size <= 5400
    assert "bundle" in done.output
    assert (out / "run.py").is_file()
