"""What a file costs to run: multiply-accumulates and operators, counted in the graph."""

from typing import Any

import numpy as np

from . import flatbuffer


def cost(model: Any) -> dict[str, int]:
    """Returns `macs` of one call (products of matrices, convolutions and gates) and `operators`."""
    graph = model.subgraphs[0]
    names = flatbuffer.operators(model)

    def shape(index: int) -> tuple[int, ...]:
        return tuple(int(n) for n in graph.tensors[int(index)].shape)

    macs = 0
    for op, name in zip(graph.operators, names, strict=True):
        if name == "FULLY_CONNECTED":
            weights = shape(op.inputs[1])  # (out, in)
            macs += int(np.prod(shape(op.outputs[0]))) * weights[-1]
        elif name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            T, F = shape(op.inputs[0])[1:]
            U = shape(op.outputs[0])[-1]
            macs += T * (4 * U * (F + U) + 3 * U)
        elif name in ("CONV_2D", "CONV_1D"):
            macs += int(np.prod(shape(op.outputs[0]))) * int(np.prod(shape(op.inputs[1])[1:]))
        elif name == "DEPTHWISE_CONV_2D":
            macs += int(np.prod(shape(op.outputs[0]))) * int(np.prod(shape(op.inputs[1])[1:3]))
        elif name == "BATCH_MATMUL":
            macs += int(np.prod(shape(op.outputs[0]))) * shape(op.inputs[0])[-1]
        elif name == "MUL":
            macs += int(np.prod(shape(op.outputs[0])))
    return {"macs": macs, "operators": len(names)}
