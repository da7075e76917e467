"""Tuning: settings found by trying, all scored on the same validation rows; and studies that survive their process."""

import doctest
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import optuna
import pandas as pd
import pytest
import yaml

from forecast import ForecastConfig, Forecaster
from forecast.cli import main
from forecast.models import registry
from forecast.plotting import plot_searched, plot_trials, write_trials
from forecast.training.progress import Progress
from forecast.tuning import search_space, study, tune
from forecast.tuning.question import Question, ask
from forecast.tuning.space import Range, Space, applied
from forecast.tuning.stated import default, stated
from forecast.tuning.tuned import settings_of
from pipelines.errors import ConfigError, DataError, Locked, Stopped, UnknownName

ROOT = Path(__file__).parents[2]
TINY = {
    "model": {"name": "lstm", "units": 4},
    "training": {"epochs": 2, "batch_size": 16},
    "lookback": 6,
    "horizon": 2,
}
SPACE = {
    "model.units": {"low": 2, "high": 6},
    "lookback": {"low": 4, "high": 12, "step": 2},
    "normalize": ["last", "mean_std", "none"],
    "training.learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
}
SETTINGS = list(SPACE)
VALUES = ["trial", "state", "error", "epochs", *SETTINGS]  # all but how long it took


def walk(rows=200, seed=0):
    days = pd.date_range("2022-01-01", periods=rows)
    return pd.DataFrame({"y": 50 + np.cumsum(np.random.default_rng(seed).normal(size=rows))}, index=days)


def run(**options):
    options = {"space": SPACE, "trials": 4, "quiet": True, **TINY, **options}
    return tune(options.pop("data", walk()), **options)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("studies") / "walk.db"


@pytest.fixture(scope="module")
def tuned(file):
    """Four trials, two of them in a second call."""
    run(storage=file, trials=2)
    return run(storage=file)


# --- the search space -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.names())
def test_each_model_has_a_space_of_its_own_options_in_which_its_defaults_lie(name):
    config = ForecastConfig(model=name)
    space = default(config, rows=200)
    assert set(space.of(config)) == set(space.settings)
    assert stated(yaml.safe_load(str(space)), config, 200) == space  # what it prints can be handed in again
    options = registry.load(name).Options.model_fields
    tried = {one.removeprefix("model.") for one in space.settings if one.startswith("model.")}
    assert tried <= set(options) | ({"layers"} if name in ("lstm", "stacked_lstm") else set())


def test_the_default_space_reaches_to_settings_that_lie_outside_of_it():
    config = ForecastConfig(
        model={"name": "lstm", "units": 4, "dropout": 0.53}, training={"batch_size": 7, "learning_rate": 0.05}
    )
    space = default(config, rows=40)
    assert space.settings["model.units"] == Range(low=4, high=256, log=True)
    assert space.settings["training.batch_size"] == (7, 16, 32, 64, 128)
    assert space.settings["lookback"] == Range(low=15, high=60)  # few rows: not beyond what it was
    assert set(space.of(config)) == set(space.settings)


def test_layers_are_units_that_halve_from_the_lowest_up():
    config = applied(ForecastConfig(), {"model.layers": 3, "model.units": 40})
    assert config.model.model_dump() == {"name": "stacked_lstm", "options": {"units": [40, 20, 10]}}
    assert applied(config, {"model.layers": 1}).model.model_dump() == {"name": "lstm", "options": {"units": 40}}
    space = Space({"model.layers": Range(low=1, high=4), "model.units": Range(low=8, high=64)})
    assert space.of(config) == {"model.layers": 3, "model.units": 40}
    other = ForecastConfig(model={"name": "stacked_lstm", "units": [40, 40]})
    assert space.of(other) == {}  # no value of the space says this


def test_groups_may_be_nested_as_in_a_settings_file():
    nested = {"model": {"units": {"low": 2, "high": 6}}, "training": {"batch_size": [16]}}
    flat = {"model.units": {"low": 2, "high": 6}, "training.batch_size": [16]}
    assert stated(nested, ForecastConfig(), 100) == stated(flat, ForecastConfig(), 100)


