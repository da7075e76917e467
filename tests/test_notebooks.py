"""Notebooks: they run from start to end, and what is committed in them is whole and of no particular machine.

Each is executed with two epochs a training (FORECAST_FAST=1), in an empty folder, by the Python that runs the tests.
"""

import os
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Cells that only define or train, and therefore show nothing.
SILENT = {
    "01_first_forecast.ipynb": {"settings"},
    "02_recurrent_models.ipynb": {"settings", "four"},
    "03_int8_on_device.ipynb": {"settings"},
    "04_backtest_honestly.ipynb": {"settings"},
    "05_inside_an_lstm.ipynb": {"settings"},
    "06_training_craft.ipynb": {"settings"},
    "07_many_series.ipynb": {"settings"},
    "08_nightly_job.ipynb": {"settings"},
}
PICTURES = {
    "01_first_forecast.ipynb": 5,
    "02_recurrent_models.ipynb": 2,
    "03_int8_on_device.ipynb": 1,
    "04_backtest_honestly.ipynb": 5,
    "05_inside_an_lstm.ipynb": 6,
    "06_training_craft.ipynb": 6,
    "07_many_series.ipynb": 6,
    "08_nightly_job.ipynb": 2,
}

# An absolute path of two parts or more, on Linux, macOS or Windows; neither a URL nor a closing tag.
MACHINE_PATH = re.compile(r"(?<![\w<:/.~-])(?:/[\w.+-]+){2,}|\b[A-Za-z]:\\\w")


def by_name(path):
    return path.name


def texts(output):
    """Returns what an output shows as text: streams, plain text and tables; a traceback where it is an error."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return output.traceback
    return [text for kind, text in output.data.items() if kind.startswith("text/")]


def test_there_are_notebooks():
    assert {path.name for path in NOTEBOOKS} == SILENT.keys() == PICTURES.keys()


@pytest.fixture
def own_jupyter(tmp_path, monkeypatch):
    """Jupyter without the settings and kernels of whoever runs the tests: `python3` is the Python of the tests."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # also where the package is not installed
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_it_runs_from_start_to_end(path, tmp_path, monkeypatch, own_jupyter):
    from nbclient import NotebookClient

    monkeypatch.setenv("FORECAST_FAST", "1")
    monkeypatch.delenv("FORECAST_HOME", raising=False)
    home = tmp_path / "notebooks"
    home.mkdir()
    notebook = nbformat.read(path, as_version=4)
    committed = {cell.id for cell in notebook.cells if cell.cell_type == "code" and cell.outputs}
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(home)}}
    ).execute()  # an error in a cell is a CellExecutionError here
    shown = {cell.id for cell in notebook.cells if cell.cell_type == "code" and cell.outputs}
    assert shown >= committed
    assert not list(home.iterdir()), "a notebook leaves nothing beside itself"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_committed_outputs_are_whole(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(output.output_type != "error" for output in cell.outputs), cell.id
        assert all(output.get("name") != "stderr" for output in cell.outputs), cell.id
        assert bool(cell.outputs) != (cell.id in SILENT[path.name]), cell.id
    pictures = [cell.id for cell in cells if any("image/png" in output.get("data", {}) for output in cell.outputs)]
    assert len(pictures) >= PICTURES[path.name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_committed_cells_tell_nothing_of_the_machine_that_ran_them(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id  # no times of execution
        for text in [cell.source, *(text for output in cell.get("outputs", []) for text in texts(output))]:
            assert not MACHINE_PATH.search(text), f"{cell.id}: {MACHINE_PATH.search(text)}"
            assert "WARNING" not in text, cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_cells_are_called_by_what_they_do(path):
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert len(set(ids)) == len(ids)
    # A random id such as "3fb2a1c0" would change with each save.
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", id) and not re.fullmatch(r"[0-9a-f]{8}", id) for id in ids), ids


def test_a_path_of_a_machine_is_told_from_a_url_and_a_tag():
    for text in ("/home/ann/x.png", "in '/tmp/abc'", r"C:\Users"):
        assert MACHINE_PATH.search(text)
    for text in (
        "https://otexts.com/fpp3/simple.html",
        "<td>1</td></tr>",
        "MAE / naive",
        "../saved_models/goog/1",
        "a/b/c",
    ):
        assert not MACHINE_PATH.search(text)
