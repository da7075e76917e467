"""What an export leaves behind: a file or a folder, whole or not at all; its report, its picture, its commands."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from ai_edge_litert import schema_py_generated as schema
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from forecast import edge, plotting
from forecast.bundle import list_bundles
from forecast.bundle._exports import exports, remember
from forecast.cli import app
from forecast.export import flatbuffer, output
from forecast.export.markdown import code, table, text
from forecast.export.output import ExportReport, check_place, write
from forecast.export.parity import Comparison
from forecast.export.report import markdown
from forecast.export.tflite import Built
from forecast.forecaster import Forecaster
from pipelines.errors import ConfigError, UnknownName

ROOT = Path(__file__).parents[2]
L = 3  # rows of a window; the network that echoes them has the same horizon
M = 8  # held-out windows
ALONE = {"goog.tflite", "goog.report.json"}
PYTHON = {"model.tflite", "report.json", "report.md", "forecast.png", "run.py"}
C = {"model.h", "model.cc", "metadata.h", "resolver.h", "golden.h"}
EVIL = [
    "a|b\\|c",
    "`tick` ``",
    "<img src=x onerror=alert(1)>",
    "[x](http://evil.example) http://evil.example",
    "![x](y.png)",
    "\n# head\n- item\n\n1. one",
    "\u202eabc\x00\x1b[31m",
    "_a_ **b** ~~c~~ $d$ &lt;",
    "\\",
]


def network(dtype):
    """A file that answers with what it is given, `(1, L, 1)`: one RESHAPE. Integers are round(x / 0.05) - 7."""
    kind = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8}[dtype]

    def tensor(name, shape, kind, buffer=0):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.array(shape, np.int32), kind, buffer
        if kind == schema.TensorType.INT8:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = np.array([0.05], np.float32), np.array([-7])
        return made

    def vector(*values):
        return np.array(values, np.int32)

    model, graph, op, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    operator.builtinCode = operator.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    model.version, model.operatorCodes, model.subgraphs = 3, [operator], [graph]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(vector(1, L, 1).tobytes(), np.uint8)
    graph.tensors = [tensor(b"past", (1, L, 1), kind), tensor(None, (3,), schema.TensorType.INT32, 1)]
    graph.tensors.append(tensor(b"y", (1, L, 1), kind))
    op.inputs, op.outputs, op.builtinOptionsType = vector(0, 1), vector(2), schema.BuiltinOptions.ReshapeOptions
    op.builtinOptions = schema.ReshapeOptionsT()
    op.builtinOptions.newShape = vector(1, L, 1)
    graph.operators, graph.inputs, graph.outputs = [op], vector(0), vector(2)
    return model


def a_built(
    *,
    io="float32",
    where="file",
    layout="fused",
    quantize="int8",
    kind="windowed",
    y_true=True,
    bundle=True,
    tried=(),
    log=(),
    arena=4784,
    names=("Close",),
    unit="dollars",
    **more,
):
    """An export of an echo: forecasts of Keras are the windows themselves, those of the file 0.25 and 0.5 higher."""
    window = 10 + np.arange(M, dtype=float)[:, None, None] + np.arange(L, dtype=float)[:, None] / 4  # (M, L, 1)
    scaling = {
        "where": where,
        **{"clip_low": None, "clip_high": None, "log1p": [False], "factor": [0.5], "shift": [0.25]},
        **{"normalize": "last", "levels": [True], "epsilon": 1e-5, "predict": "level", "sigma": [1.0]},
        **{"static_low": [], "static_range": []},
    }
    about = {
        "format": 1,
        "name": "goog/1" if bundle else "",
        "model": "lstm",
        "versions": {"keras-forecast": "0.1.0", "ai-edge-litert": "2.3.0"},
        "bundle": {"name": "goog", "version": 1, "digest": "ab" * 32} if bundle else None,
        **{"layout": layout, "quantize": quantize, "io": io},
        "state": {"kind": kind, "means": "Reset the state inside before each call."},
        **{"lookback": L, "gap": 0, "horizon": L, "targets": list(names), "unit": unit, "quantiles": []},
        "series": None,
        "dates": {"freq": "h", "calendar": None, "zone": "UTC", "seconds": 3600},
        "columns": [{"name": n, "kind": "target", "level": True, "means": f"Measured: {n}."} for n in names],
        "inputs": [{"name": "past", "shape": [1, L, 1]}],
        "outputs": [{"name": "y", "shape": [1, L, 1]}],
        "scaling": scaling,
        "range": {"low": [-2.0], "high": [2.0]},
        "missing": {"policy": "last", "limit": 24},
        "step": None,
        "intervals": None,
        **more,
    }
    data, about = flatbuffer.with_metadata(network(io), about)
    y_file = window + np.array([0.25, 0.5, 0.25])[:, None]
    truth = window + 2.0
    truth[0, 0] = np.nan
    steps = [{"step": h + 1, "mean": 0.1 * (h + 1), "largest": 0.5 * (h + 1)} for h in range(L)]
    mae = {"file": 18.604, "keras": 18.577, "naive": 19.0} if y_true else {}
    compared = [
        Comparison(
            "LiteRT", f"{layout} float32", 1e-7, 0.0, [dict.fromkeys(steps[0], 9.0)] * L, dict.fromkeys(mae, 7.0)
        ),
        Comparison("LiteRT", f"{layout} {quantize}", 0.0123, 0.001, steps, mae),
        Comparison("TFLite Micro", f"{layout} {quantize}", 0.0234, 0.001, steps, mae),
    ]
    cost = {"bytes": 8112, "file_bytes": 9120, "arena": arena, "macs": 1234567, "operators": 11}
    shown = {
        **{"part": "validation", "windows": M, "raw": {"past": window}, "y_pred": window, "y_file": y_file},
        **{"y_true": truth if y_true else None, "naive": np.repeat(window[:, -1:], L, axis=1), "few": [0, 2, 5, 7]},
    }
    return Built(data, about, compared, list(tried), "fused is the smallest that stays true", list(log), cost, shown)


@pytest.fixture
def quick(monkeypatch):
    """Neither picture nor C files: what is tested is how files are put in their place."""
    monkeypatch.setattr(plotting, "parity_png", lambda *arrays, **options: b"picture")
    monkeypatch.setattr("forecast.export.golden.c_sources", lambda built: {})


def held(folder):
    """All that lies in a folder, hidden or not: bytes by path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def strictly(data):
    """JSON as the standard has it: without NaN and Infinity."""
    return json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_name_that_ends_in_tflite_gives_the_file_and_its_report_and_nothing_else(tmp_path):
    built = a_built()
    report = write(built, tmp_path / "goog.tflite")
    assert set(held(tmp_path)) == ALONE
    assert (tmp_path / "goog.tflite").read_bytes() == built.data
    assert strictly((tmp_path / "goog.report.json").read_bytes()) == report.report
    assert (report.path, report.folder) == (tmp_path / "goog.tflite", None)