def test_choices_may_be_whole_models():
    space = stated({"model": ["gru", {"name": "stacked_lstm", "units": [8, 4]}]}, ForecastConfig(), 100)
    made = [applied(ForecastConfig(), {"model": choice}).model.name for choice in space.settings["model"]]
    assert made == ["gru", "stacked_lstm"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"model.unit": [1]},
            r"`model\.unit` cannot be searched\. Did you mean 'model\.units'\? Choose from: lookback",
        ),
        ({"horizon": [1, 2]}, r"`horizon` cannot be searched\. All trials answer the same question"),
        ({"training.tensorboard": ["a"]}, r"`training\.tensorboard` cannot be searched"),
        ({"model.units": {"low": 9, "high": 3}}, r"`low` must be below `high`\. Received: 9 and 3\..*such as \[3\]"),
        ({"model.units": {"low": 9}}, r"`model\.units` of a search space: `high` must be given"),
        ({"model.units": {"low": 0, "high": 3}}, r"cannot be 0: `units` must be an integer >= 1\. Received: 0"),
        ({"model.units": {"low": 1.5, "high": 3}}, r"`model\.units` must have whole numbers as ends"),
        ({"model.units": {"low": 2, "high": 4, "step": 3}}, r"`step` must be above 0, and at most `high` less `low`"),
        ({"model.dropout": {"low": 0, "high": 0.5, "log": True}}, r"`low` must be above 0 where `log` is true"),
        ({"model.dropout": 0.5}, r"`model\.dropout` of a search space must be a range.*or a list of choices"),
        ({"normalize": {"low": 0, "high": 1}}, r"`normalize` takes choices, since it is no number"),
        ({"normalize": ["last", "first"]}, r"`normalize` of a search space cannot be 'first': `normalize` must be one"),
        ({"normalize": []}, r"The choices of `normalize` must be one or more, each once\. Received: \[\]"),
        ({"normalize": ["last", "last"]}, r"must be one or more, each once"),
        ({"lookback": {"low": 5, "high": 500}}, r"must leave one window in the training rows: at most 118\. .*: 500"),
        ({"training.schedule": ["cosin"]}, r"`training\.schedule` of a search space cannot be 'cosin'"),
        ({"model": ["lstm", 5]}, r"`model` must be a mapping of settings"),
        ({"model": {"low": 1, "high": 2}}, r"`model` takes choices, since it is no number: a list of names"),
        ({"model.layers": {"low": 0, "high": 2}}, r"cannot be 0: `layers` must be an integer >= 1\. Received: 0"),
        ({}, r"A search space must be a mapping of settings"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_the_first_trial(space, message):
    with pytest.raises(ConfigError, match=message):
        run(space=space)


def test_units_of_a_stack_are_choices_unless_layers_are_searched_too():
    with pytest.raises(ConfigError, match=r"takes choices.*or search `model\.layers` as well"):
        stated({"model.units": {"low": 2, "high": 4}}, ForecastConfig(model="stacked_lstm"), 100)
    with pytest.raises(UnknownName, match=r"No model is called 'lstmm'"):
        stated({"model": ["lstmm"]}, ForecastConfig(), 100)


# --- trials -----------------------------------------------------------------------------------------------------------


def test_the_first_trial_are_the_settings_as_they_were_so_the_best_is_never_worse(tuned):
    assert len(tuned.trials) == 4
    assert tuned.trials.loc[0, SETTINGS].tolist() == [4, 6, "last", 0.001]
    finished = tuned.trials[tuned.trials["state"] == "finished"]
    assert tuned.error == finished["error"].min() <= tuned.base_error == tuned.trials.loc[0, "error"]
    assert tuned.base == ForecastConfig(**TINY, target="y")


def test_the_same_seed_tries_the_same_and_a_study_that_goes_on_tries_what_it_would_have_tried(tuned):
    at_once = run()
    pd.testing.assert_frame_equal(tuned.trials[VALUES], at_once.trials[VALUES], check_exact=True)
    assert at_once.config == tuned.config
    other = run(seed=1)
    assert not other.trials[SETTINGS].iloc[1:].equals(at_once.trials[SETTINGS].iloc[1:])


def test_finished_trials_count_so_the_same_call_again_tries_nothing(tuned, file, monkeypatch):
    monkeypatch.setattr(Question, "answer", None)
    again = run(storage=file)
    pd.testing.assert_frame_equal(again.trials, tuned.trials)
    assert again.config == tuned.config
    assert len(run(storage=file, trials=2).trials) == 4


def test_the_error_is_that_of_a_forecaster_with_these_settings_on_the_same_cutoffs(tuned):
    model = Forecaster(config=tuned.config).fit(walk(), quiet=True)
    found = model.backtest(part="validation")
    naive = np.abs(np.diff(walk()["y"].to_numpy()[:120], n=1)) if found.panel.calendars[0].season_length == 1 else None
    season = found.panel.calendars[0].season_length
    train = walk()["y"].to_numpy()[:120]
    scale = np.abs(train[season:] - train[:-season]).mean() if naive is None else naive.mean()
    for error, name in ((tuned.error, "lstm"), (tuned.bars["naive"], "naive")):
        mine = np.abs(found.y_true - found.y_pred[name]).mean() / scale
        assert error == pytest.approx(mine, rel=1e-5)


def test_no_trial_sees_a_row_after_validation(tuned):
    poisoned = walk()
    poisoned.iloc[140:] = 1e6 * np.arange(60.0)[:, None]
    other = run(data=poisoned)
    pd.testing.assert_frame_equal(other.trials[VALUES], tuned.trials[VALUES], check_exact=True)
    assert other.bars == tuned.bars


def test_all_lookbacks_are_scored_on_the_cutoffs_of_the_largest():
    frame = pd.concat(
        [
            walk(rows, s).reset_index(drop=True).assign(unique_id=f"s{s}", ds=range(rows))
            for s, rows in ((0, 200), (1, 24))
        ]
    )
    progress = Progress(quiet=True)
    few = ask(frame, ForecastConfig(**TINY), {"lookback": [6]}, progress)
    many = ask(frame, ForecastConfig(**TINY), {"lookback": [6, 20]}, progress)
    assert len(few.judge.index) > len(many.judge.index)  # the short series has no window of 20 rows
    errors = [many.answer(many.config.replace(lookback=n), progress, lambda *_: None) for n in (6, 20)]
    assert np.isfinite(errors).all()
    assert set(many.judge.index.series) == {0}


def test_series_of_other_sizes_count_alike_and_one_that_never_moved_counts_too():
    small = walk(150, 0).rename_axis("ds").reset_index()
    parts = [small.assign(unique_id="a"), small.assign(unique_id="b", y=small["y"] * 1000)]
    both = ask(pd.concat(parts), ForecastConfig(**TINY), None, Progress(quiet=True))
    alone = ask(small.set_index("ds"), ForecastConfig(**TINY), None, Progress(quiet=True))
    assert both.judge.bars["naive"] == pytest.approx(alone.judge.bars["naive"], rel=1e-5)
    still = ask(pd.concat([parts[0], parts[1].assign(y=7.0)]), ForecastConfig(**TINY), None, Progress(quiet=True))
    assert still.judge.bars["naive"] == pytest.approx(alone.judge.bars["naive"] / 2, rel=1e-5)


@pytest.mark.parametrize(
    "settings", [{"quantiles": [0.1, 0.9]}, {"predict": "return"}, {"training": {"epochs": 1, "loss": "mase"}}]
)
def test_quantiles_returns_and_losses_per_series_are_scored_in_the_same_unit(settings):
    found = run(trials=2, space={"normalize": ["last", "none"]}, **settings)
    assert found.trials["state"].tolist() == ["finished"] * 2
    assert found.error < 3 * found.bars["naive"]


def test_a_trial_that_lies_behind_is_ended_early(monkeypatch):
    monkeypatch.setattr(study, "BEFORE_PRUNING", 1)
    monkeypatch.setattr(study, "WARMUP", 2)
    training = {"epochs": 6, "batch_size": 16, "patience": 6}
    found = run(space={"normalize": ["none"], "lookback": [4, 8]}, trials=3, training=training)
    assert found.trials["state"].tolist() == ["finished", "pruned", "pruned"]
    assert found.trials["epochs"].tolist() == [6, 2, 2]
    assert found.best == 1


def test_a_trial_that_cannot_be_trained_is_noted_and_the_next_one_begins(capsys):
    space = {"training.learning_rate": [1e-3, 1e30], "normalize": ["last"]}
    found = run(space=space, trials=5, quiet=False)
    failed = found.trials[found.trials["state"] == "failed"]
    assert set(failed["training.learning_rate"]) == {1e30}
    assert failed["error"].isna().all()
    assert failed["reason"].str.contains("loss must stay a number").all()
    assert "failed  best" in capsys.readouterr().err
    assert f"{len(failed)} failed" in str(found)


def test_where_every_trial_fails_the_reason_is_said():
    with pytest.raises(DataError, match=r"Received: 2 that failed\. The first: The training loss must stay a number"):
        run(space={"normalize": ["last", "none"]}, trials=2, training={"epochs": 1, "learning_rate": 1e30})


def test_ctrl_c_ends_it_with_what_is_done_and_the_trial_is_tried_again(tmp_path, monkeypatch, capsys):
    answer, calls = Question.answer, []

    def stopped(self, *arguments):
        calls.append(arguments[0])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(self, *arguments)

    monkeypatch.setattr(Question, "answer", stopped)
    found = run(storage=tmp_path / "walk.db", quiet=False)
    assert len(found.trials) == 2
    assert "Stopped by hand after 2 of 4 trials" in capsys.readouterr().err
    run(storage=tmp_path / "walk.db")
    assert calls[3] == calls[2]
    calls[:] = [None, None]
    with pytest.raises(Stopped, match="before a trial was done"):
        run()


def test_no_other_trial_begins_when_the_time_is_over():
    assert len(run(timeout=0.01).trials) == 1


def test_it_tells_of_each_trial_in_one_line_and_optuna_says_nothing(capsys):
    before = optuna.logging.get_verbosity()
    run(trials=2, quiet=False)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[-3].startswith("Errors to beat, on 19 validation days: naive ")
    assert lines[-2].startswith("trial 1/2  error ")
    assert "best " in lines[-2]
    assert "as they were  2 epochs  about " in lines[-2]
    assert "lookback " in lines[-1]
    assert optuna.logging.get_verbosity() == before


# --- what it found ----------------------------------------------------------------------------------------------------


def test_it_says_what_the_best_is_worth_beside_the_settings_as_they_were_and_naive(tuned, file):
    lines = str(tuned).splitlines()
    assert lines[0].startswith("4 trials for y, scored on 19 validation days: ")
    assert [line.split("  ")[1] for line in lines[2:5]] == [
        f"best, trial {tuned.best}",
        "settings as they were",
        "naive",
    ]
    assert len({len(line) for line in lines[1:5]}) == 1  # aligned
    assert lines[-1] == f"study   {file}"
    assert repr(tuned) == str(tuned)


def test_the_best_settings_are_a_file_that_makes_the_same_settings_again(tuned, tmp_path):
    tuned.write(tmp_path / "best.yaml")
    text = (tmp_path / "best.yaml").read_text()
    assert text.startswith(f"# Trial {tuned.best} of walk.db: error ")
    assert ForecastConfig(**yaml.safe_load(text)) == tuned.config
    assert "season_length" not in text  # defaults are left out
    with pytest.raises(ConfigError, match=r"must go into a file that can be written"):
        tuned.write(tmp_path / "nowhere" / "best.yaml")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"split": {"validation": "2023-01-01", "test": "2023-06-01"}},
        {"model": {"name": "stacked_lstm", "units": [8, 4]}, "scaling": "robust", "quantiles": [0.1]},
        {"bounds": [0, None], "training": {"schedule": "cosine", "augment": {"jitter": 0.1}}},
    ],
)
def test_settings_are_said_in_short_and_read_back_the_same(settings):
    config = ForecastConfig(**settings)
    assert ForecastConfig(**yaml.safe_load(yaml.safe_dump(settings_of(config)))) == config


