"""Every example in a docstring runs and prints what it says."""

import ast
import doctest
import importlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
HEAVY = {"tensorflow", "keras"}


def examples(path):
    """True where a docstring of a file holds an example."""
    return ">>>" in path.read_text(encoding="utf-8")


def loads_tensorflow(path):
    """True where a file of this project imports TensorFlow or Keras, or what imports them, at any place in it."""
    todo, seen = [path], set()
    while todo:
        path = todo.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                folder = path.parents[node.level - 1].relative_to(ROOT).parts if node.level else ()
                base = ".".join([*folder, *([node.module] if node.module else [])])
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            for name in names:
                if name.partition(".")[0] in HEAVY:
                    return True
                here = ROOT.joinpath(*name.split("."))
                todo += [here.with_suffix(".py"), here / "__init__.py"]
    return False


FILES = [
    path for package in ("pipelines", "forecast") for path in sorted((ROOT / package).rglob("*.py")) if examples(path)
]
# Examples that train a network take minutes and TensorFlow; tests/forecast runs those models itself.
LIGHT = [path for path in FILES if not loads_tensorflow(path)]


def test_the_walk_tells_light_modules_from_heavy_ones():
    assert ROOT / "pipelines/windows.py" in LIGHT
    assert ROOT / "forecast/training/losses.py" in set(FILES) - set(LIGHT)
    assert all(path in LIGHT for path in FILES if "pipelines" in path.relative_to(ROOT).parts[:1])


# exchange_calendars and yfinance ask pandas for something that pandas 3.1 deprecates.
@pytest.mark.filterwarnings("ignore:Series.values returning")
@pytest.mark.parametrize("path", LIGHT, ids=lambda path: ".".join(path.relative_to(ROOT).with_suffix("").parts))
def test_the_examples_of_a_module_print_what_they_say(path, tmp_path, monkeypatch):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    monkeypatch.chdir(tmp_path)  # an example may write
    monkeypatch.setenv("FORECAST_HOME", os.fspath(tmp_path))
    assert any(test.examples for test in doctest.DocTestFinder().find(module))
    assert not doctest.testmod(module, extraglobs={"np": np, "pd": pd}, optionflags=FLAGS).failed
