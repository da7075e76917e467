"""The arrow of imports: forecast -> pipelines, never back; and nothing heavy before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("pipelines", "forecast")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(module, top_level_only=False):
    """Returns the absolute names that a module imports, anywhere in it, or when it is imported itself."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()

    def visit(node):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if top_level_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def roots(names):
    return {name.partition(".")[0] for name in names}


def loaded_with(module):
    """Returns all that importing a module imports, walked through this project's own modules."""
    parents = module.split(".")
    todo, seen = [".".join(parents[: n + 1]) for n in range(len(parents))], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            todo += imports(name, top_level_only=True)
        if "." in name:
            todo.append(name.rpartition(".")[0])
    return seen


def test_the_walk_sees_imports_wherever_they_stand():
    assert {"numpy", "pipelines.errors", "pipelines.panel.Panel"} <= imports("pipelines.layouts")
    assert "exchange_calendars" in imports("pipelines.calendars")  # inside a function
    assert "exchange_calendars" not in imports("pipelines.calendars", top_level_only=True)
    assert "pipelines.registry" in imports("pipelines.features")  # `from ..registry`
    assert "pipelines.calendars" in imports("pipelines.panel")


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] == "pipelines"])
def test_pipelines_never_import_forecast_keras_or_tensorflow(module):
    assert not roots(imports(module)) & {"forecast", "keras", "tensorflow"}


@pytest.mark.parametrize("module", ["forecast", "forecast.cli"])
def test_nothing_heavy_is_imported_at_the_top(module):
    assert not roots(loaded_with(module)) & {"keras", "tensorflow", "pandas", "matplotlib", "sklearn", "yfinance"}


@pytest.mark.parametrize(
    "program",
    [
        "import forecast",
        "import forecast; dir(forecast); forecast.ForecastError",
        "import runpy; sys.argv = ['forecast', '--help']; runpy.run_module('forecast', run_name='__main__')",
    ],
    ids=["import", "errors", "--help"],
)
def test_importing_and_help_load_neither_tensorflow_nor_pandas(program):
    ending = "import atexit, sys\natexit.register(lambda: print('LOADED', *sorted(sys.modules), file=sys.stderr))\n"
    run = subprocess.run(
        [sys.executable, "-c", ending + program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = roots(run.stderr.rpartition("LOADED")[2].split())
    assert "forecast" in loaded
    assert not loaded & {"tensorflow", "keras", "pandas", "matplotlib"}


def test_help_names_every_command():
    run = subprocess.run(
        [sys.executable, "-m", "forecast", "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    commands = [path.stem.replace("_", "-") for path in (ROOT / "forecast/cli").glob("[!_]*.py")]
    assert commands
    for command in commands:
        assert command in run.stdout


def test_a_device_needs_nothing_of_this_project():
    alone = {"numpy", "ai_edge_litert", "__future__", *sys.stdlib_module_names}
    assert roots(imports("forecast.edge")) <= alone


def test_the_converter_process_needs_nothing_of_this_project():
    assert roots(imports("forecast.export._child")) <= {"flatbuffers", "numpy", "tensorflow", *sys.stdlib_module_names}


@pytest.mark.parametrize("own", [True, False])
def test_a_process_of_our_own_starts_keras_without_what_it_can_do_without(own):
    code = (
        "import sys; from forecast._keras import load_keras, own_process\n"
        f"if {own}: own_process()\n"
        "load_keras(); print('sklearn' in sys.modules, 'matplotlib' in sys.modules)\n"
        "import matplotlib.pyplot, sklearn; print(sklearn.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(not own), str(not own), "sklearn"]
