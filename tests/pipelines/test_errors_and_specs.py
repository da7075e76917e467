"""Messages say what must hold, what was received and what to do; settings are checked in one dialect."""

import re

import pytest
from pydantic import Field, field_validator

from pipelines import errors
from pipelines.errors import ConfigError, ForecastError, UnknownName, did_you_mean
from pipelines.registry import Registry
from pipelines.spec import Spec

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ForecastError)]


class Inner(Spec):
    depth: int = Field(default=1, ge=1)


class Settings(Spec):
    lookback: int = Field(default=60, ge=1, le=1000)
    rate: float = Field(default=0.5, gt=0, lt=1)
    name: str = "a"
    shuffle: bool = False
    columns: tuple[str, ...] = ()
    inner: Inner = Inner()

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if len(name) > 3:
            raise ValueError(f"a name has at most 3 letters. Received: {name!r}")
        return name


def test_the_picture_of_the_tree_is_the_tree():
    drawn = {}
    parents = ["ForecastError"]
    for line in errors.__doc__.splitlines():
        found = re.match(r"( +)([|`\- ]*)([A-Z]\w+) .*?(?:\((\w+)\))? *(\d*)$", line)
        if found and "-" in found[2]:
            depth = (len(found[1]) + len(found[2]) - 4) // 3
            parents[depth:] = [found[3]]
            drawn[found[3]] = (parents[depth - 1], found[4], int(found[5]))
    assert drawn.keys() == {kind.__name__ for kind in EVERY} - {"ForecastError"}
    for name, (parent, builtin, code) in drawn.items():
        kind = getattr(errors, name)
        assert kind.__bases__[0].__name__ == parent
        assert kind.exit_code == code
        if builtin:
            assert builtin in {base.__name__ for base in kind.__mro__}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lookback": 0}, "`lookback` must be an integer >= 1. Received: 0"),
        ({"lookback": 1001}, "`lookback` must be an integer <= 1000. Received: 1001"),
        ({"lookback": 2.5}, "`lookback` must be an integer. Received: 2.5"),
        ({"lookback": "many"}, "`lookback` must be an integer. Received: 'many'"),
        ({"rate": 1.0}, "`rate` must be a number < 1.0. Received: 1.0"),
        ({"rate": float("nan")}, "`rate` must be a finite number. Received: nan"),
        ({"name": 5}, "`name` must be a text. Received: 5"),
        ({"name": "long"}, "`name`: a name has at most 3 letters. Received: 'long'"),
        ({"shuffle": "perhaps"}, "`shuffle` must be true or false. Received: 'perhaps'"),
        ({"columns": 5}, "`columns` must be a list. Received: 5"),
        ({"inner": 5}, "`inner` must be a mapping of settings. Received: 5"),
        ({"inner": {"depth": 0}}, "`inner.depth` must be an integer >= 1. Received: 0"),
        (
            {"lookbak": 3},
            "`Settings` has no setting 'lookbak'. Did you mean 'lookback'? Choose from: columns, inner, lookback, "
            "name, rate, shuffle",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_what_was_received(settings, message):
    with pytest.raises(ConfigError) as refusal:
        Settings(**settings)
    assert str(refusal.value) == message


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(ConfigError) as refusal:
        Settings(lookback=0, rate=5)
    assert str(refusal.value).splitlines() == [
        "`lookback` must be an integer >= 1. Received: 0",
        "`rate` must be a number < 1.0. Received: 5",
    ]


def test_settings_come_as_themselves_a_mapping_or_nothing():
    settings = Settings(lookback=3)
    assert Settings.of(settings) is settings
    assert (Settings.of({"lookback": 3}), Settings.of(None)) == (settings, Settings())
    with pytest.raises(ConfigError, match=r"Settings takes a mapping of settings. Received: \[3\]"):
        Settings.of([3])


def test_a_changed_copy_is_checked_and_the_first_stays():
    settings = Settings(inner=Inner(depth=4))
    assert settings.replace(lookback=5) == Settings(lookback=5, inner={"depth": 4})
    assert settings.lookback == 60
    with pytest.raises(ConfigError, match=r"`lookback` must be an integer >= 1. Received: -1"):
        settings.replace(lookback=-1)
    with pytest.raises(ValueError, match="frozen"):
        settings.lookback = 5


@pytest.mark.parametrize(
    ("name", "choices", "hint"),
    [
        ("lstmm", ["lstm", "gru"], " Did you mean 'lstm'?"),
        ("close", ["Close", "Open"], " Did you mean 'Close'?"),
        ("zzz", ["lstm", "gru"], ""),
        ("x", [], ""),
    ],
)
def test_a_close_name_is_offered_whatever_its_capitals(name, choices, hint):
    assert did_you_mean(name, choices) == hint


def test_of_many_names_the_closest_are_shown_and_all_are_counted():
    names = [f"series_{n}" for n in range(1000)]
    text = str(UnknownName.of("series", "series_12x", names))
    assert "Did you mean 'series_12" in text
    assert text.endswith(", ... (1000 in all)")
    assert len(text) < 300
    assert str(UnknownName.of("model", "x", [])) == "No model is called 'x'. Choose from: (none)"


def test_a_file_name_is_a_registration(tmp_path, monkeypatch):
    package = tmp_path / "made_up_models"
    package.mkdir()
    for name in ("__init__", "_shared", "lstm", "broken"):
        (package / f"{name}.py").write_text("raise RuntimeError\n" if name == "broken" else "")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("made_up_models", "model")
    assert registry.names() == ["broken", "lstm"]  # and nothing was imported
    assert registry.load("lstm").__name__ == "made_up_models.lstm"
    for call in (registry.load, registry.check):
        with pytest.raises(UnknownName, match=r"No model is called 'lstmm'. Did you mean 'lstm'"):
            call("lstmm")
