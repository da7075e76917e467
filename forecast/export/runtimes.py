"""Runs the cores of exported files, as a device would: LiteRT, and TFLite Micro where it is installed.

Runtime(data).answers({"past": windows (N, L, F)}) -> y (N, H, K), state reset before each window
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipelines.errors import ExportError

from . import flatbuffer

EXTRA = "pip install --pre 'keras-forecast[micro]'"


def micro_installed() -> bool:
    """Returns whether TFLite Micro can be asked."""
    return importlib.util.find_spec("tflite_micro") is not None


class LiteRT:
    """A file on LiteRT, one thread."""

    name = "LiteRT"

    def __init__(self, data: bytes, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with captured():  # the first one tells that it has kernels
                self._interpreter = Interpreter(model_content=data, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"LiteRT must accept the file. Received: {_sentence(error)}") from None
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    def reset(self) -> None:
        """Sets the state inside to zero."""
        self._interpreter.reset_all_variables()

    def __call__(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the outputs for raw tensors, as they lie in the file."""
        for detail, value in zip(self._inputs, values, strict=True):
            self._interpreter.set_tensor(detail["index"], value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]


class Micro:
    """A file on TFLite Micro's kernels for micro-controllers; knows how much memory it took."""

    name = "TFLite Micro"
    LARGEST_ARENA = 1 << 27

    def __init__(self, data: bytes) -> None:
        from tflite_micro import runtime

        with captured() as said:
            try:
                self._interpreter = runtime.Interpreter.from_bytes(data, arena_size=self.LARGEST_ARENA)
            except (RuntimeError, ValueError) as error:
                raise ExportError(
                    f"TFLite Micro must accept the file. Received: {said() or _sentence(error)}"
                ) from None
        model = flatbuffer.read(data).subgraphs[0]
        self._counts = len(model.inputs), len(model.outputs)

    def reset(self) -> None:
        """Sets the state inside to zero."""
        self._interpreter.reset()

    def __call__(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the outputs for raw tensors."""
        for number, value in enumerate(values):
            self._interpreter.set_input(value, number)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_output(number)) for number in range(self._counts[1])]

    @property
    def arena(self) -> int:
        """Bytes of working memory that the file takes."""
        with captured() as said:
            self._interpreter.print_allocations()
            text = said()
        found = re.search(r"total (\d+) bytes", text)
        if not found:
            raise ExportError(f"TFLite Micro must tell its memory. Received: {text[:200]!r}")
        return int(found[1])


@contextlib.contextmanager
def captured() -> Iterator[Any]:
    """Yields a function that returns what C++ code has written to standard error so far."""
    sys.stderr.flush()
    sys.stdout.flush()
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(1), os.dup(2)
        os.dup2(aside.fileno(), 1)
        os.dup2(aside.fileno(), 2)

        def said() -> str:
            os.lseek(aside.fileno(), 0, os.SEEK_SET)
            return os.read(aside.fileno(), 1 << 20).decode(errors="replace").strip()

        try:
            yield said
        finally:
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


# --- a core, as real numbers ----------------------------------------------------------------------------------------


class CoreRunner:
    """Answers windows of what the core sees, quantised and back where the file takes integers.

    Args:
        runtime: A runtime that holds the file.
        data: The file.
        lookback: Rows of a window; a step or streaming file is shown them one by one.
        kind: "window" where one call takes the whole window, "step" where the host carries the states, "streaming"
            where the file keeps them.
    """

    def __init__(self, runtime: LiteRT | Micro, data: bytes, kind: str = "window") -> None:
        self.runtime, self.kind = runtime, kind
        model = flatbuffer.read(data)
        graph = model.subgraphs[0]
        self.inputs = [_Tensor(graph.tensors[i]) for i in graph.inputs]
        self.outputs = [_Tensor(graph.tensors[i]) for i in graph.outputs]
        self.saturated = self.shown = 0

    def answers(self, windows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns `y (N, H, K)` for windows by input `(N, ...)`."""
        return np.stack([self._answer({k: v[n] for k, v in windows.items()}) for n in range(len(windows["past"]))])

    def _answer(self, window: dict[str, np.ndarray]) -> np.ndarray:
        self.runtime.reset()
        if self.kind == "window":
            values = [self._quantised(t, window[t.name]) for t in self.inputs]
            return self.outputs[0].real(self.runtime(values)[0])[0]
        states = [t.quantised(np.zeros(t.shape, np.float32)) for t in self.inputs[1:]] if self.kind == "step" else []
        result: list[np.ndarray] = []
        for row in window["past"]:
            result = self.runtime([self._quantised(self.inputs[0], row), *states])
            states = result[1:]
        return self.outputs[0].real(result[0])[0]

    def _quantised(self, tensor: _Tensor, values: np.ndarray) -> np.ndarray:
        self.shown += values.size
        self.saturated += tensor.outside(values)
        return tensor.quantised(values.reshape(tensor.shape))


class _Tensor:
    """An end of a file: its shape, and how real numbers become its integers."""

    def __init__(self, tensor: Any) -> None:
        self.name = (tensor.name or b"").decode()
        self.shape = tuple(int(n) for n in tensor.shape)
        self.dtype = np.dtype(flatbuffer.dtype(tensor))
        self.scale, self.zero = 1.0, 0
        if flatbuffer.quantised(tensor) and self.dtype.kind == "i":
            self.scale, self.zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])

    def quantised(self, values: np.ndarray) -> np.ndarray:
        if self.dtype.kind != "i":
            return np.ascontiguousarray(values, self.dtype)
        info = np.iinfo(self.dtype)
        return np.clip(np.round(values / self.scale) + self.zero, info.min, info.max).astype(self.dtype)

    def outside(self, values: np.ndarray) -> int:
        if self.dtype.kind != "i":
            return 0
        info = np.iinfo(self.dtype)
        steps = np.round(values / self.scale) + self.zero
        return int(((steps < info.min) | (steps > info.max)).sum())

    def real(self, values: np.ndarray) -> np.ndarray:
        if self.dtype.kind != "i":
            return np.asarray(values, np.float32)
        return ((values.astype(np.float32) - self.zero) * self.scale).astype(np.float32)