def test_all_of_it_is_plain_data_too(tuned):
    plain = json.loads(json.dumps(tuned.to_dict(), default=str))
    assert plain["best"]["error"] == tuned.error
    assert [one["trial"] for one in plain["trials"]] == [1, 2, 3, 4]
    assert plain["space"] == json.loads(json.dumps(SPACE))


def test_the_settings_that_matter_are_found(monkeypatch):
    monkeypatch.setattr(study, "STARTUP", 4)
    found = run(space={"normalize": ["last", "none"], "model.units": [3, 4]}, trials=5)
    assert next(iter(found.importances)) == "normalize"
    assert sum(found.importances.values()) == pytest.approx(1)
    assert "What mattered most: normalize" in str(found)


def test_the_pictures_say_what_they_show(tuned, tmp_path):
    trials = tuned.trials.assign(state=["finished", "failed", "pruned", "finished"])
    trials.loc[1, "error"] = np.nan
    shown = type(tuned)(**{**vars(tuned), "trials": trials, "best": 1})
    ax = plot_trials(shown)
    assert ax.get_title().startswith("Tuning y: 4 trials, scored on 19 validation days\nbest error ")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("trial", "error, in naive errors of training")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"naive", "settings as they were", "best so far", "finished, 2", "pruned, 1", "failed, 1"} <= set(labels)
    first = plot_searched(shown)
    panels = {one.get_label(): one.get_xlabel() for one in first.figure.axes}
    assert [panels[name] for name in SETTINGS] == ["units", "lookback", "normalize", "training.learning_rate"]
    assert tuned.plot("trials").figure is not tuned.plot("searched").figure
    write_trials(tuned, tmp_path / "trials.png")
    assert (tmp_path / "trials.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match=r"`kind` must be 'trials' or 'searched'"):
        tuned.plot("importances")


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_study_of_something_else_is_refused_and_stays_as_it_is(tuned, file):
    for options, message in (
        (
            {"horizon": 3},
            r"settings, search space and rows it began with\..*walk\.db: horizon 2, now 3\. Give the same",
        ),
        ({"model": "gru"}, r'model\.name "lstm", now "gru"'),
        (
            {"space": {**SPACE, "normalize": ["last"]}},
            r'space\.normalize \["last", "mean_std", "none"\], now \["last"\]',
        ),
        ({"data": walk(220)}, r"other rows or splits up to validation, 140 up to 2022-05-20.*now 154 up to"),
        ({"data": walk(seed=1)}, r"other rows or splits"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(storage=file, **options)
    assert len(run(storage=file).trials) == 4


def test_rows_after_validation_may_be_others(tuned, file):
    starts = {"validation": "2022-05-01", "test": "2022-05-21"}
    path = file.with_name("dates.db")
    first = run(storage=path, trials=1, split=starts)
    second = run(storage=path, trials=2, split=starts, data=walk(260))
    assert second.trials.loc[0, "error"] == first.trials.loc[0, "error"]


def test_a_file_that_is_no_study_is_refused(tmp_path):
    (tmp_path / "notes.db").write_text("not a database at all, but a long enough text to look at " * 20)
    with pytest.raises(ConfigError, match=r"A study must be a file that Optuna wrote\. Received: .*notes\.db"):
        run(storage=tmp_path / "notes.db")
    with pytest.raises(ConfigError, match=r"must be a file in a folder that exists"):
        run(storage=tmp_path / "nowhere" / "walk.db")


def test_one_process_works_on_a_study_at_a_time(tmp_path):
    with filelock.FileLock(tmp_path / ".walk.db.lock"), pytest.raises(Locked, match=r"One process works on a study"):
        run(storage=tmp_path / "walk.db")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": 3}, r"Received: an ensemble\. Leave `ensemble` out, and put it into"),
        ({"model": "own"}, r"Received: a Keras model of your own\. Name one of"),
        ({"trials": 0}, r"`trials` must be an integer >= 1\. Received: 0"),
        ({"timeout": 0}, r"`timeout` must be a number of seconds above 0"),
        ({"lookbak": 3}, r"has no setting 'lookbak'"),
        ({"model": {"name": "lstm", "unit": 3}}, r"^`lstm` has no setting 'unit'\. Did you mean 'units'"),
    ],
)
def test_what_cannot_be_tuned_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        run(**options)


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"not installed\. Run: pip install 'keras-forecast\[tune\]'"):
        run()


