"""A .tflite file as objects that can be looked at and changed, and back into few bytes.

    bytes -> read -> ModelT: one subgraph of tensors, operators, buffers -> write -> bytes

The converter writes long names, an empty buffer for every tensor, and each quantisation record anew. An unrolled LSTM
has thousands of tensors, so most of its file is records, not weights: `slim` removes what no runtime reads, and `write`
stores equal records once. Weights stay aligned to 16 bytes, which kernels on micro-controllers rely on.

Source: the schema, https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

METADATA = "forecast"
ALIGNMENT = 16  # bytes; what the schema forces for the data of a buffer
_NO_DIGEST = "0" * 64
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}


def read(data: bytes) -> Any:
    """Returns the model in some bytes of our own converter, as a `ModelT`."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(data), 0))


def write(model: Any) -> bytes:
    """Returns a model as bytes."""
    builder = _Builder(1024)
    for buffer in model.buffers:
        buffer.Pack = lambda b, buffer=buffer: _pack_buffer(b, buffer)
    for graph in model.subgraphs:
        for record in [t.quantization for t in graph.tensors] + [op.builtinOptions for op in graph.operators]:
            if record is not None:
                record.Pack = lambda b, record=record: b.once(record)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):
    """Stores equal vectors and equal records once; the format allows that any number of tables point at one."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._stored: dict[Any, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.shape, x.tobytes())
        if key not in self._stored:
            self._stored[key] = super().CreateNumpyVector(x)
        return self._stored[key]

    def once(self, record: Any) -> int:
        key = (type(record).__name__, *((name, _plain(value)) for name, value in sorted(vars(record).items())))
        if key not in self._stored:
            self._stored[key] = type(record).Pack(record, self)
        return self._stored[key]


def _plain(value: Any) -> Any:
    if callable(value):
        return None  # the Pack that stands in for the record's own
    if value is None or isinstance(value, int | float | bytes | str):
        return value
    if isinstance(value, np.ndarray | list):
        array = np.asarray(value)
        return (array.dtype.str, array.tobytes())
    return id(value)


def _pack_buffer(builder: Any, buffer: Any) -> int:
    data = None if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
    where = None
    if data:
        builder.StartVector(1, len(data), ALIGNMENT)
        builder.head = builder.Head() - len(data)
        builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
        where = builder.EndVector()
    schema.BufferStart(builder)
    if where is not None:
        schema.BufferAddData(builder, where)
    offset: int = schema.BufferEnd(builder)
    return offset


# --- looking --------------------------------------------------------------------------------------------------------


def operators(model: Any) -> list[str]:
    """Returns the operators in order of execution, such as "FULLY_CONNECTED"; "CUSTOM:..." for one not built in."""
    names = [_operator_name(code) for code in model.operatorCodes]
    return [names[op.opcodeIndex] for op in model.subgraphs[0].operators]


def _operator_name(code: Any) -> str:
    name = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    custom = (code.customCode or b"").decode() if isinstance(code.customCode, bytes) else (code.customCode or "")
    return f"{name}:{custom}" if custom else name


def dtype(tensor: Any) -> str:
    """Returns a tensor's type, such as "int8" or "float32"."""
    return _TYPES[tensor.type]


def constant(model: Any, index: int) -> np.ndarray | None:
    """Returns the values of a constant tensor, None where it is computed."""
    if index < 0:
        return None
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    kind = {"bool": "?", "float16": "<f2", "float32": "<f4"}.get(dtype(tensor), f"<{dtype(tensor)[0]}")
    if kind in ("<i", "<u"):
        kind += str(int(dtype(tensor).removeprefix("uint").removeprefix("int")) // 8)
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), kind).reshape(tuple(_shape(tensor)))


