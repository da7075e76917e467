"""Settings: one dialect of validation for code, YAML and the command line."""

import doctest
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from forecast import config
from forecast.config import ForecastConfig, ModelSpec, TrainingSpec, merge, read_config
from pipelines.errors import ConfigError


def test_a_config_survives_json_and_yaml():
    one = ForecastConfig(
        model={"name": "stacked_lstm", "units": [8, 4]},
        target=["High", "Low"],
        calendar={"AAPL": "XNYS"},
        split={"validation": "2020-01-01", "test": "2021-01-01"},
        scaling="robust",
        season_length=24,
        training={"clip_norm": 1.0},
    )
    for text in (json.dumps(one.model_dump(mode="json")), yaml.safe_dump(one.model_dump(mode="json"))):
        assert ForecastConfig(**yaml.safe_load(text)) == one


def test_short_forms_mean_the_long_ones():
    short = ForecastConfig(model="lstm", target="Close", features="day_of_week", scaling="standard")
    long = ForecastConfig(
        model={"name": "lstm", "options": {}},
        target=("Close",),
        features=["day_of_week"],
        scaling={"method": "standard"},
    )
    assert short == long
    assert ModelSpec(name="lstm", units=3) == ModelSpec(name="lstm", options={"units": 3})
    assert ModelSpec(options={"units": 3, "l2": 0.1}, units=4).options == {"units": 4, "l2": 0.1}
    assert ModelSpec(units=3).name == "lstm"


def test_the_window_and_the_pipeline_take_their_settings_from_the_config():
    one = ForecastConfig(lookback=7, horizon=3, gap=2, stride=4, past="Volume", predict="return")
    assert str(one.window) == "rows 0..6 predict rows 9..11; next window starts 4 rows later"
    spec = one.pipeline(("Close",))
    assert (spec.targets, spec.past, spec.predict, spec.window) == (("Close",), ("Volume",), "return", one.window)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lookback": 0}, r"`lookback` must be an integer >= 1, or 'auto'\. Received: 0"),
        ({"lookback": 2.5}, r"`lookback` must be an integer.*Received: 2\.5"),
        ({"gap": -1}, r"`gap` must be an integer >= 0\. Received: -1"),
        ({"seed": -1}, r"`seed` must be an integer >= 0\. Received: -1"),
        ({"season_length": 0}, r"`season_length` must be an integer >= 1\. Received: 0"),
        ({"normalize": "minmax"}, r"`normalize` must be one of 'last', 'mean_std' or 'none'\. Received: 'minmax'"),
        ({"scaling": "min_max"}, r"method` must be one of .*Received: 'min_max'"),
        ({"training": {"learning_rate": 0}}, r"learning_rate` must be .*> 0.*Received: 0"),
        ({"training": {"learning_rate": float("nan")}}, r"learning_rate` must be a finite number"),
        ({"training": {"patience": 0}}, r"patience` must be an integer >= 1"),
        ({"training": {"epoch": 3}}, r"no setting 'epoch'\. Did you mean 'epochs'\?"),
        ({"training": 3}, r"`training` must be a mapping of settings\. Received: 3"),
        ({"split": {"validation": 0.6, "test": 0.5}}, r"must leave rows for training\. Received: 1\.1"),
        ({"split": {"validation": 0.1, "test": "2020-01-01"}}, r"all fractions, all numbers of rows, or all dates"),
        ({"horizn": 3}, r"no setting 'horizn'\. Did you mean 'horizon'\? Choose from: bounds, budget, "),
        ({"model": 3}, r"`model` must be .*Received: 3"),
        ({"model": {"options": 3}}, r"options` must be a mapping.*Received: 3"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_received(settings, message):
    with pytest.raises(ConfigError, match=message):
        ForecastConfig(**settings)


def test_several_wrong_settings_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        ForecastConfig(lookback=0, gap=-1, colour="red")
    assert len(str(error.value).splitlines()) == 3


def test_a_config_cannot_be_changed_but_copied():
    one = TrainingSpec(epochs=3)
    with pytest.raises(ValueError, match="frozen"):
        one.epochs = 5
    assert one.replace(epochs=5).epochs == 5
    with pytest.raises(ConfigError, match="`epochs` must be an integer >= 1"):
        one.replace(epochs=0)


# --- merge ------------------------------------------------------------------------------------------------------------

settings = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda value: isinstance(value, dict))


@given(base=settings, changes=settings)
def test_merging_goes_group_by_group_and_leaves_both_as_they_were(base, changes):
    before = json.dumps([base, changes])
    merged = merge(base, changes)
    assert json.dumps([base, changes]) == before
    assert set(merged) == set(base) | set(changes)
    for name in merged:
        if name not in changes:
            assert merged[name] == base[name]
        elif isinstance(base.get(name), dict) and isinstance(changes[name], dict):
            assert merged[name] == merge(base[name], changes[name])
        else:
            assert merged[name] == changes[name]


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_yaml_file_holds_settings(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("model: {name: lstm, units: 32}\ntarget: Close\nlookback: 60  # rows\n", encoding="utf-8")
    one = ForecastConfig(**read_config(file))
    assert (one.model.options, one.target, one.lookback) == ({"units": 32}, ("Close",), 60)
    file.write_text("", encoding="utf-8")
    assert read_config(file) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lookback: [1, 2", "must be readable YAML. Received: .*settings.yaml"),
        (b"- lookback\n", "must hold `name: value` lines. Received in .*settings.yaml: a list"),
        (b"5", "a int"),
        (b"1: 2\n", "must hold `name: value` lines.*Received in .*settings.yaml: the name 1"),
        (b"on: 2\n", "the name True"),
        (b"\xff\xfe\x00", "must be readable YAML"),
        (b"a: !!python/object/apply:os.system [ls]\n", "must be readable YAML"),
    ],
)
def test_a_file_that_holds_no_settings_is_a_config_error(tmp_path, content, message):
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_config(file)


def test_a_file_that_is_not_there_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"readable YAML\. Received: .*missing\.yaml: .*No such file"):
        read_config(tmp_path / "missing.yaml")


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(config).failed == 0
