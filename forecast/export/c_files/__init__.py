"""Turns an exported file into C++ for a micro-controller: source files, ready to compile with TFLite Micro.

    model.h, model.cc   the file itself, and how it is run        resolver.h   the operators that it needs, no others
    metadata.h          its sizes, and scaling before and after   golden.h     windows with their answers, for a test

All names stand in the namespace `forecast_model`, everything is C++17, and nothing allocates. This module looks neither
into the file nor at the types of its operators: what it says of both comes from the exporter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.errors import ExportError

from ._examples import example
from ._metadata import metadata_h
from ._shape import File, Tensor
from ._text import braces, comment, number

__all__ = ["METHODS", "Golden", "Tensor", "c_files", "unsupported"]

# LiteRT and TFLite Micro agree to two steps of an integer tensor; floats to this share of the largest value.
STEPS, SHARE, SHARE_OF_INTEGERS = 2.0, 1e-4, 1e-2

_OPERATORS = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
    GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
    SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE
    TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
_WORDS = {"2D": "2D", "MATMUL": "MatMul", "CUMSUM": "CumSum", "LSTM": "LSTM", "PADV2": "PadV2"}
# Every builtin operator that TFLite Micro has, and the method of its MicroMutableOpResolver that registers it.
METHODS = {
    name: "Add" + "".join(_WORDS.get(word, word.capitalize()) for word in name.split("_"))
    for name in _OPERATORS.split()
}


@dataclass(frozen=True)
class Golden:
    """Windows with their answers, which a board must give, too.

    Attributes:
        raw: By input, "past" and where the file has them "known" and "static": what `prepare` takes, in raw units.
            `past` is `(N, rows, F)`: the window, or of a streaming file all rows that are fed after one Reset().
        tensors: The same inputs as the file takes them, so `past` is of integers where the tensor is. A step file's
            windows are whole, too.
        y: `(N, *shape of the output)`: the output tensor (the one after the last row, of a step or streaming file).
        forecast: `(N, H, K)` or `(N, H, K, Q)`: the same in raw units.
        tolerance: By how much a board's y may differ: in steps of an integer tensor, or as a share of the largest
            |y|. None chooses 2 steps; 1e-4 of floats; 1e-2 of floats that come out of an integer network.
    """

    raw: Mapping[str, np.ndarray]
    tensors: Mapping[str, np.ndarray]
    y: np.ndarray
    forecast: np.ndarray
    tolerance: float | None = None


def unsupported(ops: Iterable[str]) -> list[str]:
    """Returns the operators that TFLite Micro lacks, each once.

    Example:
        >>> unsupported(["FULLY_CONNECTED", "TILE", "TILE"])
        ['TILE']
    """
    return [name for name in dict.fromkeys(ops) if name not in METHODS]


def c_files(
    model: bytes,
    about: Mapping[str, Any],
    ops: Sequence[str],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    golden: Golden,
    arena: int | None = None,
) -> dict[str, str]:
    """Returns the text of each C++ file by its name.

    Args:
        model: The .tflite file.
        about: Its metadata.
        ops: Its builtin operators by name, in any order, each as often as you like.
        inputs: Its inputs, in its order.
        outputs: Its outputs, in its order.
        golden: At least one window with its answer.
        arena: How many bytes TFLite Micro used, where that was measured.

    Raises:
        ExportError: TFLite Micro lacks an operator, or a constant does not fit into 32 bits.
    """
    if missing := unsupported(ops):
        raise ExportError(
            f"TFLite Micro must have every operator of a file. Received: {', '.join(missing)}, which it lacks. Export "
            'with another layout ("step" needs the fewest operators), or run this file with LiteRT on a larger device.'
        )
    file = File(about, inputs, outputs)
    return {
        "model.h": _model_h(file, arena, len(model)),
        "model.cc": _model_cc(model),
        "metadata.h": metadata_h(file, arena, len(model)),
        "resolver.h": _resolver_h(ops),
        "golden.h": _golden_h(file, golden),
    }


def _model_h(file: File, arena: int | None, size: int) -> str:
    about = file.about
    head = comment(
        f"The model {about['name'] or about['model']!r} as bytes ({about['layout']}, {about['quantize']}), to compile "
        "into a program with TFLite Micro.",
        "",
        "How it is run:",
    )
    code = "\n".join(f"//     {line}".rstrip() for line in example(file, arena).splitlines())
    return f"""{head}
//
{code}
#pragma once

#include <cstddef>

