"""Puts a whole file together: the float operations around a core, and what the file says of itself.

before (scaling, normalising) - core - after (putting back, unscaling)   + metadata, and their digest
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..bundle._files import versions
from . import checks, edges, flatbuffer, graft
from .candidates import INTEGERS, Candidate
from .converter import Graph
from .options import ExportSpec
from .subject import Subject

FORMAT = 1

STATE = {
    "windowed": "A call takes a whole window. Reset the state inside before each call: it survives otherwise.",
    "streaming": "A call takes one row and keeps its state inside; reset it only to begin again. CMSIS-NN builds of "
    "TFLite Micro keep no state: there every call would silently begin anew, so build with the reference kernels.",
    "step": "A call takes one row and the states, and gives new ones: copy them back as they are. Begin a window at "
    "the states' zero points.",
    "step streaming": "A call takes one row and the states, and gives new ones: copy them back as they are, for as "
    "long as the stream goes on. Begin at the states' zero points.",
}


def around(subject: Subject, streaming: bool) -> dict[str, Graph]:
    """Returns the float operations before and after the core, as graphs for the converter."""
    scaling = subject.scaling
    assert scaling is not None  # noqa: S101  (the caller asked)
    shapes = {
        one.name: (1, *one.shape[1:]) if streaming and one.name == "past" else one.shape for one in subject.core.inputs
    }
    specs = [tf.TensorSpec([1, *shape], tf.float32, name=name) for name, shape in shapes.items()]
    before = tf.function(
        lambda *raw: edges.before(scaling, dict(zip(shapes, raw, strict=True))), input_signature=specs, autograph=False
    )
    carried = before.get_concrete_function().structured_outputs
    y = subject.held_out.y_core.shape[1:]
    ends = [tf.TensorSpec([1, *y], tf.float32, name="y")]
    ends += [
        tf.TensorSpec(carried[name].shape, tf.float32, name=name) for name in ("carry", "deviation") if name in carried
    ]
    after = tf.function(
        lambda y, carry=None, deviation=None: {"forecast": edges.after(scaling, y, carry, deviation)},
        input_signature=ends,
        autograph=False,
    )
    return {"before": Graph("scaling", before, []), "after": Graph("unscaling", after, [])}


def assembled(candidate: Candidate, spec: ExportSpec, ends: Mapping[str, bytes]) -> tuple[Any, str]:
    """Returns the whole file as a model, and who scales: "file" or "host"."""
    if candidate.kind == "step" or spec.io == "int8":
        integer = candidate.quantize in INTEGERS
        model = graft.integer_ends(candidate.model) if integer and candidate.kind != "step" else candidate.model
        if integer:
            flatbuffer.drop_unused(model)
            checks.integers(model, candidate.quantize)
        return model, "host"
    if not ends:
        return candidate.model, "file"
    before, after = flatbuffer.read(ends["before"]), flatbuffer.read(ends["after"])
    (b_in, b_out), (a_in, a_out) = graft.named(before), graft.named(after)
    graph = candidate.model.subgraphs[0]
    names = list(b_in)
    core_in = {f"x_{name.decode()}": int(i) for i in graph.inputs for name in [graph.tensors[int(i)].name]}
    order = sorted(names, key=("past", "known", "static").index)
    whole = graft.joined(
        [
            (before, b_in, b_out),
            (candidate.model, core_in, {"y": int(graph.outputs[0])}),
            (after, a_in, a_out),
        ],
        order,
        ["forecast"],
    )
    flatbuffer.slim(whole)
    whole.subgraphs[0].tensors[int(whole.subgraphs[0].outputs[0])].name = b"y"
    checks.operators(whole)
    if candidate.quantize in INTEGERS:
        checks.integers(whole, "float32")
        checks.normalised_first(whole)
    return whole, "file"


def with_metadata(
    subject: Subject,
    spec: ExportSpec,
    candidate: Candidate,
    model: Any,
    where: str,
    intervals: dict[str, Any] | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """Returns the whole file, and what it says of itself."""
    graph = model.subgraphs[0]

    def ends(indices: Any) -> list[dict[str, Any]]:
        tensors = [graph.tensors[int(i)] for i in indices]
        return [{"name": t.name.decode(), "shape": [int(n) for n in t.shape]} for t in tensors]

    scaling = None if subject.scaling is None else {"where": where, **subject.scaling}
    if scaling is not None and subject.per_series:
        scaling["series"] = subject.per_series
    states = ends(graph.inputs)[1:] if candidate.kind == "step" else None
    kind = ("step streaming" if spec.state == "streaming" else "step") if candidate.kind == "step" else spec.state
    about = {
        "format": FORMAT,
        "digest": "",
        "name": subject.about["name"],
        "model": subject.about["model"],
        "versions": versions("ai-edge-litert"),
        **subject.about,
        "layout": candidate.layout,
        "quantize": candidate.quantize,
        "io": flatbuffer.dtype(graph.tensors[int(graph.inputs[0])]),
        "state": {"kind": spec.state, "means": STATE[kind]},
        "inputs": ends(graph.inputs)[:1] if states is not None else ends(graph.inputs),
        "outputs": ends(graph.outputs)[:1] if states is not None else ends(graph.outputs),
        "scaling": scaling,
        "intervals": intervals,
        "step": None if states is None else {"states": [{"shape": s["shape"]} for s in states]},
    }
    return flatbuffer.with_metadata(model, about)
