"""A Keras network as a .tflite file that gives the same answers, or an error and no file.

    Subject -> candidates (layouts) -> choose -> graft float operations -> metadata -> compare -> Built

The comparison runs the file itself, through `forecast/edge.py`, as a device would.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import ConfigError, ExportError

from . import assemble, cost, flatbuffer, intervals, measure, parity, runtimes
from .candidates import INTEGERS, NO_RECURRENCE, Candidate, candidates, why_not
from .correction import correct
from .options import ExportSpec
from .parity import Comparison
from .subject import Subject

Say = Callable[[str], None]


@dataclass
class Built:
    """A file that passed, in memory, and all that is known of it.

    Attributes:
        data: The file.
        about: Its metadata.
        compared: On each runtime, beside Keras; the float file, too.
        tried: One row a layout: what it measured, or why it does not apply.
        why: Why this layout.
        log: What was repaired.
        cost: Bytes, arena, multiply-accumulates, operators.
        shown: Held-out windows with forecasts of Keras and of the file, for pictures and golden values.
        intervals: How often they held the truth, beside those of the network; empty where the file has none.
        left_out: What the file lacks, and why.
    """

    data: bytes
    about: dict[str, Any]
    compared: list[Comparison]
    tried: list[dict[str, Any]]
    why: str
    log: list[str]
    cost: dict[str, Any]
    shown: dict[str, Any] = field(default_factory=dict, repr=False)
    intervals: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain data."""
        return {
            "file": {name: self.about[name] for name in ("layout", "quantize", "io", "state", "digest", "versions")},
            "network": {name: self.about[name] for name in ("name", "model", "lookback", "horizon", "targets", "unit")},
            "why": self.why,
            "tried": self.tried,
            "cost": self.cost,
            "held_out": {"part": self.shown["part"], "windows": self.shown["windows"]},
            "compared": [one.to_dict() for one in self.compared],
            "intervals": self.intervals,
            "repairs": self.log,
            "left_out": self.left_out,
        }


def build(subject: Subject, spec: ExportSpec, say: Say = lambda text: None) -> Built:
    """Converts, compares and returns a file.

    Raises:
        ExportError: No layout applies, the converter refused, or the file drifted from Keras.
        ConfigError: Options that exclude each other.
    """
    _refuse_conflicts(subject, spec)
    layouts, tried = _layouts(subject, spec)
    inside = subject.scaling is not None and spec.io != "int8" and layouts != [["step"]]
    around = assemble.around(subject, spec.state == "streaming") if inside else {}
    for number, some in enumerate(layouts):
        wanted = [(layout, quantize) for layout in some for quantize in dict.fromkeys([spec.quantize, "float32"])]
        say(f"converting {', '.join(f'{layout} {quantize}' for layout, quantize in wanted)}")
        with tempfile.TemporaryDirectory(prefix="forecast-export-") as folder:
            streaming = spec.state == "streaming"
            made, ends = candidates(subject.core, wanted, subject.calibration, Path(folder), streaming, around)
        try:
            return _chosen(subject, spec, made, ends, tried, say)
        except ExportError as error:
            if number + 1 == len(layouts):
                raise
            say(str(error).partition(" Try ")[0])
    raise RuntimeError("there is always a layout to try")


def _refuse_conflicts(subject: Subject, spec: ExportSpec) -> None:
    if spec.io == "int8" and spec.quantize not in INTEGERS:
        raise ConfigError(
            f'`io="int8"` leaves an integer core, so `quantize` must be "int8" or "int16". Received: {spec.quantize!r}'
        )
    if spec.state == "streaming":
        normalize = subject.scaling["normalize"] if subject.scaling else "none"
        if normalize != "none":
            raise ExportError(
                'A stream has no window to normalise by, so streaming needs a network trained with normalize="none". '
                f'Received: normalize="{normalize}". Train it so, or choose state="windowed".'
            )


