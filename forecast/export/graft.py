"""Joins graphs end to end: float operations, the integer core, float operations again.

    raw past - [ before ] -+- x - [ core: QUANTIZE - int8 ... - DEQUANTIZE ] - y - [ after ] - forecast
                           +- what `after` needs: last values, deviations ------------+

If the whole were quantised at once, the converter would move QUANTIZE to the front, where raw prices of any level meet
one 8-bit scale; so the core is converted alone, and the rest is put around it afterwards.
"""

import copy
from typing import Any

import numpy as np

from . import flatbuffer


def named(model: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Returns the tensors of a converted graph's inputs and outputs, by the names that its function gave them."""
    signature = model.signatureDefs[0]

    def of(entries: Any) -> dict[str, int]:
        return {entry.name.decode(): int(entry.tensorIndex) for entry in entries}

    return of(signature.inputs), of(signature.outputs)


def set_ends(model: Any, inputs: dict[str, int], outputs: dict[str, int]) -> None:
    """Sets inputs and outputs in this order, under these names."""
    graph = model.subgraphs[0]
    graph.inputs = np.array(list(inputs.values()), np.int32)
    graph.outputs = np.array(list(outputs.values()), np.int32)
    for name, index in [*inputs.items(), *outputs.items()]:
        graph.tensors[index].name = name.encode()


def joined(parts: list[tuple[Any, dict[str, int], dict[str, int]]], inputs: list[str], outputs: list[str]) -> Any:
    """Returns one graph of several that run one after the other.

    Args:
        parts: Models with their inputs and outputs by name. An input takes the output of that name of an earlier part,
            or is an input of the whole.
        inputs: Names of the whole's inputs, in order.
        outputs: Names of its outputs, in order.
    """
    whole, _, _ = copy.deepcopy(parts[0])
    graph = whole.subgraphs[0]
    graph.tensors, graph.operators, whole.operatorCodes = [], [], []
    whole.buffers, whole.metadata, whole.signatureDefs = whole.buffers[:1], None, None
    known: dict[str, int] = {}
    for model, takes, gives in parts:
        part = copy.deepcopy(model)
        place = {index: known[name] for name, index in takes.items() if name in known}
        codes, buffers = len(whole.operatorCodes), len(whole.buffers)
        whole.operatorCodes += part.operatorCodes
        whole.buffers += part.buffers
        for index, tensor in enumerate(part.subgraphs[0].tensors):
            if index not in place:
                place[index] = len(graph.tensors)
                tensor.buffer += buffers
                graph.tensors.append(tensor)
        for op in part.subgraphs[0].operators:
            op.opcodeIndex += codes
            for field in ("inputs", "outputs", "intermediates"):
                if getattr(op, field) is not None:
                    moved = [place[int(i)] if i >= 0 else -1 for i in getattr(op, field)]
                    setattr(op, field, np.array(moved, np.int32))
            graph.operators.append(op)
        known |= {name: place[index] for name, index in {**takes, **gives}.items()}
    set_ends(whole, {name: known[name] for name in inputs}, {name: known[name] for name in outputs})
    return whole


def integer_ends(model: Any) -> Any:
    """Returns a core whose inputs and outputs are integers: without QUANTIZE in front and DEQUANTIZE behind."""
    core = copy.deepcopy(model)
    graph = core.subgraphs[0]
    inputs, outputs = graph.inputs.tolist(), graph.outputs.tolist()
    names = flatbuffer.operators(core)
    dropped = []
    for op, name in zip(graph.operators, names, strict=True):
        if name == "QUANTIZE" and int(op.inputs[0]) in inputs:
            end, inner = int(op.inputs[0]), int(op.outputs[0])
            inputs = [inner if index == end else index for index in inputs]
        elif name == "DEQUANTIZE" and int(op.outputs[0]) in outputs:
            end, inner = int(op.outputs[0]), int(op.inputs[0])
            outputs = [inner if index == end else index for index in outputs]  # an answer may be a state, too
        else:
            continue
        graph.tensors[inner].name = graph.tensors[end].name
        dropped.append(op)
    graph.operators = [op for op in graph.operators if all(op is not one for one in dropped)]
    graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return core