def test_any_other_name_gives_a_folder_with_the_file_reports_picture_runtime_and_c_files(tmp_path):
    built = a_built()
    report = write(built, tmp_path / "goog_edge")
    files = held(tmp_path / "goog_edge")
    assert set(files) == PYTHON | C
    assert files["model.tflite"] == built.data
    assert files["run.py"] == (ROOT / "forecast/edge.py").read_bytes()
    assert files["forecast.png"][:4] == b"\x89PNG"
    assert strictly(files["report.json"]) == report.report
    assert all(f"`{name}`" in files["report.md"].decode() for name in C)
    assert (report.path, report.folder) == (tmp_path / "goog_edge/model.tflite", tmp_path / "goog_edge")
    assert [path.name for path in tmp_path.iterdir()] == ["goog_edge"]


def test_the_folder_runs_by_itself_where_nothing_of_this_project_is(tmp_path):
    write(a_built(), tmp_path / "goog_edge")
    (tmp_path / "rows.csv").write_text("Close\n7.5\n8.25\n9.125\n")
    command = [sys.executable, "-I", "goog_edge/run.py", "rows.csv", "--json"]  # -I: no path but that of the libraries
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["values"] == [[7.5], [8.25], [9.125]]  # what it was given


def test_a_number_that_is_none_is_null_in_the_report(tmp_path):
    built = a_built()
    nothing = {"file": np.float64("nan"), "keras": float("inf"), "naive": np.float32(1.5)}
    built.compared[1] = Comparison("LiteRT", "fused int8", float("nan"), 0.0, [], nothing)
    write(built, tmp_path / "goog.tflite")
    compared = strictly((tmp_path / "goog.report.json").read_bytes())["compared"][1]
    assert compared["mae"] == {"file": None, "keras": None, "naive": 1.5}
    assert compared["core_error"] is None


def golden(folder, name):
    """An array of golden.h, a row for each window."""
    found = re.search(rf" {name}\[kGoldenWindows\]\[(\d+)\] = {{(.*?)}};", (folder / "golden.h").read_text(), re.S)
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", found[2])]
    return np.array(numbers).reshape(-1, int(found[1]))


def test_golden_values_are_what_the_file_answers_to_four_held_out_windows(tmp_path):
    built = a_built()
    write(built, tmp_path / "goog_edge")
    shown = built.shown["raw"]["past"][built.shown["few"], :, 0]
    for name in ("kGoldenPastRaw", "kGoldenPast", "kGoldenY", "kGoldenForecast"):  # an echo that scales inside
        np.testing.assert_array_equal(golden(tmp_path / "goog_edge", name), shown)


def test_golden_values_of_an_integer_file_are_the_integers_that_go_in_and_come_out(tmp_path):
    built = a_built(io="int8", where="host")
    write(built, tmp_path / "goog_edge")
    raw = built.shown["raw"]["past"][built.shown["few"], :, 0]
    x = (raw - raw[:, -1:]) * 0.5  # normalised by the last value, scaled by the factor
    stored = np.clip(np.round(x / 0.05) - 7, -128, 127)
    np.testing.assert_array_equal(golden(tmp_path / "goog_edge", "kGoldenPastRaw"), raw)
    np.testing.assert_array_equal(golden(tmp_path / "goog_edge", "kGoldenPast"), stored)
    np.testing.assert_array_equal(golden(tmp_path / "goog_edge", "kGoldenY"), stored)
    answers = (stored + 7) * 0.05 / 0.5 + raw[:, -1:]
    np.testing.assert_allclose(golden(tmp_path / "goog_edge", "kGoldenForecast"), answers, rtol=1e-6)


