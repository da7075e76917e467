"""What must hold of every file: which operators it may have, and where the integers begin and end.

    raw - float operations - QUANTIZE - integers only - DEQUANTIZE - float operations - forecast

A list of operators is not enough: with normalisation inside the integer part the list looks the same, and raw prices of
any level meet one 8-bit scale. So the order is checked along the tensors.
"""

from typing import Any

from pipelines.errors import ExportError

from . import flatbuffer

_LOOPS = ("WHILE", "IF", "CALL", "CALL_ONCE")
_FLOATS = ("float32", "float16", "float64")

_LEFT = (
    "The converter leaves some operators in floats, such as those of networks of unlike kinds that share an input. "
    'Choose quantize="float16", or export the members of an ensemble one by one.'
)


def operators(model: Any) -> None:
    """Raises ExportError where a file has a loop, a Flex or a custom operator."""
    for name in flatbuffer.operators(model):
        if name in _LOOPS or name.startswith(("CUSTOM", "FLEX")) or ":" in name:
            raise ExportError(
                f"An exported file holds built-in operators without loops. Received: {name}. A recurrent layer was not "
                'converted, or a layer has no counterpart on LiteRT; choose layout="unrolled", or replace the layer.'
            )


def integers(model: Any, ends: str) -> None:
    """Raises ExportError where a float tensor lies inside the integer part.

    Args:
        model: A whole file.
        ends: "float32" where QUANTIZE and DEQUANTIZE bound the integer part, else the type of its ends.
    """
    graph = model.subgraphs[0]
    names = flatbuffer.operators(model)
    kinds = [flatbuffer.dtype(tensor) for tensor in graph.tensors]
    constant = [flatbuffer.constant(model, n) is not None for n in range(len(graph.tensors))]

    def floats(indices: Any) -> bool:
        return any(kinds[int(i)] in _FLOATS for i in indices if i >= 0 and not constant[int(i)])

    if ends != "float32":
        if {"QUANTIZE", "DEQUANTIZE"} & set(names) and any(floats(op.outputs) for op in graph.operators):
            raise ExportError(f"Every tensor of an integer core is an integer. Received: a float one inside. {_LEFT}")
        for index in [*graph.inputs, *graph.outputs]:
            if kinds[int(index)] != ends:
                raise ExportError(f"Ends of this file are {ends}. Received: {kinds[int(index)]}.")
        return
    integer: set[int] = set()  # computed from what QUANTIZE gave
    finished: set[int] = set()  # computed from what DEQUANTIZE gave
    for op, name in zip(graph.operators, names, strict=True):
        inputs, outputs = {int(i) for i in op.inputs if i >= 0}, [int(i) for i in op.outputs]
        if name == "QUANTIZE" and floats(op.inputs):
            if inputs & finished:
                raise ExportError(f"A file quantises once. Received: QUANTIZE behind DEQUANTIZE. {_LEFT}")
            integer.update(outputs)
        elif name == "DEQUANTIZE" and inputs & integer:
            finished.update(outputs)
        elif inputs & integer:
            if floats(outputs):
                raise ExportError(
                    f"Between QUANTIZE and DEQUANTIZE are integers only. Received: {name} with a float result."
                )
            integer.update(outputs)
        elif inputs & finished:
            finished.update(outputs)
        elif not floats(op.inputs) and not floats(outputs):
            integer.update(outputs)  # constants of the integer part
    if not integer or not finished:
        raise ExportError("An integer file has a QUANTIZE and a DEQUANTIZE. Received: none of them.")


def normalised_first(model: Any) -> None:
    """Raises ExportError where an input goes straight into QUANTIZE: raw units must be scaled before."""
    graph = model.subgraphs[0]
    inputs = {int(i) for i in graph.inputs}
    for op, name in zip(graph.operators, flatbuffer.operators(model), strict=True):
        if name == "QUANTIZE" and int(op.inputs[0]) in inputs:
            raise ExportError(
                "Raw values must be scaled before QUANTIZE. Received: an input that goes straight into it. Choose "
                'io="int8".'
            )
