"""Hands graphs to TensorFlow's converter in a process of its own, and turns its death into a sentence.

    tf.function, samples -> SavedModel + samples.npz -> [ _child.py ] -> .tflite bytes, or why not

Tracing happens here, where layers of the user's own exist; only the conversion, which may die, happens there.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import ExportError

CHILD = Path(__file__).with_name("_child.py")
TIMEOUT = 1800  # seconds; an unrolled network of many steps takes minutes


@dataclass(frozen=True)
class Graph:
    """What the converter is asked for.

    Attributes:
        name: What messages call it, such as "fused int8".
        function: A tf.function with an input signature of named tensors.
        variables: Every variable that it reads: what is not tracked becomes NaN, silently.
        quantize: "float32", "float16", "dynamic", "int8" or "int16".
        samples: Calibration: by input, `(samples, *shape of the input)`.
    """

    name: str
    function: Any
    variables: Sequence[Any]
    quantize: str = "float32"
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)


def convert(graphs: Mapping[Any, Graph], folder: Path) -> dict[Any, bytes | ExportError]:
    """Returns the .tflite bytes of each graph, or the error that says why there are none.

    Args:
        graphs: By any key.
        folder: For temporary files.
    """
    jobs = {key: _write_job(graph, Path(tempfile.mkdtemp(dir=folder))) for key, graph in graphs.items()}
    todo = list(jobs)
    results: dict[Any, bytes | ExportError] = {}
    while todo:
        died = _run_child([jobs[key] for key in todo], folder)
        while todo and (result := _result(graphs[todo[0]], jobs[todo[0]])) is not None:
            results[todo.pop(0)] = result
        if todo:  # it died at this one; those after it have not begun
            key = todo.pop(0)
            results[key] = ExportError(
                f"The converter must take the {graphs[key].name} network. Received: its process {died}."
            )
    return results


def _write_job(graph: Graph, folder: Path) -> dict[str, str]:
    import tensorflow as tf

    concrete = graph.function.get_concrete_function()
    module = tf.Module()
    # Those that it reads: the state of a random generator that nobody asks would become an operator.
    read = {id(handle) for handle in concrete.captured_inputs}
    module.variables_ = [variable for variable in graph.variables if id(variable.handle) in read]
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=concrete)
    if graph.samples:
        arrays: dict[str, Any] = dict(graph.samples)
        np.savez(folder / "samples.npz", **arrays)
    return {
        "saved_model": str(folder / "saved_model"),
        "quantize": graph.quantize,
        "samples": str(folder / "samples.npz"),
        "out": str(folder / "model.tflite"),
    }


def _run_child(jobs: list[dict[str, str]], folder: Path) -> str:
    """Returns how the process died; nothing where it did not."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs), encoding="utf-8")
    settings = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        run = subprocess.run(  # noqa: S603  (our own file, no shell)
            [sys.executable, "-P", "-W", "ignore", str(CHILD), str(path)],
            env=os.environ | settings,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"was stopped after {TIMEOUT // 60} minutes"
    if run.returncode == 0:
        return ""
    said = run.stderr.decode(errors="replace").strip().splitlines()
    how = f"died of {signal.Signals(-run.returncode).name}" if run.returncode < 0 else f"exited {run.returncode}"
    return how + (f", after {said[-1].strip()!r}" if said and run.returncode > 0 else "")


def _result(graph: Graph, job: dict[str, str]) -> bytes | ExportError | None:
    """Returns what one job led to; None where it was not done."""
    out = Path(job["out"])
    refusal = out.with_suffix(".refused")
    if out.exists():
        return out.read_bytes()
    if refusal.exists():
        return _refused(graph, refusal.read_text(encoding="utf-8"))
    return None


def _refused(graph: Graph, text: str) -> ExportError:
    """Returns what the converter said as a sentence that names the layer, where it tells the operator."""
    left = {found for line in text.splitlines() for found in re.findall(r'"tf\.(\w+)"\(', line)}
    where = _layers_of(graph, left)
    if where:
        return ExportError(
            f"Every layer must consist of operators that LiteRT knows. Received: {', '.join(where)}. Write the layer "
            "with other operations, or leave it out."
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line] or lines
    return ExportError(f"The converter must take the {graph.name} network. Received: {telling[0][:300]}")


def _layers_of(graph: Graph, operators: set[str]) -> list[str]:
    """Returns each operator with the layer that it comes from, such as "Erfinv in layer 'my_layer'"."""
    found = graph.function.get_concrete_function().graph.get_operations()
    named = [(op.type, op.name.rpartition("/")[0]) for op in found if op.type in operators and "/" in op.name]
    return sorted({f"{kind} in layer {layer!r}" for kind, layer in named})
