"""The report of an export for people: report.md, in plain Markdown whose tables are aligned in the source, too.

    what it is, where it came from    what goes in, what comes out, what the host does
    size and cost                     the same answers as Keras, step by step; errors beside Keras and naive
    what was tried and repaired       limits, and how to run it

Names and units come from data that nobody has looked at: none of them becomes markup here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.intervals import level_name
from ..text import number
from .markdown import block, code, shape, table, text
from .report_parity import intervals, mine, of_unit, parity, tried

if TYPE_CHECKING:
    from .tflite import Built

_INPUTS = {
    "known": "what is known ahead: {lookback:,} rows of the past and {horizon:,} to come",
    "static": "what never changes",
}


def markdown(built: Built, c_files: Sequence[str], left_out: Sequence[str] = ()) -> str:
    """Returns the text of report.md.

    Args:
        built: The file, and all that is known of it.
        c_files: Names of the C files that lie beside it.
        left_out: What does not, and why.
    """
    parts = [
        _head(built),
        _origin(built),
        _in(built),
        _out(built),
        _host(built),
        _cost(built),
        parity(built),
        intervals(built),
        tried(built),
        _limits(built),
        _run(built, c_files, left_out),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


# --- the file -------------------------------------------------------------------------------------------------------


def _head(built: Built) -> str:
    about, shown = built.about, built.shown
    what = f"{about['horizon']:,} row{'' if about['horizon'] == 1 else 's'}"
    what += f" of {', '.join(map(code, about['targets']))}" if about["targets"] else ""
    what += f"{of_unit(built)}," if about["unit"] else ""
    return (
        f"# {code(about['name'] or about['model'])} as a file of {built.cost['file_bytes']:,} bytes\n\n"
        f"`model.tflite` forecasts {what} from the last {about['lookback']:,} rows, without TensorFlow. It is "
        f"{about['quantize']} in the layout {about['layout']}, and was compared with Keras on {shown['windows']:,} "
        f"windows ({text(shown['part'])}) before it was written."
    )


def _origin(built: Built) -> str:
    about, bundle = built.about, built.about["bundle"]
    where = (
        f"{code(bundle['name'])}, version {bundle['version']}, digest {code(bundle['digest'])}" if bundle else "none"
    )
    rows = [
        ["what", "value"],
        ["bundle", where],
        ["network", code(about["model"])],
        ["layout", text(built.why)],
        ["numbers", f"{about['quantize']} inside, {about['io']} at the ends"],
        ["series", code(about["series"]) if about["series"] else "all: no scaling of one series is inside"],
        ["digest", f"{code(about['digest'])}, sha256 of the file with zeros in its place"],
        ["made with", ", ".join(f"{code(name)} {text(str(have))}" for name, have in about["versions"].items() if have)],
    ]
    return f"## Where it came from\n\n{table(rows)}"


def _in(built: Built) -> str:
    about = built.about
    rows = [["input", "name", "shape", "numbers", "what it is"]]
    one = about["layout"] == "step" or about["state"]["kind"] == "streaming"
    for n, tensor in enumerate(about["inputs"]):
        what = "one row; the oldest comes first" if one else f"the last {about['lookback']:,} rows, oldest first"
        what = _INPUTS.get(tensor["name"], what).format(**about)
        rows.append([str(n), code(tensor["name"]), shape(tensor["shape"]), about["io"], what])
    for n, state in enumerate((about["step"] or {"states": []})["states"], start=len(rows) - 1):
        rows.append([str(n), f"state {n - 1}", shape(state["shape"]), "bytes", f"what output {n} was, a row before"])
    lines = [f"## What goes in\n\n{table(rows)}"]
    if about["columns"]:
        columns = [["column", "name", "kind", "level", "how the host gets it"]]
        columns += [
            [str(n), code(c["name"]), text(c["kind"]), "yes" if c["level"] else "no", text(c["means"])]
            for n, c in enumerate(about["columns"])
        ]
        lines.append(
            f"A row has these columns, in this order; a level is normalised with its window.\n\n{table(columns)}"
        )
    dates = about["dates"]
    rows_lie = [f"{dates['seconds']:,} seconds apart"] if dates["seconds"] else []
    rows_lie += [f"on the sessions of the exchange {code(dates['calendar'])}"] if dates["calendar"] else []
    rows_lie += [f"at the frequency {code(dates['freq'])}"] if dates["freq"] and not dates["seconds"] else []
    rows_lie += [f"in the time zone {code(dates['zone'])}"] if dates["zone"] else []
    lines += [f"Rows lie {', '.join(rows_lie)}."] if rows_lie else []
    if about["missing"]["limit"]:
        lines.append(
            f"A missing value becomes the {text(about['missing']['policy'])} known one, at most "
            f"{about['missing']['limit']:,} rows in a row; beyond that `run.py` answers with the naive forecast."
        )
    return "\n\n".join(lines)


def _out(built: Built) -> str:
    about = built.about
    tensor = about["outputs"][0]
    axes = ["1", "step", "target", "quantile"][: len(tensor["shape"])]
    lines = [f"## What comes out\n\n`y` {shape(tensor['shape'])}: {' x '.join(axes)}, {about['io']}{of_unit(built)}."]
    if about["targets"]:
        lines.append(f"Targets, in this order: {', '.join(map(code, about['targets']))}.")
    if about["quantiles"]:
        lines.append(f"Quantiles, in this order: {', '.join(f'{q:g}' for q in about['quantiles'])}.")
    if about["gap"]:
        lines.append(f"Step 1 is {about['gap'] + 1:,} rows after the last row that went in.")
    if about["intervals"]:
        names = " and ".join(f"{level_name(level)} %" for level in about["intervals"]["levels"])
        lines.append(
            f"`run.py` gives the ends of intervals of {names}, too, and `metadata.h` has their table: an end is the "
            "forecast plus an offset times how far the target moved from row to row in the window."
        )
    return "\n\n".join(lines)


def _host(built: Built) -> str:
    about = built.about
    scaling, steps = about["scaling"], []
    if any(column["kind"] in ("feature", "known") for column in about["columns"]):
        steps.append("Compute the columns that are features, as the table above says.")
    if scaling is None:
        steps.append("Give the file what the Keras model took: it knows of no scaling.")
    elif scaling["where"] == "file":
        steps.append("Scale nothing: original units go in and come out, the file scales and normalises itself.")
    else:
        steps.append(
            f'Scale each row, normalise the window ("{scaling["normalize"]}"), and undo both with the answer. The '
            "constants are in the metadata of the file, in its group `scaling`."
        )
    if about["io"] != "float32":
        steps.append("Turn values into integers, `round(x / scale) + zero_point` of the tensor, and the answer back.")
    steps.append(text(about["state"]["means"]))
    listed = "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))
    return f"## What the host does\n\n{listed}\n\n`run.py` does all of it."


def _cost(built: Built) -> str:
    cost, about = built.cost, built.about
    call = "row" if about["state"]["kind"] == "streaming" else "forecast"
    rows = [
        ["what", "how much", "unit"],
        ["file", f"{cost['file_bytes']:,}", "bytes"],
        ["of it network and scaling", f"{cost['bytes']:,}", "bytes"],
        ["arena, working memory", f"{cost['arena']:,}" if cost["arena"] else "-", "bytes, on TFLite Micro, 64 bits"],
        ["multiply-accumulates", f"{cost['macs']:,}", f"a {call}"],
        ["operators", f"{cost['operators']:,}", "a call"],
    ]
    return f"## Size and cost\n\n{table(rows, numbers=(1,))}"


# --- how to run it, and what to mind ---------------------------------------------------------------------------------


def _limits(built: Built) -> str:
    about, one = built.about, mine(built)[0]
    said = [
        "Windows unlike those that it was compared on may be answered less well"
        + ("; `run.py` says where values lie outside of what training saw." if about["range"] else ".")
    ]
    if one.mae and one.mae.get("naive", np.inf) <= one.mae["file"]:
        said.append(
            f"The naive forecast, the last known value, was as good on these windows or better: MAE "
            f"{number(one.mae['naive'])} against {number(one.mae['file'])}."
        )
    if about["series"]:
        said.append(
            f"The scaling inside is that of the series {code(about['series'])}; another needs a file of its own."
        )
    own = list((about["scaling"] or {}).get("series", []))
    if own:
        said.append(
            f"Each of {len(own):,} series has constants of its own, in the group `scaling.series` of the metadata; the "
            f"C files hold those of {code(own[0])}."
        )
    if about["layout"] == "fused" and about["quantize"] in ("int8", "int16"):
        said.append(
            "On x86 the integer LSTM of LiteRT uses no vector instructions, on Arm it does: a latency of a PC is no "
            "figure of a device. Measure there: `python run.py --bench`."
        )
    if about["layout"] != "step" and about["state"]["kind"] == "streaming":
        said.append(
            "**Builds of TFLite Micro with CMSIS-NN kernels keep no state between calls.** There this file fails "
            "silently: each answer would know one row. Build with the reference kernels, and check `golden.h`."
        )
    if built.cost["arena"]:
        said.append(
            "The arena is that of the reference kernels on 64 bits; a board needs another, and tells it itself."
        )
    else:
        said.append("It was not run on TFLite Micro, so nobody knows its arena.")
    return "## Limits\n\n" + "\n".join(f"- {sentence}" for sentence in said)


def _run(built: Built, c_files: Sequence[str], left_out: Sequence[str]) -> str:
    about = built.about
    names = [tensor["name"] for tensor in about["inputs"]]
    more = " --known known.csv" * ("known" in names) + " --static 1.5,2" * ("static" in names)
    fed = "".join(f", {name}={name}" for name in ("known", "static") if name in names)
    commands = [
        ["pip install numpy ai-edge-litert", "all that a device needs"],
        [f"python run.py rows.csv{more}", "a header and rows in original units, the oldest first"],
        [f"sensor | python run.py - --stream --json{more}", "a forecast for every row that comes"],
        ["python run.py --describe", "what the file wants"],
        ["python run.py --bench", "how fast it answers here"],
    ]
    width = max(len(command) for command, _ in commands)
    lines = [
        "## How to run it",
        "At a prompt, on a Raspberry Pi or a PC:",
        block("sh", "\n".join(f"{command:{width}}  # {means}" for command, means in commands)),
        "In a Python program:",
        block(
            "python",
            f'import run\n\nforecast = run.load("model.tflite").predict(rows{fed})\nforecast.values, forecast.flags',
        ),
    ]
    if c_files:
        c = "".join(f"{given}, " for name, given in (("known", "known"), ("static", "statics")) if name in names)
        stream = about["layout"] != "step" and about["state"]["kind"] == "streaming"
        rows = (
            "float row[fm::kFeatures];  // one row,"
            if stream
            else "float rows[fm::kRows * fm::kFeatures];  // a window,"
        )
        lines += [
            f"On a micro-controller, with TFLite Micro and {', '.join(map(code, c_files))}:",
            block(
                "cpp",
                "namespace fm = forecast_model;  // the comment at the top of model.h holds start() and forecast()\n"
                f"{rows} in original units\n"
                "float values[fm::kForecastSize];\n"
                "Interpreter* interpreter = start();\n"
                f"bool fine = forecast(*interpreter, {'row' if stream else 'rows'}, {c}values);\n"
                "// golden.h holds windows with their answers: check once that your board gives them, too",
            ),
        ]
    lines += [f"Left out: {text(why)}" for why in left_out]
    return "\n\n".join(lines)
