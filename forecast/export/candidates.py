"""One core in one layout, converted, repaired and ready to run: what `auto` chooses among.

core -> layout.graph -> [ converter ] -> repairs -> ends -> Candidate
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import DataError, ExportError

from ..layers.loops import recurrent_layers
from . import checks, flatbuffer, graft, repairs
from .converter import Graph, convert
from .layouts import fused, step, unrolled
from .trace import Core

LAYOUTS = {"fused": fused, "unrolled": unrolled, "step": step}
INTEGERS = ("int8", "int16")
NO_RECURRENCE = "the network has no recurrent layer"
FEWEST_WINDOWS = fused.BATCHES[-1]


@dataclass
class Candidate:
    """A converted core.

    Attributes:
        layout: "fused", "unrolled" or "step".
        quantize: "float32", "float16", "dynamic", "int8" or "int16".
        model: The core as a `ModelT`, with float ends but for the layout "step".
        kind: How a runtime feeds it: "window", "step" or "streaming".
        log: What was repaired.
    """

    layout: str
    quantize: str
    model: Any
    kind: str
    log: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What tables and messages call it."""
        return f"{self.layout} {self.quantize}"

    def data(self) -> bytes:
        """Returns the core alone, as a file."""
        return flatbuffer.write(self.model)


def why_not(layout: str, core: Core, quantize: str, streaming: bool) -> str:
    """Returns why a core cannot take a layout; nothing where it can."""
    if streaming and layout == "unrolled":
        return "an unrolled file keeps no state"
    if layout == "fused" and quantize == "int16":
        return "the operator takes 16-bit activations with 8-bit weights in no released converter"
    if not recurrent_layers(core.model):
        return NO_RECURRENCE
    reason = str(LAYOUTS[layout].why_not(core))
    if not reason and streaming and layout == "fused":
        reason = step.why_not(core)  # it must take its window row by row, too
    return reason


def candidates(
    core: Core,
    wanted: Sequence[tuple[str, str]],
    calibration: Mapping[str, np.ndarray],
    folder: Path,
    streaming: bool = False,
    more: Mapping[str, Graph] | None = None,
) -> tuple[dict[tuple[str, str], Candidate | ExportError], dict[str, bytes]]:
    """Converts a core in several ways, in one process.

    Args:
        core: The network.
        wanted: Layouts and quantisations.
        calibration: Windows that the core saw in training, by input `(N, ...)`, in random order.
        folder: For temporary files.
        streaming: Whether the file is shown one row a call.
        more: Other graphs to convert at the same time, by name.

    Returns:
        For each that is wanted the candidate, or why there is none; and the other graphs' files.

    Raises:
        DataError: Too few calibration windows, or some that are no numbers.
    """
    integer = any(quantize in INTEGERS for _, quantize in wanted)
    if integer:
        _refuse_bad(calibration)
    if ("fused", "int8") in wanted:  # whose cells are followed in floats
        wanted = list(dict.fromkeys([*wanted, ("fused", "float32")]))
    results: dict[tuple[str, str], Candidate | ExportError] = {}
    graphs: dict[Any, Graph] = dict(more or {})
    batch = fused.batch_size(core, len(calibration["past"])) if integer else 1
    for layout, quantize in wanted:
        try:
            if layout == "fused":
                size = batch if quantize == "int8" else 1
                graphs[layout, quantize] = fused.graph(core, quantize, calibration, size, streaming)
            else:
                graphs[layout, quantize] = LAYOUTS[layout].graph(core, quantize, calibration)
        except ExportError as error:
            results[layout, quantize] = error
    files = convert(graphs, folder)
    for key in sorted(wanted, key=lambda one: one[1] != "float32"):  # integers are measured by floats
        if key in results:
            continue
        data = files[key]
        try:
            if isinstance(data, ExportError):
                raise data
            floats = results.get(("fused", "float32")) if key == ("fused", "int8") else None
            results[key] = _finished(*key, data, batch, streaming, floats, calibration)
        except ExportError as error:
            results[key] = error
    others: dict[str, bytes] = {}
    for name in more or {}:
        data = files[name]
        if isinstance(data, ExportError):
            raise data
        others[name] = data
    return results, others


def _refuse_bad(calibration: Mapping[str, np.ndarray]) -> None:
    count = len(calibration["past"])
    if count < FEWEST_WINDOWS:
        raise DataError(
            f"Calibration needs at least {FEWEST_WINDOWS} windows besides those to compare on. Received: {count}. Give "
            'more, or choose quantize="float32".'
        )
    for name, values in calibration.items():
        bad = ~np.isfinite(values).reshape(count, -1).all(axis=1)
        if bad.any():
            raise DataError(
                f"Calibration windows hold finite numbers. Received: {int(bad.sum())} of {count} windows of {name!r} "
                "with NaN or infinity. Leave them out, or fill the gaps."
            )


def _finished(
    layout: str,
    quantize: str,
    data: bytes,
    batch: int,
    streaming: bool,
    floats: Candidate | ExportError | None,
    calibration: Mapping[str, np.ndarray],
) -> Candidate:
    model = flatbuffer.read(data)
    checks.operators(model)
    log: list[str] = []
    if layout == "fused":
        log += repairs.cell_clip(model) or ["cell clip 10 -> none, before integers were fitted"]
        if quantize == "int8":
            if isinstance(floats, Candidate) and not streaming:  # a stream is calibrated after each row
                log += repairs.cell_peak(model, floats.model, calibration)
            log += repairs.cell_scale(model) + repairs.state_scale(model) + repairs.batch(model, batch)
    if quantize in INTEGERS:
        log += repairs.moved_scale(model)
    inputs, outputs = graft.named(model)
    order = sorted(inputs, key=lambda name: (name.startswith("state"), _number(name)))
    results = sorted(outputs, key=lambda name: (name.startswith("new_state"), _number(name)))
    graft.set_ends(model, {name: inputs[name] for name in order}, {name: outputs[name] for name in results})
    flatbuffer.slim(model)
    if layout == "step" and quantize in INTEGERS:
        model = graft.integer_ends(model)
        graph = model.subgraphs[0]
        log += step.tie_states(model, list(graph.inputs[1:]), list(graph.outputs[1:]))
        flatbuffer.drop_unused(model)
    elif quantize in INTEGERS:
        checks.integers(model, "float32")
    kind = "step" if layout == "step" else "streaming" if streaming else "window"
    return Candidate(layout, quantize, model, kind, log)


def _number(name: str) -> int:
    tail = name.rpartition("_")[2]
    return int(tail) if tail.isdigit() else -1