namespace forecast_model {{

inline constexpr std::size_t kModelBytes = {size};

// The .tflite file, byte for byte, at an address that TFLite Micro can use as it is: leave it in flash.
extern const unsigned char g_model[kModelBytes];

}}  // namespace forecast_model
"""


def _model_cc(model: bytes) -> str:
    rows = "\n".join(
        "    " + " ".join(f"0x{byte:02x}," for byte in model[start : start + 16]) for start in range(0, len(model), 16)
    )
    return f"""// The bytes that model.h declares.
#include "model.h"

namespace forecast_model {{

alignas(16) const unsigned char g_model[kModelBytes] = {{
{rows}
}};

}}  // namespace forecast_model
"""


def _resolver_h(ops: Iterable[str]) -> str:
    unique = list(dict.fromkeys(ops))
    calls = "\n".join(f"  fine = fine && static_cast<int>(resolver.{METHODS[name]}()) == 0;" for name in unique)
    return f"""// The operators that the file needs; a program that uses this resolver links no others.
#pragma once

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

// TFLite Micro keeps its classes in one of these two namespaces, depending on its age.
namespace tflite {{
namespace micro {{}}
}}  // namespace tflite

namespace forecast_model {{

namespace tflm {{
using namespace ::tflite;         // NOLINT
using namespace ::tflite::micro;  // NOLINT
}}  // namespace tflm

using Resolver = tflm::MicroMutableOpResolver<{len(unique)}>;

// Registers every operator of the file. Returns false where one could not be (kTfLiteOk is 0).
inline bool add_ops(Resolver& resolver) {{
  bool fine = true;
{calls}
  return fine;
}}

}}  // namespace forecast_model
"""


def _golden_h(file: File, golden: Golden) -> str:
    count, past = len(golden.y), np.asarray(golden.raw["past"])
    steps = file.y.dtype != "float32"
    tolerance = golden.tolerance
    if tolerance is None:
        exact = file.about["quantize"] in ("float32", "float16")
        tolerance = STEPS if steps else SHARE if exact else SHARE_OF_INTEGERS
    unit = "steps of the integer tensor" if steps else "a share of the largest |y|"
    inputs = number(SHARE) if file.input("past").dtype == "float32" else "1.0f"
    lines = [
        GOLDEN,
        f"""\
inline constexpr int kGoldenWindows = {count};
inline constexpr int kGoldenRows = {past.shape[1]};  // of each; fed one by one where kRows is fewer
inline constexpr float kTolerance = {number(tolerance)};  // {unit}
inline constexpr float kInputTolerance = {inputs};""",
    ]
    for name in file.places:
        title = name.title()
        lines.append(_table("float", f"kGolden{title}Raw", golden.raw[name], count))
        lines.append(_table(file.input(name).kind, f"kGolden{title}", golden.tensors[name], count))
    lines.append(_table(file.y.kind, "kGoldenY", golden.y, count))
    lines.append(_table("float", "kGoldenForecast", golden.forecast, count))
    return "\n\n".join([*lines, AGREE, "}  // namespace forecast_model\n"])


def _table(kind: str, name: str, values: np.ndarray, count: int) -> str:
    rows = np.asarray(values, "float32" if kind == "float" else None).reshape(count, -1)
    texts = [
        braces([number(float(v), name) for v in row] if kind == "float" else [str(int(v)) for v in row]) for row in rows
    ]
    return f"inline constexpr {kind} {name}[kGoldenWindows][{rows.shape[1]}] = {{\n" + ",\n".join(texts) + "};"


GOLDEN = """\
// Windows with their answers, as the exporter's computer had them: a test for your board. For each window n
//   prepare(kGoldenPastRaw[n], past)     gives kGoldenPast[n]: agree(past, kGoldenPast[n], size, kInputTolerance);
//   Reset(), past into input, Invoke()   gives kGoldenY[n]: agree(y, kGoldenY[n], size, kTolerance);
//   finish(y, rows, values)              gives kGoldenForecast[n], exactly so (1e-4f) where y is kGoldenY[n],
// where rows are the last kRows of kGoldenPastRaw[n]. A file that takes one row a call gets those of a window one after
// the other, and its last answer counts. Where only the first window agrees, somebody forgot the Reset().
#pragma once

#include "metadata.h"

namespace forecast_model {"""

AGREE = """\
// Whether two tensors agree: integers within so many steps, floats within a share of the largest value expected.
template <typename T>
inline bool agree(const T* got, const T* expected, int size, float tolerance) {
  float largest = 1.0f;
  if constexpr (std::is_same<T, float>::value) {
    largest = 0.0f;
    for (int i = 0; i < size; ++i) largest = fmaxf(largest, fabsf(expected[i]));
  }
  for (int i = 0; i < size; ++i) {
    const float apart = fabsf(static_cast<float>(got[i]) - static_cast<float>(expected[i]));
    if (!(apart <= tolerance * largest)) return false;
  }
  return true;
}"""