def test_a_plain_network_without_names_gets_c_files_too(tmp_path):
    built = a_built(names=(), scaling=None, range=None, bundle=False, unit="")
    write(built, tmp_path / "plain")
    assert set(held(tmp_path / "plain")) == PYTHON | C


def test_where_tflite_micro_cannot_run_the_file_there_are_no_c_files_and_the_report_says_why(tmp_path):
    refused = "not on TFLite Micro: it lacks\r\nTILE"
    report = write(a_built(tried=[{"layout": "fused", "result": refused}], arena=None), tmp_path / "goog_edge")
    assert set(held(tmp_path / "goog_edge")) == PYTHON
    assert report.report["left_out"] == ["C files: it lacks TILE"]
    text = (tmp_path / "goog_edge/report.md").read_text()
    assert "Left out: C files: it lacks TILE" in text
    assert "micro-controller, with" not in text
    assert "left out  C files: it lacks TILE" in str(report)


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_numbers_that_tflite_micro_has_no_kernels_for_leave_c_files_out(tmp_path, quantize):
    report = write(a_built(quantize=quantize, arena=None), tmp_path / "goog_edge")
    assert set(held(tmp_path / "goog_edge")) == PYTHON
    assert f"kernels for float32, int8, int16. Received: {quantize}." in report.report["left_out"][0]


def test_an_operator_that_tflite_micro_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(flatbuffer, "operators", lambda model: ["RESHAPE", "TILE"])
    report = write(a_built(), tmp_path / "goog_edge")
    assert set(held(tmp_path / "goog_edge")) == PYTHON
    assert "TILE, which it lacks" in report.report["left_out"][0]


# --- whole, or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["goog.tflite", "goog_edge"])
def test_an_earlier_export_is_replaced_whole(tmp_path, quick, name):
    write(a_built(), tmp_path / name)
    if name == "goog_edge":
        (tmp_path / name / "model.cc").write_text("of the earlier one")
        (tmp_path / name / "__pycache__").mkdir()
        (tmp_path / name / "__pycache__/run.pyc").write_text("x")
    later = a_built(layout="unrolled")
    write(later, tmp_path / name)
    files = held(tmp_path)
    assert {Path(path).name for path in files} == (ALONE if name == "goog.tflite" else PYTHON)
    assert later.data in files.values()
    assert a_built().data not in files.values()


def test_what_somebody_put_into_the_folder_of_an_export_stays_when_it_is_replaced(tmp_path, quick):
    folder = write(a_built(), tmp_path / "goog_edge").folder
    (folder / "rows.csv").write_text("Close\n100\n")
    (folder / "board/src").mkdir(parents=True)
    (folder / "board/src/main.cc").write_text("int main() {}")
    (folder / "latest.csv").symlink_to("rows.csv")
    check_place(folder)
    later = a_built(layout="unrolled")
    write(later, folder)
    files = held(folder)
    assert set(files) == PYTHON | {"rows.csv", "latest.csv", "board/src/main.cc"}
    assert files["model.tflite"] == later.data
    assert files["rows.csv"] == files["latest.csv"] == b"Close\n100\n"
    assert (folder / "latest.csv").is_symlink()


def test_an_empty_folder_is_as_good_as_none(tmp_path, quick):
    (tmp_path / "goog_edge").mkdir()
    check_place(tmp_path / "goog_edge")
    write(a_built(), tmp_path / "goog_edge")
    assert set(held(tmp_path / "goog_edge")) == PYTHON


