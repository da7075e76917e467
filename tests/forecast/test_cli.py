"""The command `forecast`: results on standard output, errors as one message and the code of their kind."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from forecast.cli import app, main
from forecast.cli._shared import parse_settings
from forecast.forecaster import Forecaster
from pipelines import errors
from pipelines.errors import ConfigError
from pipelines.sources import load

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(one.name for one in (*app.registered_commands, *app.registered_groups))
PARTS = [
    (group.name, one.callback.__name__)
    for group in app.registered_groups
    for one in group.typer_instance.registered_commands
]
SMALL = ["--lookback", "8", "--horizon", "2", "--epochs", "1", "--set", "model.units=4", "--quiet"]


def run(*arguments):
    """Runs a command in this process; returns its exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


def succeeds(*arguments):
    code, out, err = run(*arguments)
    assert code == 0, err
    return out


def fails(code, *arguments):
    """Returns the message of a command that must fail with a code."""
    got, out, err = run(*arguments)
    assert (got, out) == (code, ""), err
    assert "Traceback" not in err
    return err


def plain(text):
    """Returns text without colours and line breaks of a terminal."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def trained(folder):
    """Returns what `train --json` printed."""
    out = succeeds("train", "sample:goog", "-t", "Close", "--name", "goog", "--folder", folder, "--json", *SMALL)
    return json.loads(out)


@pytest.fixture
def use(trained, folder):
    """Runs a command on the bundle."""
    return lambda command, *arguments: succeeds(command, "goog", "--folder", folder, *arguments)


# --- train ------------------------------------------------------------------------------------------------------------


def test_train_prints_scores_beside_naive_as_one_json_object(trained, folder):
    assert trained["bundle"] == str(folder / "goog" / "1")
    assert (trained["model"], trained["target"], trained["seed"], trained["epochs"]) == ("lstm", ["Close"], 0, 1)
    assert (trained["part"], trained["unit"]) == ("test", "dollars")
    assert set(trained["scores"]) == {"lstm", "naive", "seasonal_naive", "drift", "mean"}
    assert trained["scores"]["lstm"]["mae"] > 0
    assert re.match(r"(Better than|Worse than|Level with) naive on 208 test sessions: MAE ", trained["verdict"])


def test_train_leaves_a_bundle_with_its_settings(trained, folder):
    model = Forecaster.load("goog", folder)
    config = model.config
    assert (config.lookback, config.horizon, config.training.epochs, config.model.options) == (8, 2, 1, {"units": 4})
    assert (model.source_, model.target) == ("sample:goog", ("Close",))
    assert (folder / "goog" / "1" / "forecast.png").stat().st_size > 10_000


def test_train_for_people_ends_with_the_verdict_and_where_things_are(tmp_path):
    out = succeeds("train", "synthetic:sine?rows=120&freq=h", "--folder", tmp_path, *SMALL)
    lines = out.splitlines()
    assert lines[0] == "test scores of y"
    assert " naive on 23 test hours: MAE " in out
    assert lines[-2].split() == ["bundle", str(tmp_path / "sine" / "1")]  # named after the data
    assert Path(lines[-1].split()[1]).is_file()


def test_train_without_saving_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
    out = succeeds("train", "synthetic:sine?rows=120", "--no-save", "--json", *SMALL)
    assert json.loads(out)["bundle"] is None
    assert list(tmp_path.iterdir()) == []


def test_options_go_over_set_and_set_goes_over_the_file(tmp_path, monkeypatch):
    seen = {}

    def stop(self, data, **kwargs):
        seen["config"], seen["data"] = self.config, data
        raise ConfigError("enough")

    monkeypatch.setattr(Forecaster, "fit", stop)
    file = tmp_path / "settings.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "model": {"name": "lstm", "units": 8, "dropout": 0.1},
                "target": "Open",
                "lookback": 30,
                "horizon": 3,
                "training": {"epochs": 9, "patience": 7, "loss": "mae"},
                "scaling": "robust",
            }
        ),
        encoding="utf-8",
    )
    arguments = ["--set", "horizon=4", "--set", "training.patience=6", "--set", "model.units=5", "--set", "lookback=31"]
    arguments += ["--lookback", "32", "--epochs", "2", "-t", "High", "-t", "Low", "--feature", "day_of_week"]
    fails(78, "train", "sample:goog", "--config", file, *arguments)
    config = seen["config"]
    assert (config.lookback, config.horizon, config.target) == (32, 4, ("High", "Low"))
    assert config.model.model_dump() == {"name": "lstm", "options": {"units": 5, "dropout": 0.1}}
    assert (config.training.epochs, config.training.patience, config.training.loss) == (2, 6, "mae")
    assert (config.scaling.method, config.features, seen["data"]) == ("robust", ("day_of_week",), "sample:goog")


def test_every_training_option_arrives(monkeypatch):
    seen = {}

    def stop(self, data, **kwargs):
        seen["config"] = self.config
        raise ConfigError("enough")

    monkeypatch.setattr(Forecaster, "fit", stop)
    given = {
        "--gap": 1,
        "--predict": "return",
        "--past": "Volume",
        "--known": "promo",
        "--static": "size",
        "--quantile": 0.9,
        "--calendar": "XNYS",
        "--id-col": "Ticker",
        "--time-col": "Date",
        "--normalize": "mean_std",
        "--scaling": "standard",
        "--batch-size": 16,
        "--learning-rate": 0.01,
        "--patience": 3,
        "--seed": 7,
        "--model": "stacked_lstm",
    }
    fails(78, "train", "x.csv", *(part for pair in given.items() for part in pair))
    config = seen["config"]
    assert (config.gap, config.predict, config.past, config.known) == (1, "return", ("Volume",), ("promo",))
    assert (config.static, config.quantiles) == (("size",), (0.5, 0.9))
    assert (config.calendar, config.id_col, config.time_col) == ("XNYS", "Ticker", "Date")
    assert (config.normalize, config.scaling.method, config.seed) == ("mean_std", "standard", 7)
    assert (config.training.batch_size, config.training.learning_rate, config.training.patience) == (16, 0.01, 3)
    assert config.model.name == "stacked_lstm"


def test_settings_are_yaml_and_dots_reach_into_groups():
    pairs = [
        "training.epochs=5",
        "features=[day_of_week]",
        "split.test=2020-01-01",
        "training.clip_norm=1e0",
        "model.units=4",
    ]
    assert parse_settings(pairs)["training"]["epochs"] == 5
    assert parse_settings(pairs)["features"] == ["day_of_week"]
    assert parse_settings(pairs)["model"] == {"units": 4}
    assert parse_settings(["unit=a=b"]) == {"unit": "a=b"}


@pytest.mark.parametrize("pair", ["lookback", "=3", " =3", "lookback=[1"])
def test_a_setting_that_is_none_is_refused(pair):
    with pytest.raises(ConfigError, match="`--set` takes "):
        parse_settings([pair])


def test_a_group_and_one_of_its_settings_are_not_both_set():
    with pytest.raises(ConfigError, match=r"`--set`.*model.*Received: 'model\.units=4'"):
        parse_settings(["model=lstm", "model.units=4"])


# --- predict, evaluate, backtest, plot --------------------------------------------------------------------------------


def test_predict_prints_the_next_sessions(use):
    out = use("predict")
    ends = ["y_pred_lo_80", "y_pred_hi_80", "y_pred_lo_95", "y_pred_hi_95"]
    assert out.splitlines()[0].split() == ["unique_id", "target", "ds", "cutoff", "step", "y_pred", *ends]
    assert "2008-10-15" in out
    assert "2008-10-16" in out
    assert len(out.splitlines()) == 3


def test_predict_prints_json_rows_of_what_the_library_answers(use, folder):
    rows = json.loads(use("predict", "--steps", "5", "--json"))
    expected = Forecaster.load("goog", folder).predict(5, data="sample:goog")
    assert [row["ds"][:10] for row in rows] == expected["ds"].dt.strftime("%Y-%m-%d").tolist()
    assert [row["y_pred"] for row in rows] == pytest.approx(expected["y_pred"].tolist())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_writes_a_table(use, tmp_path, ending):
    file = tmp_path / f"next.{ending}"
    assert use("predict", "--out", file) == ""
    table = pd.read_csv(file) if ending == "csv" else pd.read_parquet(file)
    assert len(table) == 2
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_predict_takes_other_rows_and_flags_what_it_was_not_trained_on(trained, folder, tmp_path):
    load("sample:goog").iloc[-50:, :4].to_csv(tmp_path / "other.csv")
    code, out, err = run("predict", "goog", tmp_path / "other.csv", "--folder", folder)
    assert code == 0
    assert "1 series not seen in training, scaled by their own rows: other" in err
    assert "other" in out


def test_evaluate_prints_what_train_printed(use, trained):
    again = json.loads(use("evaluate", "--json"))
    assert again["scores"]["naive"] == trained["scores"]["naive"]
    assert again["scores"]["lstm"]["mae"] == pytest.approx(trained["scores"]["lstm"]["mae"], rel=1e-6)
    assert again["verdict"] == trained["verdict"]
    text = use("evaluate", "--part", "validation")
    assert text.startswith("validation scores of Close, in dollars\n")
    assert " validation sessions: MAE " in text


def test_backtest_by_step_prints_scores_and_writes_every_forecast(use, tmp_path):
    out = use("backtest", "--by", "step", "--out", tmp_path / "forecasts.csv")
    assert "step" in out
    assert f"forecasts {tmp_path / 'forecasts.csv'}" in out
    table = pd.read_csv(tmp_path / "forecasts.csv", parse_dates=["ds"])
    assert len(table) == 2 * 208
    assert table.columns.tolist()[:7] == ["unique_id", "target", "ds", "cutoff", "step", "y_true", "y_pred"]
    assert table["ds"].max() == pd.Timestamp("2008-10-14")


def test_backtest_prints_json_rows(use):
    answer = json.loads(use("backtest", "--by", "step", "--cutoffs", "7", "--json"))
    assert answer["cutoffs"] == 7
    assert {(row["step"], row["model"]) for row in answer["scores"]} >= {(1, "lstm"), (2, "naive")}
    whole = json.loads(use("backtest", "--stride", "50", "--json"))
    assert whole["cutoffs"] == 5
    assert " on 5 test sessions" in whole["verdict"]


@pytest.mark.parametrize("kind", ["forecast", "fit", "history", "error_by_step", "splits"])
def test_plot_draws_each_kind(use, tmp_path, kind):
    file = tmp_path / "picture.png"
    assert use("plot", "--kind", kind, "--out", file) == f"picture {file}\n"
    assert file.read_bytes()[:4] == b"\x89PNG"


# --- lists ------------------------------------------------------------------------------------------------------------


def test_bundles_are_listed_with_their_scores(use, trained, folder):
    (row,) = json.loads(succeeds("bundles", "--folder", folder, "--json"))
    assert (row["name"], row["version"], row["model"], row["state"]) == ("goog", 1, "lstm", "ok")
    assert row["score"] > 0
    text = succeeds("bundles", "--folder", folder)
    assert text.splitlines()[0].split()[:2] == ["name", "version"]
    assert "goog" in text


def test_bundles_lie_where_forecast_home_says(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
    assert succeeds("bundles").startswith(f"No bundles in {tmp_path / 'saved_models'}.")
    succeeds("train", "synthetic:sine?rows=100", "--name", "mine", *SMALL)
    assert (tmp_path / "saved_models" / "mine" / "1" / "manifest.json").is_file()
    assert "mine" in succeeds("bundles")
    assert succeeds("predict", "mine").count("\n") == 3


def test_models_are_listed_with_their_options_and_defaults():
    from forecast.models import registry

    listed = json.loads(succeeds("models", "--json"))
    assert sorted(listed) == registry.names()
    assert listed["lstm"]["options"]["units"] == 64
    assert listed["conv1d_lstm"]["options"]["pool_size"] == 2
    assert all(model["about"] and "past" in model["inputs"] for model in listed.values())
    assert "recurrent_initializer='orthogonal'" in succeeds("models")


def test_sources_are_listed_with_examples():
    from pipelines.sources import registry

    listed = json.loads(succeeds("sources", "--json"))
    assert sorted(listed) == registry.names()
    assert "sample:goog" in listed["sample"]["examples"]
    assert "sample:goog" in succeeds("sources")


def test_describe_says_what_the_data_are():
    text = succeeds("describe", "sample:goog")
    assert "1047" in text.replace(",", "")
    assert "XNYS" in text
    about = json.loads(succeeds("describe", "synthetic:sine?rows=50", "--freq", "D", "--json"))
    assert about["rows"] == 50
    assert about["columns"]["y"]["missing"] == 0


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (
            78,
            ["train", "sample:goog", "-t", "Close", "-m", "lstmm"],
            "UnknownName: No model is called 'lstmm'. Did you mean 'lstm'?",
        ),
        (
            78,
            ["train", "sample:goog", "-t", "close"],
            "UnknownName: No column is called 'close'. Did you mean 'Close'?",
        ),
        (78, ["train", "sample:goog"], "ConfigError: `target` must say which column to predict."),
        (78, ["train", "nowhere:x"], "UnknownName: No source is called 'nowhere'."),
        (69, ["train", "no_such_file.csv"], "SourceError: "),
        (65, ["train", "synthetic:sine?rows=20"], "SeriesTooShort: One window needs 61 rows"),
        (
            78,
            ["train", "sample:goog", "--config", "no_such_file.yaml"],
            "ConfigError: The settings file must be readable YAML.",
        ),
        (78, ["train", "sample:goog", "--set", "lookbak=3"], "has no setting 'lookbak'. Did you mean 'lookback'?"),
        (78, ["predict", "no_such_bundle"], "UnknownName: No bundle is called 'no_such_bundle'."),
        (78, ["evaluate", "no_such_bundle"], "UnknownName"),
        (78, ["backtest", "no_such_bundle"], "UnknownName"),
        (78, ["plot", "no_such_bundle"], "UnknownName"),
        (78, ["plot", "no_such_bundle", "--out", "picture.bmp"], "`--out` must end in .png, .svg or .pdf"),
        (69, ["describe", "no_such_file.csv"], "SourceError"),
    ],
)
def test_an_error_has_its_kind_s_code_and_a_message_that_helps(tmp_path, monkeypatch, code, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path))
    assert message in fails(code, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["predict"],
        ["train", "x.csv", "--lookback", "many"],
        ["predicd", "goog"],
        ["backtest", "x", "--stride", "0"],
    ],
)
def test_wrong_usage_ends_with_2(arguments):
    code, _, err = run(*arguments)
    assert code == 2
    assert "Traceback" not in err
    assert "Usage" in err


@pytest.mark.parametrize(
    "name", sorted(n for n in vars(errors) if n[0].isupper() and n not in ("Iterable", "ForecastError"))
)
def test_every_kind_of_error_ends_with_its_own_code(monkeypatch, name):
    kind = getattr(errors, name)

    def fail(folder):
        raise kind("what must hold, what was received, what to do")

    monkeypatch.setattr("forecast.bundle.list_bundles", fail)
    assert fails(kind.exit_code, "bundles") == f"{name}: what must hold, what was received, what to do\n"
    assert kind.exit_code in (65, 69, 70, 75, 78)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(folder):
        raise RuntimeError("a bug")

    monkeypatch.setattr("forecast.bundle.list_bundles", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run("bundles")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--steps", "0"], "`steps` must be an integer >= 1"),
        (["--out", "table.xlsx"], "`--out` must end in .csv or .parquet"),
        (["--out", "no/such/folder/table.csv"], "`--out` must be a file that can be written"),
    ],
)
def test_wrong_options_of_predict_are_config_errors(trained, folder, tmp_path, monkeypatch, option, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails(78, "predict", "goog", "--folder", folder, *option)


def test_a_bundle_that_was_changed_is_refused(trained, folder, tmp_path):
    import shutil

    shutil.copytree(folder / "goog" / "1", tmp_path / "goog" / "1")
    with (tmp_path / "goog" / "1" / "history.csv").open("a") as file:
        file.write(" ")
    assert "BundleError" in fails(78, "predict", "goog", "--folder", tmp_path)


def test_a_machine_reads_standard_output_and_a_quiet_run_says_nothing_else(tmp_path):
    command = [
        sys.executable,
        "-m",
        "forecast",
        "train",
        "synthetic:sine?rows=100",
        "--folder",
        str(tmp_path),
        "--json",
    ]
    done = subprocess.run([*command, *SMALL], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "lstm"
    assert done.stderr == ""


def test_a_failing_command_prints_one_line_and_exits_with_its_code(tmp_path):
    command = [sys.executable, "-m", "forecast", "predict", "nothing"]
    home = {**os.environ, "FORECAST_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=home, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1


# --- documentation ----------------------------------------------------------------------------------------------------


def test_there_is_a_command_for_each_file():
    files = {path.stem for path in (ROOT / "forecast" / "cli").glob("[a-z]*.py")}
    assert {command.replace("-", "_") for command in COMMANDS} == files


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_in_its_help_and_a_place_in_the_readme(command):
    help_ = plain(succeeds(command, "--help"))
    assert f"Example: forecast {command}" in help_
    assert f"forecast {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("group", "part"), PARTS)
def test_every_command_of_a_group_has_an_example_in_its_help(group, part):
    assert f"Example: forecast {group} {part}" in plain(succeeds(group, part, "--help"))


def test_help_lists_every_command():
    text = plain(succeeds("--help"))
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", text)
