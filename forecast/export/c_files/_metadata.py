"""Writes metadata.h: what a device must know of an exported file, and the arithmetic on both sides of it.

    rows, raw units - prepare - input tensor - [ the file ] - output tensor - finish - forecast, raw units

The arithmetic is one fixed text, below. Files differ in constants alone, so a test of a few files tests the text for
all. Where the scaling lies inside the file, the constants are those of doing nothing.
"""

import numpy as np

from ._arithmetic import ARITHMETIC, INTERVALS, KNOWN, OUTSIDE, STATES, STATIC
from ._shape import TYPES, File
from ._text import array, comment, number, string


def metadata_h(file: File, arena: int | None, model_bytes: int) -> str:
    """Returns metadata.h of a file; `arena` is how many bytes TFLite Micro was seen to need, if it was."""
    parts = [_head(file), _sizes(file), _arena(arena, model_bytes), _tensors(file), _scaling(file), ARITHMETIC]
    if "known" in file.places:
        known = file.input("known")
        parts.append(_integers(kKnownRows=known.size // known.shape[-1], kKnownColumns=known.shape[-1]))
        parts.append(KNOWN)
    if "static" in file.places:
        parts += [_integers(kStatics=file.input("static").size), STATIC]
    if file.host and file.about["range"] is not None:
        low, high = (file.about["range"][side] for side in ("low", "high"))
        seen = array("float", "kSeenLow", low, "What the network saw in training, column by column.")
        parts += [f"{seen}\n{array('float', 'kSeenHigh', high)}", OUTSIDE]
    if intervals := file.about.get("intervals"):
        levels, usual = intervals["levels"], file.about["scaling"]["usual"]
        offsets = {name: np.ravel(intervals[side]).tolist() for name, side in (("kLow", "low"), ("kHigh", "high"))}
        lines = [
            _integers(kLevels=len(levels)),
            array("float", "kLevelPercent", levels, "Intervals, learned from errors of this very file."),
            *(array("float", f"{name}Offsets", values) for name, values in offsets.items()),
            array("float", "kUsual", usual, "How far each target moves from row to row, and the least share of it."),
            f"inline constexpr float kFade = {number(intervals['fade'])};  // of a change beside the one after it",
            f"inline constexpr float kQuiet = {number(intervals['quiet'])};",
        ]
        parts += ["\n".join(lines), INTERVALS]
    if file.step:
        ends = [0]
        for state in file.states:
            ends.append(ends[-1] + state.bytes)
        at = array(
            "int", "kStateAt", ends, "State s is input 1 + s and output 1 + s; in a buffer of all it begins here."
        )
        parts += [_integers(kStates=len(file.states), kStateBytes=ends[-1]) + f"\n{at}", STATES]
    return "\n\n".join([*parts, "}  // namespace forecast_model\n"])


def _integers(**values: int) -> str:
    return "\n".join(f"inline constexpr int {name} = {value};" for name, value in values.items())


def _head(file: File) -> str:
    about = file.about
    if file.host:
        where = "The host scales: prepare() before the file runs and finish() after it do all of it."
    elif about["scaling"] is not None:
        where = "The file scales: raw units go into it and come out of it, and prepare() and finish() only copy"
    else:
        where = "The file takes and answers what the Keras model did; nothing is known of any scaling around it, so "
        where += "prepare() and finish() only copy"
    lines = [
        f"What a device must know of the model {about['name'] or about['model']!r}, and the arithmetic around it.",
        "",
        "A row has these columns, in this order:" if about["columns"] else "A row is what the Keras model took as one.",
        *(
            f"{n}  {column['name']} ({column['kind']}{', level' if column['level'] else ''}): {column['means']}"
            for n, column in enumerate(about["columns"])
        ),
        "",
        *_rows(file),
        f"A forecast is in {about['unit'] or 'the units of the targets'}, in the order step, target"
        f"{', quantile' if about['quantiles'] else ''}.",
        "",
        where if file.host else f"{where} (and quantise, where a tensor is of integers).",
        "",
        about["state"]["means"],
        *_contract(file),
        "",
        f"Layout {about['layout']}, {about['quantize']}, made with "
        f"{', '.join(f'{name} {version}' for name, version in about['versions'].items())}.",
        "C++17; no heap, no exceptions, no double.",
    ]
    return f"{comment(*lines)}\n{INCLUDES}"


INCLUDES = """\
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace forecast_model {"""


def _rows(file: File) -> list[str]:
    dates, missing = file.about["dates"] or {}, file.about["missing"]
    calendar, freq = (dates.get(key) for key in ("calendar", "freq"))
    when = f"They are the sessions of {calendar}" if calendar else f"Their frequency is {freq!r}" if freq else ""
    lines = [f"Rows lie {dates['seconds']:g} seconds apart." if dates.get("seconds") else ""]
    lines += [f"{when}, in the time zone {dates.get('zone') or 'UTC'}." if when else ""]
    if missing:
        lines.append(
            f"A missing value becomes the {missing['policy']} known one, at most {missing['limit']} rows in a row; "
            "beyond that there is no forecast."
        )
    return [line for line in lines if line]


def _contract(file: File) -> list[str]:
    if file.step:
        return [
            "The host holds the state: start_states() before each window, then all rows one by one, and each new state "
            "goes back in as it came out. The answer to the last row is the forecast."
        ]
    if file.streaming:
        return [
            "The file keeps its state: one row a call, oldest first, and Reset() of the interpreter only before the "
            f"first row of a series. The first {file.about['lookback']} rows only fill the state.",
            "WARNING: builds of TFLite Micro with CMSIS-NN kernels keep no state between calls. There this file fails "
            "silently: every forecast knows one row. golden.h tells; the answer is an export that is not streaming.",
        ]
    return ["Reset() of the interpreter comes before EVERY window: what ran before may leave its state behind."]


def _sizes(file: File) -> str:
    about = file.about
    quantiles, seconds = about["quantiles"], (about["dates"] or {}).get("seconds")
    version = about["versions"].get("keras-forecast") or ""
    lines = [
        f"inline constexpr char kName[] = {string(about['name'])};",
        f"inline constexpr char kVersion[] = {string(version)};  // of keras-forecast",
        f"inline constexpr char kDigest[] = {string(about['digest'])};  // of the file",
        f"inline constexpr int kFormat = {int(about['format'])};  // of the metadata",
        f"inline constexpr int kLookback = {int(about['lookback'])};  // rows that a forecast rests on",
        f"inline constexpr int kRows = {file.rows};  // rows that prepare() takes",
        f"inline constexpr int kGap = {int(about['gap'])};  // rows skipped before the first forecast",
        f"inline constexpr int kHorizon = {int(about['horizon'])};  // rows that are forecast",
        f"inline constexpr int kFeatures = {file.features};  // columns of a row; the first are the targets",
        f"inline constexpr int kTargets = {len(about['targets'])};",
        f"inline constexpr int kQuantiles = {len(quantiles)};  // 0: one value a step and target",
        f"inline constexpr int kMiddle = {list(quantiles).index(0.5) if 0.5 in quantiles else len(quantiles) // 2};"
        "  // which quantile is the forecast",
        f"inline constexpr int kForecastSize = {file.forecasts};  // values that finish() writes",
    ]
    if seconds:
        lines.append(f"inline constexpr float kSampleSeconds = {number(seconds)};  // between rows")
    lines.append(f"inline constexpr char kUnit[] = {string(about['unit'] or '')};")
    lines.append(array("const char*", "kTargetNames", about["targets"]))
    if about["columns"]:
        lines.append(array("const char*", "kColumnNames", [column["name"] for column in about["columns"]]))
    if quantiles:
        lines.append(array("float", "kQuantileLevels", quantiles))
    return "\n".join(lines)


def _arena(arena: int | None, model_bytes: int) -> str:
    size = "inline constexpr std::size_t"
    if arena is None:
        estimate = -(-(16384 + 2 * model_bytes) // 1024) * 1024
        return "\n".join(
            [
                comment(
                    "Nobody has measured the arena. This is a generous guess; raise it where AllocateTensors() fails, "
                    "and lower it to what arena_used_bytes() of the interpreter says, and a margin."
                ),
                f"{size} kArenaEstimateBytes = {estimate};",
            ]
        )
    margin = max(1024, arena // 4)
    margin += -(arena + margin) % 16
    return "\n".join(
        [
            comment(
                "The arena that TFLite Micro used with its reference kernels on a machine of 64 bits. Shorter pointers "
                "need less, optimised kernels may need scratch memory: hence the margin. arena_used_bytes() of the "
                "interpreter says what your board uses."
            ),
            f"{size} kArenaUsedBytes = {arena};",
            f"{size} kArenaMarginBytes = {margin};",
            f"{size} kArenaBytes = kArenaUsedBytes + kArenaMarginBytes;",
        ]
    )


def _tensors(file: File) -> str:
    lines = [
        "enum class Type { kFloat32, kInt8, kInt16 };\n",
        "// A tensor; q = round(x / scale) + zero_point where it is of integers.",
        "struct Tensor {\n  Type type;\n  int size;\n  float scale;\n  int zero_point;\n};\n",
    ]
    for name, tensors in (("kInputs", file.inputs), ("kOutputs", file.outputs)):
        lines.append(f"inline constexpr Tensor {name}[{len(tensors)}] = {{")
        for tensor in tensors:
            scale = number(tensor.scale, f"The scale of {tensor.name!r}")
            lines.append(comment(f"{tensor.name} {list(tensor.shape)}", indent="    "))
            lines.append(f"    {{Type::{TYPES[tensor.dtype][1]}, {tensor.size}, {scale}, {int(tensor.zero_point)}}},")
        lines.append("};")
    lines.append("\n// Which input is which, and of what its numbers are.")
    for name, place in file.places.items():
        title = name.title()
        lines.append(f"inline constexpr int k{title} = {place};\nusing {title} = {file.input(name).kind};")
    lines.append(f"inline constexpr int kY = {file.y_place};\nusing Y = {file.y.kind};")
    return "\n".join(lines)


def _scaling(file: File) -> str:
    scaling, names = file.scaling, [column["name"] for column in file.about["columns"]]
    clips = scaling["clip_low"] is not None or scaling["clip_high"] is not None
    low, high = (
        [sign * float("inf") if v is None else v for v in scaling[side] or [None] * file.features]
        for side, sign in (("clip_low", -1), ("clip_high", 1))
    )
    lowest, highest = (
        sign * float("inf") if bound is None else bound
        for bound, sign in zip(scaling.get("bounds") or (None, None), (-1, 1), strict=True)
    )
    normalize = {"last": "kLast", "mean_std": "kMeanStd", "none": "kNone"}[scaling["normalize"]]
    centred = [bool(level) and normalize != "kNone" for level in scaling["levels"]]
    of = f"A constant of the columns {', '.join(map(repr, names))}" if names else "A constant"
    lines = [
        comment(
            "How a raw value v becomes what the network sees: it is clipped, becomes log(1 + v) where kLog1p says so, "
            "and then (v - centre) * factor / spread in columns that are centred on their window, v * factor + shift "
            "in others. finish() goes back, or where the network predicts returns: last raw value * (1 + y * sigma)."
        ),
        "enum class Normalize { kNone, kLast, kMeanStd };",
        f"inline constexpr Normalize kNormalize = Normalize::{normalize};",
        f"inline constexpr bool kPredictsReturns = {'true' if scaling['predict'] == 'return' else 'false'};",
        f"inline constexpr bool kClips = {'true' if clips else 'false'};",
        f"inline constexpr bool kLogs = {'true' if any(scaling['log1p']) else 'false'};",
        f"inline constexpr bool kBounded = {'true' if lowest > -float('inf') or highest < float('inf') else 'false'};",
        f"inline constexpr float kLowest = {number(lowest)};",
        f"inline constexpr float kHighest = {number(highest)};",
        f"inline constexpr float kEpsilon = {number(scaling['epsilon'])};",
        array("float", "kClipLow", low, what=of),
        array("float", "kClipHigh", high, what=of),
        array("bool", "kLog1p", scaling["log1p"]),
        array("bool", "kCentred", centred),
        array("float", "kFactor", scaling["factor"], what=of),
        array("float", "kShift", scaling["shift"], what=of),
        array("float", "kSigma", scaling["sigma"] or [1.0] * len(file.about["targets"]), what=of),
    ]
    if "static" in file.places:
        lines.append(array("float", "kStaticLow", scaling["static_low"]))
        lines.append(array("float", "kStaticRange", scaling["static_range"]))
    return "\n".join(lines)
