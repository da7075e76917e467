"""README: what it tells people to type does what it says.

Its Python story runs first, as its reader would, and leaves the bundle `goog` that its commands then use; each
training is one epoch.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer

from forecast.cli import app, main
from forecast.evaluation.metrics import METRICS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [
    "\n".join(line[4:] for line in block.strip("\n").splitlines())
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, re.MULTILINE)
]
STORY = next(block for block in BLOCKS if "import forecast" in block)
SCORES = next(block for block in BLOCKS if "test scores of" in block)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("forecast ")]

GROUP = typer.main.get_command(app)
# These load no TensorFlow, so a process of their own is cheap.
OWN_PROCESS = ("describe", "bundles")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of somebody who has typed the story."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def story(home):
    """What the story's names stand for at its end."""
    code = STORY.replace("model.fit(prices)", "model.fit(prices, epochs=1, quiet=True)")
    assert code != STORY
    names = {}
    with contextlib.chdir(home), pytest.MonkeyPatch.context() as patch:
        patch.delenv("FORECAST_HOME", raising=False)
        exec(compile(code, "README.md", "exec"), names)  # noqa: S102  a file of this project
    return names


def test_the_story_has_nine_lines_and_leaves_a_bundle_and_a_file(story, home):
    assert len(STORY.splitlines()) == 9
    assert isinstance(story["prices"], pd.DataFrame)
    assert list(story["model"].predict(steps=5)["step"]) == [1, 2, 3, 4, 5]
    version = home / "saved_models/goog/1"
    assert (version / "manifest.json").is_file()
    assert (version / "forecast.png").is_file()
    assert (home / "goog.tflite").is_file()


def test_there_are_commands_to_try():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_is_understood(line):
    name, *arguments = shlex.split(line, comments=True)[1:]
    GROUP.commands[name].make_context(name, arguments)  # wrong usage raises here; nothing is run


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_runs(line, story, home, monkeypatch):
    monkeypatch.delenv("FORECAST_HOME", raising=False)
    arguments = shlex.split(re.sub(r"--epochs \d+", "--epochs 1", line), comments=True)[1:]
    if arguments[0] == "bench" and not (home / arguments[1]).exists():  # the line that makes it may run elsewhere
        story["model"].export(home / arguments[1], quantize="int8", quiet=True)
    if arguments[0] in OWN_PROCESS:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "forecast", *arguments],
            cwd=home,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        assert arguments[0] != "train" or arguments[arguments.index("--epochs") + 1] == "1"
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(home),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.raises(SystemExit) as end,
        ):
            main(arguments)
        code, out, err = end.value.code or 0, stdout.getvalue(), stderr.getvalue()
    assert code == 0, err
    assert out
    if "--out" in arguments:
        assert (home / arguments[arguments.index("--out") + 1]).stat().st_size > 1000


def test_its_table_names_every_command_and_no_other():
    named = re.findall(r"^\| `forecast ([\w-]+)", README, re.MULTILINE)
    assert sorted(named) == sorted(one.name for one in (*app.registered_commands, *app.registered_groups))


def test_the_scores_it_shows_are_what_the_program_prints_today():
    title, header, *lines, bundle, picture, edge = SCORES.splitlines()
    rows, (verdict, copy, outside, direction, *held) = lines[:5], lines[5:]
    assert title == "test scores of Close, in dollars"
    assert header.split() == list(METRICS)
    scores = {name: values for name, *values in map(str.split, rows)}
    assert list(scores) == ["lstm", "naive", "seasonal_naive", "drift", "mean"]
    assert all(len(values) == len(METRICS) for values in scores.values())
    found = re.fullmatch(
        r"(Better than|Worse than|Level with|Does not beat) naive on [\d,]+ test sessions: "
        r"MAE ([\d.]+) against ([\d.]+) dollars \(([\d.]+) % (higher|lower), p [=<] [\d.]+\)\.",
        verdict,
    )
    assert found, verdict
    mine, naive, percent = map(float, found.group(2, 3, 4))
    assert [scores["lstm"][0], scores["naive"][0]] == list(found.group(2, 3))
    assert abs(100 * (mine / naive - 1)) == pytest.approx(percent, abs=0.1)
    assert (mine > naive) == (found[5] == "higher")
    assert copy.startswith("At step 1 it copies the last value: ")
    assert "true values lie outside the training range" in outside
    assert direction.startswith("Direction at step 1: ")
    assert [line.split(" % held")[0] for line in held] == ["Intervals of 80", "Intervals of 95"]
    assert bundle.split() == ["bundle", "saved_models/goog/1"]
    assert picture.split() == ["picture", "saved_models/goog/1/forecast.png"]
    assert re.fullmatch(
        r"edge    saved_models/goog/edge/model.tflite: [\d,]+ bytes, int8 fused; "
        r"MAE [\d.]+ against [\d.]+ dollars of Keras on \d+ held-out windows",
        edge,
    )


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "saved_models/README.md"])
def test_links_and_named_files_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    for link in links:
        assert (ROOT / name).parent.joinpath(link).exists(), link
    if name == "README.md":
        assert {"docs/forecast.png", "CONTRIBUTING.md"} <= set(links)
        for file in re.findall(r"`([\w/]+/\w+\.(?:ipynb|md|py))`", text):
            assert (ROOT / file).is_file(), file
        block = next(block for block in BLOCKS if block.startswith("pipelines/"))
        for folder in re.findall(r"^(\w+)/ ", block, re.MULTILINE):
            assert (ROOT / folder).is_dir(), folder


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_has_the_targets_that_it_names(name):
    named = re.findall(r"(?:^    |`)make ([\w-]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    assert set(named) <= set(targets)


def test_extras_that_it_names_exist():
    from configparser import ConfigParser

    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = re.findall(r"\"\.\[(\w+)\]\"", README)
    assert named
    assert set(named) <= set(setup["options.extras_require"])