# --- killed -----------------------------------------------------------------------------------------------------------

COMMAND = ["tune", "walk.csv", "--trials", "5", "--space", "space.yaml", "--config", "base.yaml"]


def laid_out(folder):
    walk().rename_axis("ds").to_csv(folder / "walk.csv")
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    (folder / "base.yaml").write_text(yaml.safe_dump({**TINY, "training": {"epochs": 8, "batch_size": 4}}))
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return laid_out(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The trials of the same command that nobody killed, without how long they took."""
    folder = laid_out(tmp_path_factory.mktemp("undisturbed"))
    config = yaml.safe_load((folder / "base.yaml").read_text())
    found = tune(folder / "walk.csv", config, trials=5, space=folder / "space.yaml", quiet=True)
    return found.trials.drop(columns="seconds")


def interrupted(folder, number):
    """Sends a signal to a tuning while its third trial trains; returns its exit code, and what it said."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "forecast", *COMMAND, "--study", "study.db"]
    options = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, **options)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and states(folder / "study.db") != {2: "RUNNING"}:
        time.sleep(0.02)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1].decode()
    return process.returncode, error


def states(path):
    """Returns the state of the third trial, once it has learned for an epoch."""
    if not path.is_file():
        return {}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        try:
            rows = database.execute(
                "SELECT number, state FROM trials JOIN trial_intermediate_values USING (trial_id) WHERE number = 2"
            ).fetchall()
        except sqlite3.OperationalError:  # its tables are being made
            rows = []
    database.close()
    return dict(rows)


