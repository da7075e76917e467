"""One time step as a model; the host loops, and carries the states.

    x (1, F), states (1, U) ... - [ cell - ... - head ] - y (1, H, K), new states (1, U) ...
       ^                                                       |
       +-- next row            copied back as raw bytes -------+

What cells without an operator of their own use (GRU, peephole, ...), and any core that reads its window row by row.
A window starts at zero states; its forecast is `y` after the last row. New states have the scale of the old ones, so
the host copies bytes and computes nothing.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import ExportError

from ...layers.loops import InnerLoop
from .. import flatbuffer, repairs
from ..converter import Graph
from ..trace import Core, swapped

WINDOWS = 64  # windows rolled out for calibration
SAMPLES = 2048  # steps of them that the converter sees


def why_not(core: Core) -> str:
    """Returns why a core cannot be shown its window row by row; nothing where it can."""
    if [one.name for one in core.inputs] != ["past"]:
        return f"the network takes {', '.join(one.name for one in core.inputs)}, and a step takes one row of past"
    for layer in core.model._flatten_layers():
        if isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False):
            return f"layer {layer.name!r} reads the window backwards"
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(4, *core.inputs[0].shape)).astype(np.float32)
    with warnings.catch_warnings():  # such as Keras's, of a softmax over one row: it is refused below
        warnings.simplefilter("ignore")
        try:
            whole, rolled = core.call(tf.constant(windows)).numpy(), Stepper(core, len(windows)).roll(windows)[0]
        except (ValueError, TypeError, IndexError, tf.errors.OpError):  # a layer that one row is too few for
            whole, rolled = windows, windows[:0]
    if rolled.shape != whole.shape or not np.allclose(rolled, whole, rtol=1e-3, atol=1e-4):
        return "some layer looks at several rows at once, so that rows one by one give another answer"
    return ""


@dataclass(frozen=True)
class _State:
    """One state of one call of a recurrent layer."""

    layer: str
    units: tuple[int, ...]


class Stepper:
    """A core as a function of one row and its states.

    Args:
        core: The whole network.
        batch: Windows at once.
    """

    def __init__(self, core: Core, batch: int) -> None:
        self.core, self.batch = core, batch
        self.features = core.inputs[0].shape[1]
        self.states: list[_State] = []
        self._given: list[Any] = []
        self._new: list[Any] = []
        row = tf.zeros([1, 1, self.features])
        with swapped(core.model, self._noting):
            core.call(row)
        specs = [tf.TensorSpec([batch, self.features], tf.float32, name="past")]
        specs += [tf.TensorSpec([batch, *s.units], tf.float32, name=f"state_{n}") for n, s in enumerate(self.states)]
        self.function = tf.function(self._step, input_signature=specs, autograph=False)
        with swapped(core.model, self._stepping):
            self.function.get_concrete_function()

    def _noting(self, layer: keras.layers.RNN) -> InnerLoop:
        """A first pass, to learn which states there are."""

        def loop(
            sequences: Any, initial_state: Any, mask: Any = None, training: bool = False
        ) -> tuple[Any, Any, list[Any]]:
            flat = keras.tree.flatten(initial_state)
            self.states += [_State(layer.name, tuple(int(n) for n in state.shape[1:])) for state in flat]
            output, states = layer.cell(sequences[:, 0], initial_state, training=False)
            return output, output[:, None], states

        return loop

    def _stepping(self, layer: keras.layers.RNN) -> InnerLoop:
        def loop(
            sequences: Any, initial_state: Any, mask: Any = None, training: bool = False
        ) -> tuple[Any, Any, list[Any]]:
            flat = keras.tree.flatten(initial_state)
            given = [self._given.pop(0) for _ in flat]
            states = keras.tree.pack_sequence_as(initial_state, given)
            output, states = layer.cell(sequences[:, 0], states, training=False)
            self._new += keras.tree.flatten(states)
            return output, output[:, None], states

        return loop

    def _step(self, row: tf.Tensor, *states: tf.Tensor) -> dict[str, tf.Tensor]:
        self._given, self._new = list(states), []
        y = self.core.call(row[:, None])
        return {"y": y, **{f"new_state_{n}": state for n, state in enumerate(self._new)}}

    def roll(self, windows: np.ndarray, keep: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Runs windows `(batch, T, F)` row by row from zero states.

        Returns:
            The answer after the last row; and, where `keep`, rows and states before each step, `(T * batch, ...)`.
        """
        states = [np.zeros((self.batch, *state.units), np.float32) for state in self.states]
        seen: list[list[np.ndarray]] = []
        answer: dict[str, Any] = {}
        for t in range(windows.shape[1]):
            row = np.ascontiguousarray(windows[:, t], np.float32)
            if keep:
                seen.append([row, *states])
            answer = self.function(tf.constant(row), *map(tf.constant, states))
            states = [answer[f"new_state_{n}"].numpy() for n in range(len(states))]
        names = ["past", *(f"state_{n}" for n in range(len(states)))]
        kept = {name: np.concatenate(arrays) for name, arrays in zip(names, zip(*seen, strict=True), strict=False)}
        return answer["y"].numpy(), kept


