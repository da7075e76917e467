"""Presets are settings files: they can be listed, printed, edited, given back, and gone over."""

import subprocess
import sys

import pytest
import yaml

import forecast
from forecast import presets
from forecast.cli import main
from forecast.config import ForecastConfig
from forecast.models import registry
from pipelines.errors import ConfigError, UnknownName

every_preset = pytest.mark.parametrize("name", presets.names())


@every_preset
def test_a_preset_says_what_it_is_for_and_its_settings_are_right(name):
    assert len(presets.about(name)) > 20
    config = ForecastConfig(**presets.preset(name))
    for one in config.members():
        registry.check(one.model.name)
    assert yaml.safe_load(presets.text(name)) == presets.preset(name)


@every_preset
def test_a_preset_forecasts(name):
    rows = "synthetic:sine?rows=400&season_length=24&noise=0.1&freq=h"
    members = presets.preset(name).get("ensemble", {}).get("members")
    once = {"ensemble": {"size": 1}} if members else {}  # one seed of each member will do
    training = {"epochs": 2, "steps": 4, "patience": 2}
    model = forecast.Forecaster(preset=name, horizon=6, calendar=None, training=training, **once)
    model.fit(rows, quiet=True)
    assert len(model.predict()) == 6
    assert isinstance(model.config.lookback, int)
    assert model.config.lookback > 0


def test_settings_go_over_a_preset():
    model = forecast.Forecaster(preset="fast", horizon=6, lookback=24, training={"epochs": 3})
    assert (model.config.lookback, model.config.training.epochs) == (24, 3)
    assert model.config.training.batch_size == presets.preset("fast")["training"]["batch_size"]
    other = forecast.Forecaster("lstm", preset="fast")
    assert other.config.model.options == {}  # options of another model do not follow it


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match=r"No preset is called 'fats'. Did you mean 'fast'\?"):
        forecast.Forecaster(preset="fats")
    assert forecast.preset("edge") == presets.preset("edge")


def test_a_printed_preset_trains_from_its_file(tmp_path, capsys):
    main_ok(["presets"])
    listed = capsys.readouterr().out
    assert all(line.split()[0] in presets.names() for line in listed.splitlines())
    main_ok(["presets", "fast"])
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out + "horizon: 6\n")
    rows = "synthetic:sine?rows=400&season_length=24&freq=h"
    more = ["--set", "training.steps=3", "--epochs", "1", "--set", "training.schedule=constant", "--no-save", "-q"]
    main_ok(["train", rows, "--config", str(path), *more])
    assert "seasonal_lstm" in capsys.readouterr().out
    main_ok(["train", rows, "--preset", "fast", "--model", "linear", "--horizon", "6", *more])
    assert "linear" in capsys.readouterr().out


def test_presets_are_in_the_wheel():
    """A file that setup.cfg does not name would be missing from an installation."""
    code = "from importlib.resources import files; print(sorted(p.name for p in files('forecast.presets').iterdir()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"{name}.yaml" in found for name in presets.names())
    from configparser import ConfigParser
    from pathlib import Path

    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    assert "presets/*.yaml" in setup["options.package_data"]["forecast"]


def main_ok(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)


def test_a_preset_is_tuned_from():
    from forecast.tuning import search_space, tune

    rows = "synthetic:sine?rows=400&season_length=24&freq=h"
    space = search_space(rows, presets.preset("edge"), target="y", horizon=6)
    assert space.settings["lookback"].high > 24
    with pytest.raises(ConfigError, match=r"Tuning tries the settings of one model. Received: 'auto'"):
        tune(rows, model="auto", target="y", trials=1)
