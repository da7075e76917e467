"""A job trains what it forecasts with; a new version takes over where it is not worse."""

import json

import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster, bundle
from forecast.cli import main
from forecast.jobs import run, train
from pipelines.errors import ConfigError, DataError

HOURS = pd.date_range("2024-03-01", periods=240, freq="h")
LAST = "2024-03-10T23:00"
RECIPE = {
    **{"target": "y", "freq": "h", "model": {"name": "lstm", "units": 8}, "lookback": 12, "horizon": 2, "seed": 1},
    "training": {"epochs": 12, "learning_rate": 0.01},
}
WORSE = {**RECIPE, "training": {"epochs": 1, "learning_rate": 1e-7}}


@pytest.fixture(scope="module")
def waves():
    """Waves of 12 hours that a network learns at once: eight series, of two kinds."""
    random, parts = np.random.default_rng(0), []
    for n in range(8):
        y = 50 + 10 * np.sin(2 * np.pi * (np.arange(len(HOURS)) + 3 * n) / 12) + random.normal(0, 0.3, len(HOURS))
        kind = "wet" if n % 2 else "dry"
        parts.append(pd.DataFrame({"unique_id": f"s{n}", "ds": HOURS, "y": y, "kind": kind}))
    return pd.concat(parts)


@pytest.fixture
def trained(job, waves, tmp_path):
    """Trains a job by a recipe."""

    def by(recipe=RECIPE, as_of=LAST, **settings):
        settings = {"bundle": "waves", "training": {"recipe": recipe, **settings.pop("training", {})}, **settings}
        path = job(waves, **settings)
        return path, train(path, as_of, folder=tmp_path / "models")

    return by


def test_the_first_version_is_the_champion_and_a_worse_one_is_kept_beside(trained, tmp_path):
    folder = tmp_path / "models"
    path, (first,) = trained(as_of="2024-03-10T11:00")
    assert (first.version, first.promoted, first.champion) == (1, True, None)
    assert first.error < 0.7 * first.naive
    path, (second,) = trained(WORSE, challenger="challenger")
    assert (second.version, second.promoted, second.champion) == (2, False, 1)
    assert second.error > 1.2 * second.champion_error
    assert bundle.aliases("waves", folder) == {"champion": 1, "challenger": 2}
    outcome = run(path, LAST, folder=folder)
    assert outcome.about["bundle"]["name"] == "waves/1"
    assert outcome.about["challenger"]["name"] == "waves/2"
    about = json.loads((tmp_path / "out" / "training.json").read_text())
    assert about["models"][0]["promoted"] is False
    with pytest.raises(ConfigError, match=r"must forecast what its champion does\. Received: another horizon"):
        trained({**WORSE, "horizon": 3})


def test_a_better_version_takes_over_and_errors_are_those_of_a_backtest(trained, waves, tmp_path):
    folder = tmp_path / "models"
    trained(WORSE)
    _, (second,) = trained()
    assert (second.promoted, second.champion) == (True, 1)
    assert bundle.aliases("waves", folder)["champion"] == 2
    model = Forecaster.load("waves", folder=folder)
    backtest = model.backtest(waves, cutoffs=20)
    scale = backtest.training["mase_scale"][:, None, :]
    expected = (np.abs(backtest.y_true - backtest.y_pred[backtest.model]) / scale).mean()
    np.testing.assert_allclose(second.error, expected, rtol=1e-5)


def test_no_row_of_the_last_cutoffs_is_learned_from_and_none_after_as_of(trained, tmp_path):
    _, (one,) = trained(as_of="2024-03-09T11:00", training={"cutoffs": 30})
    model = Forecaster.load("waves", folder=tmp_path / "models")
    assert one.cutoffs == 8 * 30
    assert str(model.fitted_.pipeline.spec.window.horizon) == "2"
    about = bundle.open_bundle("waves", tmp_path / "models")[1]["data"]
    assert pd.Timestamp(about["last"]) == pd.Timestamp("2024-03-09T11:00")
    assert pd.Timestamp(model.config.split.test) == pd.Timestamp("2024-03-09T11:00") - pd.Timedelta(hours=30)


def test_each_group_has_a_model_of_its_own_and_who_came_later_a_fallback(trained, job, waves, tmp_path):
    folder = tmp_path / "models"
    path, done = trained(training={"by": "kind"}, engine={"name": "spawn", "workers": 2})
    assert [(one.bundle, one.series) for one in done] == [("waves.dry", 4), ("waves.wet", 4)]
    outcome = run(path, LAST, folder=folder)
    table = pd.read_parquet(outcome.folder / "forecasts.parquet")
    models = table.groupby("unique_id")["model"].unique().str[0]
    assert models.to_dict() == {f"s{n}": "waves.wet" if n % 2 else "waves.dry" for n in range(8)}
    alone = Forecaster.load("waves.dry", folder=folder).predict(data=waves)
    own = table[(table["unique_id"] == "s0")]["y_pred"]
    np.testing.assert_allclose(own, alone[alone["unique_id"] == "s0"]["y_pred"], rtol=1e-6)

    more = pd.concat([waves, waves[waves["unique_id"] == "s1"].assign(unique_id="new")])
    settings = {"bundle": "waves", "training": {"recipe": RECIPE, "by": "kind"}}
    outcome = run(job(more, **settings), LAST, folder=folder)
    table = pd.read_parquet(outcome.folder / "forecasts.parquet")
    assert set(table.loc[table["unique_id"] == "new", "source"]) == {"fallback"}
    assert outcome.about["reasons"] == {"no_model": 1}


def test_the_command_shows_a_table(job, waves, tmp_path, capsys):
    path = job(waves, bundle="waves", training={"recipe": WORSE})
    with pytest.raises(SystemExit) as end:
        main(["job", "train", str(path), "--as-of", LAST, "--folder", str(tmp_path / "models")])
    assert not end.value.code
    head, row, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["bundle", "version", "series", "cutoffs", "error", "champion", "naive"]
    assert row.split()[:4] == ["waves", "1", "8", "160"]
    assert row.endswith("promoted")
    assert "MASE" in note


def test_what_cannot_be_trained_says_why(job, waves, trained):
    with pytest.raises(ConfigError, match="A job trains by a recipe"):
        train(job(waves), LAST)
    with pytest.raises(ConfigError, match="recipe` must say how rows are dated"):
        trained({"target": "y"})
    with pytest.raises(DataError, match="A training must leave rows before its last 400 cutoffs"):
        trained(training={"cutoffs": 400})