def graph(core: Core, quantize: str, calibration: Mapping[str, np.ndarray]) -> Graph:
    """Returns what the converter is asked for; integers are calibrated on rows and states rolled out in floats."""
    samples: dict[str, np.ndarray] = {}
    if quantize in ("int8", "int16"):
        windows = calibration["past"][:WINDOWS]
        _, seen = Stepper(core, len(windows)).roll(windows, keep=True)
        every = max(1, len(seen["past"]) // SAMPLES)
        samples = {name: values[::every, None] for name, values in seen.items()}
    return Graph(f"step {quantize}", Stepper(core, 1).function, core.variables, quantize, samples)


def tie_states(model: Any, inputs: list[int], outputs: list[int]) -> list[str]:
    """Gives each old state the scale of the new one, so that bytes can be copied back.

    Args:
        model: A step model with integer ends; changed in place.
        inputs: Tensors of the old states.
        outputs: Tensors of the new states, in the same order.

    Raises:
        ExportError: An operator behind a state cannot take another scale.
    """
    tensors = model.subgraphs[0].tensors
    done = []
    for old, new in zip(inputs, outputs, strict=True):
        before, after = tensors[old].quantization, tensors[new].quantization
        if before.scale[0] != after.scale[0] or before.zeroPoint[0] != after.zeroPoint[0]:
            done.append(f"state scale {before.scale[0]:.4g} -> {after.scale[0]:.4g}, as the new state's")
            _rescale(model, old, after)
    return done


def _rescale(model: Any, index: int, record: Any) -> None:
    """Gives a tensor another scale, and all that reads it what follows from that."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[index]
    ratio = float(tensor.quantization.scale[0]) / float(record.scale[0])
    tensor.quantization.scale, tensor.quantization.zeroPoint = np.array(record.scale), np.array(record.zeroPoint)
    for op, name in zip(graph.operators, flatbuffer.operators(model), strict=True):
        if index not in op.inputs:
            continue
        if name in repairs.MOVING:
            for output in op.outputs:
                _rescale(model, int(output), record)
        elif name == "FULLY_CONNECTED" and len(op.inputs) > 2 and op.inputs[2] >= 0:
            bias = int(op.inputs[2])  # it has the scale of the input times that of the weights
            values = flatbuffer.constant(model, bias)
            if values is None:
                raise ExportError('A bias must be constant. Received: a computed one. Choose layout="unrolled".')
            flatbuffer.set_constant(model, bias, np.round(values * ratio).astype(values.dtype))
            scales = graph.tensors[bias].quantization
            scales.scale = (np.asarray(scales.scale, np.float64) / ratio).astype(np.float32)
        elif name == "CONCATENATION":
            raise ExportError('A state must not be joined with other values in a step. Choose layout="unrolled".')