def faulty(monkeypatch, error, nth, after):
    """Lets the nth call that reaches the disk fail, before or after it did its work; returns how many there were."""
    calls = []

    def fail(function):
        def one(*arguments, **options):
            calls.append(function.__name__)
            if not after and len(calls) == nth:
                raise error
            result = function(*arguments, **options)
            if after and len(calls) == nth:
                raise error
            return result

        return one

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, fail(getattr(os, name)))
    return calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("earlier", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("name", ["goog.tflite", "goog_edge"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=type)
def test_whatever_goes_wrong_on_the_disk_leaves_the_earlier_export_or_the_new_one(
    tmp_path, quick, name, earlier, after, error
):
    def put_earlier(folder):
        write(a_built(), folder / name)
        if name == "goog_edge":
            (folder / name / "rows.csv").write_text("somebody's")

    states = []
    for part in ("before", "after"):
        (tmp_path / part).mkdir()
        if earlier:
            put_earlier(tmp_path / part)
        if part == "after":
            write(a_built(layout="unrolled"), tmp_path / part / name)
        states.append(held(tmp_path / part))
    for nth in range(1, 40):
        folder = tmp_path / str(nth)
        folder.mkdir()
        if earlier:
            put_earlier(folder)
        with pytest.MonkeyPatch.context() as patch:
            calls = faulty(patch, error, nth, after)
            try:
                write(a_built(layout="unrolled"), folder / name)
            except KeyboardInterrupt:
                assert isinstance(error, KeyboardInterrupt)
            except ConfigError as refused:
                assert "No space left on device" in str(refused)  # noqa: PT017  (it may also pass, at the end)
            else:
                assert len(calls) < nth
                break
        assert held(folder) in states, (nth, calls)
        assert len(list(folder.iterdir())) == len({Path(path).parts[0] for path in held(folder)}), "something is left"
    assert nth > 3


@pytest.mark.parametrize("name", ["goog.tflite", "goog_edge"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work_with_what_the_system_said(
    tmp_path, monkeypatch, name
):
    def refuse(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match=rf"Received: .*{name}: Permission denied\. Choose another place"):
        check_place(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes", r"must be new, empty, or .* Received: .*notes, which holds diary\.txt\. Choose another folder"),
        ("half", r"which holds model\.tflite\."),
        ("notes/diary.txt", r"must be a file that ends in \.tflite, or a folder\. Received"),
        ("folder.tflite", r"must not replace a folder\. Received: .*folder\.tflite\."),
        ("taken.tflite", r"must not replace a folder\. Received: .*taken\.report\.json\."),
        ("nowhere/goog_edge", r"must lie in a folder that exists\. Received: .*nowhere/goog_edge\."),
        ("notes/diary.txt/goog.tflite", r"must lie in a folder that exists\."),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_is_no_earlier_export_is_refused_and_left_alone(tmp_path, quick, name, message):
    for path in ("notes/diary.txt", "half/model.tflite", "folder.tflite/a", "taken.report.json/a"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("mine")
    before = held(tmp_path)
    for refuse in (check_place, lambda path: write(a_built(), path)):
        with pytest.raises(ConfigError, match=message):
            refuse(tmp_path / name)
        assert held(tmp_path) == before


@pytest.mark.parametrize("name", ["goog.tflite", "goog_edge", "earlier", "earlier.tflite"])
def test_a_place_that_is_fine_is_left_as_it_was(tmp_path, quick, name):
    write(a_built(), tmp_path / "earlier")
    write(a_built(), tmp_path / "earlier.tflite")
    before = held(tmp_path)
    check_place(tmp_path / name)
    check_place(str(tmp_path / name))
    assert held(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_is_followed_to_where_the_export_belongs(tmp_path, quick):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "model.tflite").symlink_to("real.tflite")
    write(a_built(), tmp_path / "link")
    write(a_built(), tmp_path / "model.tflite")
    assert set(held(tmp_path / "real")) == PYTHON
    assert (tmp_path / "model.tflite").is_symlink()
    assert (tmp_path / "real.tflite").is_file()


def test_files_can_be_read_by_whoever_the_umask_lets(tmp_path, quick):
    before = os.umask(0o022)
    try:
        write(a_built(), tmp_path / "goog_edge")
    finally:
        os.umask(before)
    assert (tmp_path / "goog_edge").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "goog_edge/model.tflite").stat().st_mode & 0o777 == 0o644


# --- what is said -----------------------------------------------------------------------------------------------------


def a_report(built, path="goog.tflite"):
    return ExportReport(Path(path), None, output.plain({**built.to_dict(), "left_out": []}), built.compared)


def test_one_line_says_how_large_the_file_is_and_how_true():
    assert a_report(a_built()).line == (
        "edge    goog.tflite: 9,120 bytes, int8 fused, arena 4,784 bytes; MAE 18.60 against 18.58 dollars of Keras on "
        "8 held-out windows"
    )
    assert a_report(a_built(y_true=False, arena=None, unit="")).line == (
        "edge    goog.tflite: 9,120 bytes, int8 fused; at most 1.500 from Keras on 8 held-out windows"
    )


def test_the_summary_is_aligned_and_ends_with_the_comparison():
    report = a_report(a_built(log=["cell clip 10 -> none", "cell scale 2^-18 -> 2^-15"]))
    assert repr(report) == str(report)  # what a notebook shows
    lines = str(report).splitlines()
    assert lines[:10] == [
        "file      goog.tflite",
        "network   goog/1, lstm",
        "forecast  3 steps of Close from 3 rows",
        "layout    fused int8: fused is the smallest that stays true",
        "size      8,112 bytes, 9,120 with metadata",
        "arena     4,784 bytes on TFLite Micro",
        "cost      1,234,567 multiply-accumulates a forecast, 11 operators",
        "compared  on 8 windows: validation",
        "repaired  cell clip 10 -> none",
        "          cell scale 2^-18 -> 2^-15",
    ]
    assert lines[11].split()[:3] == ["file", "core", "error"]
    assert lines[13].split() == [
        *["fused", "int8", "on", "LiteRT"],
        "1.23%",
        "0.10%",
        "1.500",
        "18.60",
        "18.58",
        "19.00",
    ]
    assert lines[-1] == "in dollars"
    assert "a row, 11 operators" in str(a_report(a_built(kind="streaming")))
    assert "arena     unknown, no TFLite Micro ran it" in str(a_report(a_built(arena=None)))


def cells(report, heading, which=0):
    """A table of a section, as rows of cells."""
    section = re.split(r"^## ", report, flags=re.M)
    (mine,) = [part for part in section if part.startswith(heading)]
    tables = re.findall(r"(?:^\|.*\n)+", mine + "\n", flags=re.M)
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in tables[which].splitlines()]
    return [rows[0], *rows[2:]]


def test_the_report_shows_differences_and_errors_step_by_step_in_the_unit():
    built = a_built()
    report = markdown(built, ["model.h"])
    steps = cells(report, "The same answers as Keras", 1)
    assert steps[0] == [
        *("step", "LiteRT, mean", "largest", "TFLite Micro, mean", "largest"),
        *("MAE of the file", "of Keras", "of naive"),
    ]
    assert steps[1] == ["1", "0.1000", "0.5000", "0.1000", "0.5000", "1.750", "2.000", "1.500"]  # without the gap
    assert steps[2] == ["2", "0.2000", "1.000", "0.2000", "1.000", "1.500", "2.000", "1.750"]
    assert len(steps) == 1 + L
    assert "Differences and errors, in dollars, on 8 windows (validation)." in report
    whole = cells(report, "The same answers as Keras", 0)
    assert whole[2] == ["fused int8", "LiteRT", "1.23%", "0.10%", "1.500", "18.60", "18.58", "19.00"]


def test_several_targets_are_compared_each_in_its_own_unit():
    built = a_built(names=("Close", "Volume"))
    for name in ("y_pred", "y_file", "y_true", "naive"):
        built.shown[name] = np.concatenate([built.shown[name], 1000 * built.shown[name]], axis=2)
    rows = cells(markdown(built, []), "The same answers as Keras", 2)
    assert rows[1:] == [["`Close`", "0.3333", "0.5000"], ["`Volume`", "333.3", "500.0"]]


def test_the_report_tells_origin_inputs_cost_layouts_and_repairs():
    tried = [
        {"layout": "step", "result": "does not apply: layer 'b' reads backwards"},
        {"layout": "fused", "bytes": 8112, "core_error": 0.0123, "result": "passes"},
    ]
    report = markdown(a_built(tried=tried, log=["cell clip 10 -> none", "something new"]), [])
    assert report.startswith("# `goog/1` as a file of 9,120 bytes\n")
    assert "forecasts 3 rows of `Close`, in dollars, from the last 3 rows" in report
    origin = dict(cells(report, "Where it came from"))
    assert origin["bundle"] == f"`goog`, version 1, digest `{'ab' * 32}`"
    assert origin["numbers"] == "int8 inside, float32 at the ends"
    assert cells(report, "What goes in")[1] == ["0", "`past`", "(1, 3, 1)", "float32", "the last 3 rows, oldest first"]
    assert cells(report, "What goes in", 1)[1] == ["0", "`Close`", "target", "yes", "Measured: Close."]
    assert "Rows lie 3,600 seconds apart, in the time zone `UTC`." in report
    assert "`y` (1, 3, 1): 1 x step x target, float32, in dollars." in report
    cost = {row[0]: row[1:] for row in cells(report, "Size and cost")}
    assert cost["file"] == ["9,120", "bytes"]
    assert cost["arena, working memory"] == ["4,784", "bytes, on TFLite Micro, 64 bits"]
    assert cost["multiply-accumulates"] == ["1,234,567", "a forecast"]
    assert cells(report, "What was tried")[1:] == [
        ["step", "does not apply: layer 'b' reads backwards", "-", "-"],
        ["fused", "passes", "1.23%", "8,112"],
    ]
    assert "- `cell clip 10 -> none`: The converter lets the cells of an LSTM clip" in report
    assert "- `something new`\n" in report


@pytest.mark.parametrize(
    ("built", "there", "absent"),
    [
        ({}, "no figure of a device", "CMSIS-NN"),
        ({"quantize": "float32"}, "unlike those", "no figure of a device"),
        ({"kind": "streaming"}, "**Builds of TFLite Micro with CMSIS-NN kernels keep no state", "none"),
        ({"kind": "streaming", "layout": "step", "step": {"states": [{"shape": [1, 4]}]}}, "state 0", "CMSIS-NN"),
        ({"arena": None}, "nobody knows its arena", "reference kernels"),
        ({"series": "AAPL"}, "The scaling inside is that of the series `AAPL`", "none"),
        ({"where": "file"}, "Scale nothing", "Scale each row"),
        ({"where": "host", "io": "int8"}, 'normalise the window ("last")', "Scale nothing"),
        ({"where": "host", "io": "int8"}, "Turn values into integers", "Scale nothing"),
        ({"scaling": None, "bundle": False}, "Give the file what the Keras model took", "Scale nothing"),
        ({"gap": 2}, "Step 1 is 3 rows after the last row", "none"),
        ({"quantiles": [0.1, 0.5]}, "Quantiles, in this order: 0.1, 0.5.", "none"),
    ],
)
def test_the_report_says_what_matters_for_this_file_and_nothing_else(built, there, absent):
    report = markdown(a_built(**built), [])
    assert there in report
    assert absent not in report.replace("None", "")


def test_the_report_says_whose_constants_are_where():
    built = a_built(where="host", io="int8")
    assert "constants of its own" not in markdown(built, [])
    built.about["scaling"]["series"] = {"AAPL": {}, "MSFT": {}}
    assert "Each of 2 series has constants of its own" in markdown(built, [])
    assert "the C files hold those of `AAPL`." in markdown(built, [])


def test_the_report_says_so_where_the_naive_forecast_is_better():
    built = a_built()
    assert "naive forecast, the last known value, was as good" not in markdown(built, [])
    built.compared[1].mae["naive"] = 18.0
    assert "as good on these windows or better: MAE 18.00 against 18.60." in markdown(built, [])


def test_its_commands_give_what_the_file_takes_and_its_c_lines_are_six():
    inputs = [{"name": "past", "shape": [1, L, 1]}, {"name": "known", "shape": [1, 6, 1]}]
    inputs.append({"name": "static", "shape": [1, 2]})
    report = markdown(a_built(inputs=inputs), ["model.h"])
    assert "python run.py rows.csv --known known.csv --static 1.5,2 " in report
    assert "predict(rows, known=known, static=static)" in report
    (c,) = re.findall(r"```cpp\n(.*?)\n```", report, re.S)
    assert len(c.splitlines()) == 6
    assert "forecast(*interpreter, rows, known, statics, values)" in c
    assert "--known" not in markdown(a_built(), [])
    assert "forecast(*interpreter, row, values)" in markdown(a_built(kind="streaming"), ["model.h"])
    flags = set(re.findall(r" (--\w+)", report))
    source = (ROOT / "forecast/edge.py").read_text()
    assert all(f'"{flag}"' in source for flag in flags), flags


@pytest.mark.parametrize("name", EVIL)
def test_names_from_data_are_no_markup_in_the_report(name):
    columns = [{"name": name, "kind": "target", "level": True, "means": f"Measured: {name}."}]
    tried = [{"layout": "step", "result": f"does not apply: {name}"}]
    built = a_built(names=(name,), unit=name, columns=columns, tried=tried, log=[name], model=name, series=name)
    built.about["dates"]["zone"] = name
    built.shown["part"] = built.why = name
    plain = markdown(a_built(tried=[{"layout": "step", "result": "x"}], log=["x"], series="x"), ["model.h"])
    report = markdown(built, ["model.h"], [name])
    parse = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse
    kinds = [[token.type for token in parse(text)] for text in (report, plain + "\nLeft out: x\n")]
    assert kinds[0] == kinds[1]  # the same headings, lists and tables, with as many rows and cells
    inside = [child for token in parse(report) for child in token.children or []]
    assert {child.type for child in inside} <= {"text", "code_inline", "softbreak", "image", "text_special"}
    assert [child.attrs["src"] for child in inside if child.type == "image"] == ["forecast.png"]
    assert all(character.isprintable() for character in report.replace("\n", ""))
    shown = " ".join("".join(child.content for child in token.children or []) for token in parse(report))
    words = "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in " ".join(name.split()))
    assert shown.count(words) >= 8


def test_tables_are_aligned_in_the_source_too():
    report = markdown(a_built(tried=[{"layout": "fused", "result": "passes", "bytes": 8112}]), ["model.h"])
    for block in re.findall(r"(?:^\|.*\n)+", report, flags=re.M):
        assert len({len(line) for line in block.splitlines()}) == 1, block


def test_cells_keep_their_pipes_and_addresses_are_no_links():
    assert table([["a|b", "n"], ["c", "1"]], numbers=[1]).splitlines() == [
        "| a\\|b | n |",
        "|:-----|--:|",
        "| c    | 1 |",
    ]
    assert text("see http://x.y or www.z") == "see http\\://x.y or www\\.z"
    assert [text(words) for words in ("3.11.7", "2024-01-05", "1. one", "- a", "12)")] == [
        *("3.11.7", "2024-01-05", "1\\. one", "\\- a", "12\\)")
    ]
    assert (code("Close"), code(""), code("a`b"), code(" a")) == ("`Close`", "-", "a\\`b", "a")


# --- the picture ------------------------------------------------------------------------------------------------------


def lines(ax):
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.lines}


def test_the_picture_holds_the_numbers_of_the_step_and_below_it_their_difference():
    shown = a_built().shown
    arrays = [shown[name] for name in ("y_pred", "y_file", "y_true", "naive")]
    about = {"targets": ["Close"], "model": "lstm", "file": "fused int8", "unit": "dollars", "part": "validation"}
    ax = plotting.plot_parity(*arrays, step=2, **about)
    drawn = lines(ax)
    for label, y in zip(("Keras", "the file", "truth", "naive"), arrays, strict=True):
        np.testing.assert_array_equal(drawn[label], y[:, 1, 0])
    below = ax.figure.axes[-1]
    (apart,) = [y for y in lines(below).values() if len(y) == M]
    np.testing.assert_array_equal(apart, np.full(M, 0.5))
    assert below.get_ylim() == pytest.approx((-0.575, 0.575))
    assert ax.get_title() == (
        "lstm as fused int8: Close, step 2 of 3 on 8 validation windows\nMAE 1.500 dollars (Keras 2.000, naive 1.750)"
    )
    assert below.get_title() == "file minus Keras: mean difference 0.5000, largest 0.5000 dollars"
    assert (ax.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == (
        "Close, dollars",
        "dollars",
        "validation window",
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["truth", "naive", "Keras", "the file"]


def test_a_gap_in_the_truth_is_a_gap_and_counts_for_no_error():
    shown = a_built().shown
    ax = plotting.plot_parity(*(shown[name] for name in ("y_pred", "y_file", "y_true", "naive")))
    assert np.isnan(lines(ax)["truth"][0])
    assert "MAE 1.750 (Keras 2.000, naive 1.500)" in ax.get_title()  # over the seven that were observed


@pytest.mark.parametrize("horizon", [1, 12])
def test_without_truth_the_picture_shows_both_forecasts_and_says_that_errors_are_unknown(horizon):
    y = np.arange(5.0 * horizon).reshape(5, horizon, 1)
    ax = plotting.plot_parity(y, y + 0.5, model="net", file="step int8", part="every fifth calibration window")
    assert list(lines(ax)) == ["Keras", "the file"]
    assert " on 5 held-out windows (every fifth calibration window)" in " ".join(ax.get_title().split())
    assert ax.get_title().endswith("MAE unknown, nothing was observed")
    assert (", one step ahead on " in ax.get_title()) == (horizon == 1)
    ax = plotting.plot_parity(y, y, np.full(y.shape, np.nan), y)
    assert ax.get_title().endswith("MAE unknown, nothing was observed")


def test_quantiles_are_drawn_by_their_middle_and_answers_without_targets_as_they_are():
    y = np.arange(24.0).reshape(4, 2, 1, 3)
    truth = np.zeros((4, 2, 1))
    np.testing.assert_array_equal(lines(plotting.plot_parity(y, y, truth))["Keras"], y[:, 0, 0, 1])
    plain = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(lines(plotting.plot_parity(plain, plain))["the file"], plain[:, 0])


def test_a_step_or_target_that_there_is_not_is_refused():
    y = np.zeros((4, 2, 1))
    for step in (0, 3, 1.0, True):
        with pytest.raises(ConfigError, match=r"`step` must be an integer from 1 to the horizon, 2\. Received: "):
            plotting.plot_parity(y, y, step=step)
    with pytest.raises(UnknownName, match="No target is called 'Open'"):
        plotting.plot_parity(y, y, targets=["Close"], target="Open")


def test_a_name_with_dollar_signs_is_drawn_as_it_is():
    y = np.arange(4.0).reshape(4, 1, 1)
    assert plotting.parity_png(y, y, targets=["US$ a_{ b$"], unit="$x_{$")[:4] == b"\x89PNG"


# --- the list of exports beside a bundle ------------------------------------------------------------------------------

ENTRY = {"version": 1, "file": "/a/goog.tflite", "digest": "ab", "quantize": "int8", "layout": "fused", "bytes": 9120}


@pytest.fixture
def home(tmp_path):
    """The folder of a bundle with two versions, of which only the manifest is there."""
    for version in "12":
        (tmp_path / "saved/goog" / version).mkdir(parents=True)
        (tmp_path / "saved/goog" / version / "manifest.json").write_text("{}")
    return tmp_path / "saved/goog"


def test_a_bundle_remembers_its_exports_beside_its_versions(home):
    assert exports("goog", home.parent) == []
    assert remember(home, ENTRY) == ""
    assert remember(home, {**ENTRY, "version": 2, "file": "/b.tflite"}) == ""
    first, second = exports("goog", home.parent)
    assert first == {**ENTRY, "created": first["created"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first["created"])
    assert (second["version"], second["file"]) == (2, "/b.tflite")
    assert [row["version"] for row in list_bundles(home.parent)] == [1, 2]
    assert all(path.is_dir() or path.name in ("exports.json", ".exports.json.lock") for path in home.iterdir())


def test_a_file_that_is_exported_again_has_one_entry(home):
    remember(home, ENTRY)
    remember(home, {**ENTRY, "version": 2, "digest": "cd"})
    assert [(one["version"], one["digest"]) for one in exports("goog", home.parent)] == [(2, "cd")]


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '[{"version": 1}]', "[1]", "[" * 100_000])
def test_a_list_that_is_none_is_left_alone(home, content):
    (home / "exports.json").write_text(content)
    assert "is no list of exports" in remember(home, ENTRY)
    assert (home / "exports.json").read_text() == content
    assert exports("goog", home.parent) == []


def test_a_full_disk_leaves_the_list_as_it_was(home, monkeypatch):
    remember(home, ENTRY)
    before = held(home)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert remember(home, {**ENTRY, "file": "/c"}).endswith("exports.json: No space left on device")
    assert held(home) == before


def test_a_version_that_was_copied_elsewhere_has_no_list_beside_it(home):
    (home / "1").rename(home.parent / "copy")
    assert "is not where version 1 lies" in remember(home.parent, ENTRY)
    assert not (home.parent / "exports.json").exists()


# --- commands ---------------------------------------------------------------------------------------------------------


class Trained:
    """Stands for a forecaster that was loaded; keeps what it was asked for, and exports an echo."""

    manifest_, source_, asked = {"name": "goog", "version": 2}, "sample:goog", None

    def export(self, path, quantize, **options):
        Trained.asked = {"path": path, "quantize": quantize, **options}
        return write(a_built(), path)


@pytest.fixture
def command(home, tmp_path, monkeypatch, quick):
    """Runs a command in an empty folder."""
    monkeypatch.setattr(Forecaster, "load", lambda name, folder: Trained())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, *(["--folder", str(home.parent)] * (arguments[0] != "bench"))])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_export_writes_a_folder_named_after_the_bundle(command):
    result = command("export", "goog")
    assert result.stdout.startswith("file      goog_edge/model.tflite\n")
    assert set(held(Path())) == {f"goog_edge/{name}" for name in PYTHON}
    assert Trained.asked == {
        **{"path": Path("goog_edge"), "quantize": "int8", "data": "sample:goog", "quiet": False, "layout": "auto"},
        **{"device": "mcu", "io": None, "state": "windowed", "series": None, "seed": 0},
    }


def test_every_option_of_export_arrives_and_a_machine_reads_one_object(command):
    given = {
        **{"--quantize": "int16", "--layout": "step", "--for": "pi", "--io": "int8", "--state": "streaming"},
        **{"--series": "AAPL", "--max-degradation": "0.5", "--max-core-error": "0.25", "--seed": "7"},
        "--out": "x.tflite",
    }
    result = command(
        "export", "goog", "rows.csv", "--quiet", "--json", *(part for pair in given.items() for part in pair)
    )
    said = strictly(result.stdout)
    assert (said["path"], said["folder"], said["cost"]["file_bytes"]) == ("x.tflite", None, 9120)
    assert Trained.asked == {
        **{"path": Path("x.tflite"), "quantize": "int16", "data": "rows.csv", "quiet": True, "layout": "step"},
        **{"device": "pi", "io": "int8", "state": "streaming", "series": "AAPL", "seed": 7},
        **{"max_degradation": 0.5, "max_core_error": 0.25},
    }
    assert set(held(Path())) == {"x.tflite", "x.report.json"}


@pytest.fixture
def of_a_bundle(home, tmp_path, monkeypatch):
    """Exports a forecaster of version 2, without the conversion."""
    from forecast.export import export, of_forecaster, tflite

    monkeypatch.setattr(of_forecaster, "of_forecaster", lambda *arguments: None)
    monkeypatch.setattr(tflite, "build", lambda *arguments: a_built())
    forecaster = SimpleNamespace(path_=home / "2", manifest_={"version": 2})
    return lambda: export(forecaster, tmp_path / "goog.tflite")


def test_a_bundle_lists_what_is_exported_from_it(of_a_bundle, home):
    report = of_a_bundle()
    (one,) = exports("goog", home.parent)
    assert (one["version"], one["file"]) == (2, str(report.path))
    assert (one["digest"], one["bytes"]) == (a_built().about["digest"], 9120)


def test_an_export_that_cannot_be_listed_is_an_export_all_the_same(of_a_bundle, home, capsys):
    (home / "exports.json").write_text("mine")
    assert of_a_bundle().path.is_file()
    assert "The export is not listed beside its bundle: " in capsys.readouterr().err


def test_bundles_shows_how_many_exports_each_version_has(command, home):
    assert [row["exports"] for row in json.loads(command("bundles", "--json").stdout)] == [[], []]
    for file in ("/a", "/b"):
        remember(home, {**ENTRY, "version": 2, "file": file})
    rows = json.loads(command("bundles", "--json").stdout)
    assert [[one["file"] for one in row["exports"]] for row in rows] == [[], ["/a", "/b"]]
    head, *lines = command("bundles").stdout.splitlines()
    assert head.split()[-1] == "exports"
    assert [line[head.index("exports") :].strip() for line in lines] == ["", "2"]


def test_bench_prints_times_machine_and_what_to_think_of_them(command, monkeypatch):
    found = {"p50": 1234.5, "p95": 1300.0, "p99": 1400.25, "runs": 900, "threads": 2, "machine": "x86_64"}
    found |= {"layout": "fused", "quantize": "int8", "note": "no figure of a device"}
    asked = []
    monkeypatch.setattr(edge, "load", lambda path, threads: asked.append((path, threads)))
    monkeypatch.setattr(edge, "bench", lambda model, seconds: asked.append(seconds) or dict(found))
    text = command("bench", "goog.tflite", "--threads", "2", "--seconds", "0.5").stdout
    assert asked == [(Path("goog.tflite"), 2), 0.5]
    assert text.splitlines() == [
        *("p50       1,234.5 us", "p95       1,300.0 us", "p99       1,400.2 us", "runs      900", "threads   2"),
        *("machine   x86_64", "layout    fused", "quantize  int8", "no figure of a device"),
    ]
    assert json.loads(command("bench", "goog.tflite", "--json").stdout) == found
    Path("goog_edge").mkdir()
    command("bench", "goog_edge")
    assert asked[-2][0] == Path("goog_edge/model.tflite")


def test_bench_measures_a_real_file_and_refuses_what_is_none(command):
    write(a_built(), "goog.tflite")
    found = json.loads(command("bench", "goog.tflite", "--seconds", "0.05", "--json").stdout)
    assert 0 < found["p50"] <= found["p95"] <= found["p99"]
    Path("none.tflite").write_text("nothing")
    with pytest.raises(ConfigError, match=r"A model must be a whole \.tflite file"):
        command("bench", "none.tflite")


@pytest.mark.parametrize("name", ["export", "bench"])
def test_the_example_in_the_help_is_understood(name):
    (example,) = re.findall(rf"Example: forecast {name} (.+)", typer.main.get_command(app).commands[name].help)
    typer.main.get_command(app).commands[name].make_context(name, shlex.split(example))  # wrong usage raises here
