"""The part of report.md that compares: the file, Keras, what happened; and says what was tried and repaired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.intervals import level_name
from ..text import number
from .markdown import code, table, text

if TYPE_CHECKING:
    from .parity import Comparison
    from .tflite import Built

_REPAIRS = {
    "cell clip": "The converter lets the cells of an LSTM clip; Keras clips nothing.",
    "cell peak": "Calibration sees a cell at the end of a window, not its largest value inside.",
    "cell scale": "Outside of this range, runtimes disagree about the cells of an integer LSTM.",
    "moved scale": "Reversing a sequence computes nothing, so its scale is the same before and after; one that is read "
    "on another scale is brought to it by an operator of its own.",
    "state scale": "Old and new values of a state are the same numbers, so they need the same scale.",
    "calibrated with one batch": "The converter never resets an LSTM while it looks at training windows, so it was "
    "shown all of them at once, and the file was made to take one.",
}


def parity(built: Built) -> str:
    """Returns the section on differences and errors."""
    shown, about = built.shown, built.about
    rows = [["file", "runtime", "core error", "saturated", "largest difference", "MAE", "of Keras", "of naive"]]
    for one in built.compared:
        largest = max((step["largest"] for step in one.by_step), default=float("nan"))
        errors = [number(one.mae.get(name, float("nan"))) for name in ("file", "keras", "naive")]
        rows.append([one.file, one.runtime, f"{one.core_error:.2%}", f"{one.saturated:.2%}", number(largest), *errors])
    unit = of_unit(built)
    over = ", over all targets" if len(about["targets"]) > 1 else unit
    lines = [
        "## The same answers as Keras, and what happened",
        f"Differences and errors{unit}, on {shown['windows']:,} windows ({text(shown['part'])}). Core error is what "
        "lies between the network alone in the file and in Keras, as a share of how much its answers vary; saturated "
        f"is the share of its inputs that were beyond its integers.",
        table(rows, numbers=range(2, 8)),
        f"By step of the horizon{over}: how far the file is from Keras, and MAE against what happened.",
        table(_steps(built, mine(built)), numbers=range(8)),
    ]
    if len(about["targets"]) > 1:
        apart = np.abs(shown["y_file"] - shown["y_pred"])  # (M, H, K[, Q])
        each = [["target", "mean difference", "largest difference"]]
        each += [
            [code(name), number(float(apart[:, :, k].mean())), number(float(apart[:, :, k].max()))]
            for k, name in enumerate(about["targets"])
        ]
        lines += ["By target, over all steps, each in its own unit.", table(each, numbers=(1, 2))]
    return "\n\n".join([*lines, "![Forecasts of Keras and of the file, and their difference](forecast.png)"])


def intervals(built: Built) -> str:
    """Returns the section on intervals; nothing where the file has none."""
    found = built.intervals
    if not found:
        return ""
    unit = of_unit(built)
    over = ", over all targets" if len(built.about["targets"]) > 1 else ""
    rows = [["level", "held by the file", "by the network", "width of the file", "of the network"]]
    for row in found["levels"]:
        shares = [f"{row[who]:.1f} %" if who in row else "-" for who in ("file", "network")]
        widths = [number(row.get(f"{who}_width", float("nan"))) for who in ("file", "network")]
        rows.append([f"{level_name(row['level'])} %", *shares, *widths])
    lines = [
        "## Intervals",
        f"Learned from {found['windows']:,} forecasts of the file itself on the calibration part of the rows, so they "
        "are as wide as its integers make them.",
    ]
    if found["levels"]:
        values = found["levels"][0]["values"]
        lines.append(
            f"How many of {values:,} true values of the test part they held, and their mean width{unit}{over}. The "
            "network's are those of `predict` in Keras."
        )
        lines.append(table(rows, numbers=range(1, 5)))
    return "\n\n".join(lines)


def mine(built: Built) -> list[Comparison]:
    """Returns how the file itself compares, on each runtime; without the float file that it is measured against."""
    return [one for one in built.compared if one.file == f"{built.about['layout']} {built.about['quantize']}"]


def _steps(built: Built, compared: Sequence[Comparison]) -> list[list[str]]:
    """Returns a table with a row for each step."""
    compared, shown = [one for one in compared if one.by_step], built.shown
    heads = ["step"]
    for one in compared:
        heads += [f"{one.runtime}, mean", "largest"]
    errors = {}
    if shown["y_true"] is not None:
        errors = {"MAE of the file": shown["y_file"], "of Keras": shown["y_pred"], "of naive": shown["naive"]}
        errors = {name: y for name, y in errors.items() if y is not None}
    rows = [[*heads, *errors]]
    for h in range(built.about["horizon"]):
        cells = [str(h + 1)]
        for one in compared:
            cells += [number(one.by_step[h]["mean"]), number(one.by_step[h]["largest"])]
        rows.append(cells + [number(_mae(y[:, h], shown["y_true"][:, h])) for y in errors.values()])
    return rows


def _mae(y: np.ndarray, y_true: np.ndarray) -> float:
    """Returns the MAE of one step, of the middle quantile where there are several; NaN where nothing was observed."""
    point = y[..., y.shape[-1] // 2] if y.ndim > y_true.ndim else y
    there = ~np.isnan(y_true)
    return float(np.abs(point - y_true)[there].mean()) if there.any() else float("nan")


def tried(built: Built) -> str:
    """Returns the section on layouts and repairs."""
    shown = {
        "layout": ("layout", text),
        "result": ("result", text),
        "core_error": ("core error", "{:.2%}".format),
        "bytes": ("bytes", "{:,}".format),
        "p50_us": ("median, us", "{:,}".format),
    }
    there = [key for key in shown if any(key in row for row in built.tried)]
    rows = [[shown[key][0] for key in there]]
    rows += [[shown[key][1](row[key]) if key in row else "-" for key in there] for row in built.tried]
    lines = [f"## What was tried and repaired\n\nThe layout: {text(built.why)}."]
    lines += [table(rows, numbers=range(2, len(there)))] if built.tried else []
    if built.log:
        lines.append("What was repaired in what the converter wrote:")
        lines.append("\n".join(f"- {code(done)}{_in_words(done)}" for done in dict.fromkeys(built.log)))
    else:
        lines.append("Nothing in what the converter wrote needed a repair.")
    return "\n\n".join(lines)


def _in_words(done: str) -> str:
    return next((f": {words}" for start, words in _REPAIRS.items() if done.startswith(start)), "")


def of_unit(built: Built) -> str:
    """Returns ", in dollars", or nothing where nobody said."""
    unit = built.about["unit"]
    return f", in {text(unit)}" if unit else ""