def _layouts(subject: Subject, spec: ExportSpec) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Returns the layouts to convert, first and where all of those drift, and why others do not apply."""
    streaming = spec.state == "streaming"
    asked = ["fused", "step", "unrolled"] if spec.layout == "auto" else [spec.layout]
    reasons = {layout: why_not(layout, subject.core, spec.quantize, streaming) for layout in asked}
    if spec.io == "float32" and subject.scaling is not None and reasons.get("step") == "":
        reasons["step"] = "a step sees one row, so the host scales the window; leave io out, or choose io=int8"
    able = [layout for layout in asked if not reasons[layout]]
    tried = [{"layout": layout, "result": f"does not apply: {reason}"} for layout, reason in reasons.items() if reason]
    if not able:
        if set(reasons.values()) == {NO_RECURRENCE} and not streaming:
            return [["unrolled"]], []  # a network without recurrent layers is one graph in any layout
        said = "; ".join(f"{layout}: {reason}" for layout, reason in reasons.items())
        others = {"fused": 'layout="unrolled" or "step"', "step": 'layout="unrolled"', "unrolled": 'layout="fused"'}
        advice = f"Choose {others[spec.layout]}." if spec.layout != "auto" else 'Choose state="windowed".'
        raise ExportError(f"The network must suit the layout. Received: {said}. {advice}")
    first = [
        layout for layout in able if layout in (("fused", "unrolled") if spec.device == "pi" else ("fused", "step"))
    ]
    later = [layout for layout in able if layout not in first]
    return [some for some in (first, later) if some], tried


def _chosen(
    subject: Subject,
    spec: ExportSpec,
    made: Mapping[tuple[str, str], Candidate | ExportError],
    ends: Mapping[str, bytes],
    tried: list[dict[str, Any]],
    say: Say,
) -> Built:
    """Measures every candidate, takes the best, and compares the whole file."""
    measured: list[tuple[dict[str, Any], Candidate]] = []
    refusals: list[ExportError] = []
    floats = {}
    for (layout, quantize), one in made.items():
        if quantize != spec.quantize:
            floats[layout] = one
            continue
        try:
            if isinstance(one, ExportError):
                raise one
            correct(one, subject.core, subject.calibration)
            row = _measured(subject, spec, one)
        except ExportError as error:  # of the converter, or of a runtime
            tried.append({"layout": layout, "result": f"refused: {error}"})
            refusals.append(error)
            continue
        tried.append(row)
        measured.append((row, one))
    if not measured:
        raise refusals[0]
    key = "p50_us" if spec.device == "pi" else "bytes"
    measured.sort(key=lambda pair: pair[0][key])
    passing = [pair for pair in measured if pair[0]["result"] == "passes"]
    if not passing:
        drifts = ", ".join(f"{row['core_error']:.3g} ({row['layout']})" for row in tried if "core_error" in row)
        raise ExportError(
            f"A file must give the answers of Keras. Received: as {spec.quantize} the core's error is {drifts} of its "
            f"own deviation (at most {spec.max_core_error:g}). {_next(spec, tried, subject)}"
        )
    for number, (row, one) in enumerate(passing):
        why = _why(spec, one, tried, key)
        say(f"{why}: {row['bytes']:,} bytes for the core")
        try:
            return _compared(subject, spec, one, floats.get(one.layout), ends, tried, why, say)
        except ExportError as error:
            if number + 1 == len(passing):
                raise
            row["result"] = str(error).partition(" Try ")[0]
            say(row["result"])
    raise RuntimeError("the last layout returns or raises")


def _measured(subject: Subject, spec: ExportSpec, candidate: Candidate) -> dict[str, Any]:
    """Returns what a core measures by itself; an ExportError where LiteRT does not take it."""
    data = candidate.data()
    row: dict[str, Any] = {"layout": candidate.layout, "bytes": len(data)}
    row["core_error"] = measure.core_alone(subject, candidate, data, runtimes.LiteRT(data))[0]
    if spec.device == "pi":
        row["p50_us"] = measure.latency(data, candidate.kind, subject)
    row["result"] = "passes" if row["core_error"] <= spec.max_core_error else "drifts from Keras"
    return row


def _why(spec: ExportSpec, candidate: Candidate, tried: list[dict[str, Any]], key: str) -> str:
    """Returns why this layout was taken."""
    others = [row for row in tried if row["layout"] != candidate.layout]
    if spec.layout != "auto":
        return f"{candidate.layout} was asked for"
    if all("does not apply" in str(row["result"]) for row in others):
        return f"{candidate.layout} is the only layout that applies"
    best = "fastest on this machine" if key == "p50_us" else "smallest"
    return f"{candidate.layout} is the {best} that stays true"


def _compared(
    subject: Subject,
    spec: ExportSpec,
    candidate: Candidate,
    floats: Candidate | ExportError | None,
    ends: Mapping[str, bytes],
    tried: list[dict[str, Any]],
    why: str,
    say: Say,
) -> Built:
    held = subject.held_out
    model, where = assemble.assembled(candidate, spec, ends)
    bare = len(flatbuffer.write(model))
    data, about = assemble.with_metadata(subject, spec, candidate, model, where)
    say(f"comparing {len(held.y_pred)} held-out windows with Keras")
    compared, y_file = [], held.y_pred
    if isinstance(floats, Candidate):
        whole = assemble.with_metadata(subject, spec, floats, *assemble.assembled(floats, spec, ends))
        compared.append(measure.on_litert(subject, floats, *whole)[0])
    one, y_file = measure.on_litert(subject, candidate, data, about)
    compared.append(one)
    arena = None
    if candidate.quantize in ("float32", *INTEGERS) and runtimes.micro_installed():  # it has no other kernels
        try:
            micro, arena = measure.on_micro(subject, candidate, data, about)
            compared.append(micro)
        except ExportError as error:
            tried.append({"layout": candidate.layout, "result": f"not on TFLite Micro: {error}"})
    wrong = parity.faults(
        compared[-2:] if arena is not None else compared[-1:], spec.max_degradation, spec.max_core_error
    )
    if wrong:
        raise ExportError(
            f"A file must give the answers of Keras. Received from {candidate.name}: {'; '.join(wrong)}. "
            f"{_next(spec, tried, subject)}"
        )
    learned, left_out = intervals.learned(subject, data)
    if learned is not None:
        data, about = assemble.with_metadata(subject, spec, candidate, model, where, learned)
    spent: dict[str, Any] = {"bytes": bare, "file_bytes": len(data), "arena": arena, **cost.cost(flatbuffer.read(data))}
    if candidate.kind == "step":
        spent["macs"] *= about["lookback"] if spec.state == "windowed" else 1
    few = np.linspace(0, len(y_file) - 1, min(len(y_file), 4)).astype(int)
    shown = {
        "part": held.part,
        "windows": len(held.y_pred),
        "raw": held.raw,
        "y_pred": held.y_pred,
        "y_file": y_file,
        "y_true": held.y_true,
        "naive": held.naive,
        "few": few,
    }
    held_truth: dict[str, Any] = {}
    if learned is not None:
        levels = intervals.counted(subject, data, learned["levels"])
        held_truth = {"windows": learned["windows"], "levels": levels}
    return Built(data, about, compared, tried, why, candidate.log, spent, shown, held_truth, left_out)


def _next(spec: ExportSpec, tried: list[dict[str, Any]], subject: Subject) -> str:
    """Returns what to try next."""
    layouts = [name for name in ("unrolled", "step") if name not in {row["layout"] for row in tried}]
    options = [f'layout="{name}"' for name in layouts if spec.state == "windowed" or name == "step"]
    finer = {"int8": ["int16", "dynamic"], "int16": ["dynamic"], "dynamic": ["float16"], "float16": ["float32"]}
    options += [f'quantize="{name}"' for name in finer.get(spec.quantize, [])]
    small = spec.quantize in INTEGERS and subject.scaling is not None and subject.scaling["normalize"] == "last"
    larger = ' Windows with larger signals lose less: train with normalize="mean_std".' if small else ""
    return (
        f"Try {', '.join([*options, 'or a larger max_core_error or max_degradation, if that is good enough'])}.{larger}"
    )