def set_constant(model: Any, index: int, values: np.ndarray) -> None:
    """Sets the values of a constant tensor, in a buffer of its own."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors[index].buffer = len(model.buffers) - 1


def _shape(tensor: Any) -> Sequence[int]:
    return [] if tensor.shape is None else [int(n) for n in tensor.shape]


def quantised(tensor: Any) -> bool:
    """Returns whether a tensor has a scale."""
    record = tensor.quantization
    return record is not None and record.scale is not None and len(record.scale) > 0


# --- changing -------------------------------------------------------------------------------------------------------


def slim(model: Any) -> None:
    """Removes names, signatures, unused buffers and the converter's notes; equal constants share a buffer."""
    model.description, model.signatureDefs, model.metadata, model.metadataBuffer = None, None, None, None
    graph = model.subgraphs[0]
    graph.name = None
    ends = {*graph.inputs.tolist(), *graph.outputs.tolist()}
    for number, tensor in enumerate(graph.tensors):
        tensor.name = tensor.name if number in ends else None
        tensor.shapeSignature = None
        if tensor.quantization is not None:
            tensor.quantization.min = tensor.quantization.max = None
            if not quantised(tensor):
                tensor.quantization = None
    drop_unused(model)


def requantise(model: Any, op: Any, index: int, record: Any) -> None:
    """Lets an operator write its output on another scale, and a QUANTIZE behind it bring that to the scale it had."""
    graph = model.subgraphs[0]
    written = copy.deepcopy(graph.tensors[index])
    written.quantization = copy.deepcopy(record)
    graph.tensors.append(written)
    op.outputs = np.array([len(graph.tensors) - 1 if i == index else i for i in op.outputs], np.int32)
    brought = schema.OperatorT()
    brought.inputs, brought.outputs = np.array([len(graph.tensors) - 1], np.int32), np.array([index], np.int32)
    brought.opcodeIndex = _code(model, schema.BuiltinOperator.QUANTIZE)
    brought.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    brought.builtinOptions = schema.QuantizeOptionsT()
    place = next(n for n, one in enumerate(graph.operators) if one is op)
    graph.operators.insert(place + 1, brought)


def _code(model: Any, operator: int) -> int:
    """Returns the number of an operator among those of a model, which gets it where it has it not."""
    for number, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == operator:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def drop_unused(model: Any) -> None:
    """Drops tensors that no operator uses, and buffers that no tensor uses; equal constants become one."""
    graph = model.subgraphs[0]
    first = np.asarray([], np.int32)
    fields = [(o, name) for o in graph.operators for name in ("inputs", "outputs", "intermediates")]
    used = {int(i) for o, name in fields for i in (getattr(o, name) if getattr(o, name) is not None else first)}
    used |= {*map(int, graph.inputs), *map(int, graph.outputs)}
    kept = sorted(used - {-1})
    renumbered = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[i] for i in kept]
    for owner, name in [*fields, (graph, "inputs"), (graph, "outputs")]:
        if getattr(owner, name) is not None:
            setattr(owner, name, np.array([renumbered[int(i)] for i in getattr(owner, name)], np.int32))
    _share_buffers(model)
    codes = sorted({op.opcodeIndex for op in graph.operators})
    model.operatorCodes = [model.operatorCodes[i] for i in codes]
    for op in graph.operators:
        op.opcodeIndex = codes.index(op.opcodeIndex)


def _share_buffers(model: Any) -> None:
    empty = schema.BufferT()  # the schema keeps number 0 for "no data"
    buffers, numbers = [empty], {b"": 0}
    owners = [*model.subgraphs[0].tensors, *(model.metadata or [])]
    for owner in owners:
        data = model.buffers[owner.buffer].data
        key = b"" if data is None else np.asarray(data, np.uint8).tobytes()
        if key not in numbers:
            numbers[key] = len(buffers)
            buffers.append(model.buffers[owner.buffer])
        owner.buffer = numbers[key]
    model.buffers = buffers


def with_metadata(model: Any, about: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Returns the file with metadata inside, and the metadata.

    Their `digest` is the sha256 of the file with 64 zeros in its place.
    """
    text = json.dumps(about | {"digest": _NO_DIGEST}, separators=(",", ":"), ensure_ascii=False).encode()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(text, np.uint8)
    entry.name, entry.buffer = METADATA.encode(), len(model.buffers)
    told = copy.copy(model)  # which stays as it is
    told.buffers, told.metadata = [*model.buffers, buffer], [*(model.metadata or []), entry]
    data = write(told)
    key = b'"digest":"'
    blank, digest = key + _NO_DIGEST.encode(), hashlib.sha256(data).hexdigest()
    if data.count(blank) != 1:
        raise RuntimeError("the metadata must hold their digest once")
    return data.replace(blank, key + digest.encode()), about | {"digest": digest}