def succeeds(capsys, *arguments):
    """Runs a command in this process; returns what it said."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    assert not end.value.code, said.err
    return said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_a_study_that_is_killed_goes_on_with_its_trials_and_tries_the_killed_one_again(
    folder, capsys, undisturbed, number, code
):
    got, error = interrupted(folder, number)
    assert got == code, error
    assert "Traceback" not in error
    if number == signal.SIGTERM:
        assert (
            "Stopped: The command was asked to stop before its end (SIGTERM). What is done is kept; the same" in error
        )
    said = succeeds(capsys, *COMMAND, "--study", "study.db", "--json")
    assert "This study goes on: 2 of 5 trials are done; 1 that was killed is tried again." in said.err
    assert "trial 3/5" in said.err
    assert "trial 2/5" not in said.err
    found = pd.DataFrame(json.loads(said.out)["trials"])[undisturbed.columns]
    pd.testing.assert_frame_equal(found, undisturbed, check_dtype=False, check_exact=True)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_file_that_train_takes(folder, capsys):
    command = ["tune", "walk.csv", "--trials", "2", "--space", "space.yaml", "--lookback", "6", "--epochs", "2"]
    command += ["--set", "model.units=4", "--quiet", "--out", "best.yaml", "--plot", "trials.png"]
    said = succeeds(capsys, *command)
    assert said.out.startswith("2 trials for y, scored on 20 validation days: ")
    assert said.out.endswith(
        "study   walk.db\nbest    best.yaml: forecast train walk.csv --config best.yaml\npicture trials.png\n"
    )
    assert (folder / "trials.png").is_file()
    assert said.err == ""
    trained = json.loads(
        succeeds(capsys, "train", "walk.csv", "--config", "best.yaml", "--no-save", "-q", "--json").out
    )
    assert trained["model"] == "lstm"
    plain = json.loads(succeeds(capsys, *command, "--json").out)
    assert len(plain["trials"]) == 2
    assert plain["best"]["settings"] == yaml.safe_load((folder / "best.yaml").read_text())


def test_the_command_prints_what_it_would_try(folder, capsys):
    said = succeeds(capsys, "tune", "walk.csv", "--show-space", "--model", "gru")
    assert yaml.safe_load(said.out) == search_space(walk(), model="gru").plain()
    given = succeeds(capsys, "tune", "walk.csv", "--show-space", "--space", "space.yaml", "--json")
    assert json.loads(given.out) == SPACE
    assert not list(folder.glob("*.db"))


def test_the_command_refuses_files_it_could_not_write_before_the_first_trial(folder, capsys):
    for option, path in (("--out", "nowhere/best.yaml"), ("--plot", "trials.gif")):
        with pytest.raises(SystemExit) as end:
            main([*COMMAND, option, path])
        assert end.value.code == 78
        assert f"`{option}` must" in capsys.readouterr().err
    assert not list(folder.glob("*.db"))


# --- long runs --------------------------------------------------------------------------------------------------------


def test_the_examples_print_what_they_say():
    for name in ("forecast.tuning", "forecast.tuning.space", "forecast.tuning.stated", "forecast.tuning.tuned"):
        flags = doctest.NORMALIZE_WHITESPACE
        assert not doctest.testmod(importlib.import_module(name), optionflags=flags).failed, name


@pytest.mark.slow
def test_memory_does_not_grow_with_trials(tmp_path):
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_tuning import run
from forecast.tuning import question
from pathlib import Path
used = []
answer = question.Question.answer
def noted(self, *arguments):
    used.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
    return answer(self, *arguments)
question.Question.answer = noted
run(trials=60)
print(used[20], used[-1])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    early, late = map(float, done.stdout.split())
    assert late - early < 25  # MiB, over 40 trials; each left 11 before anything was let go
