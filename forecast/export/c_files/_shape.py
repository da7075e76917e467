"""What an exported file looks like to C: its tensors, which of them is what, and what is left for the host to do.

    layout            input 0            input 1 ...         output 0   output 1 ...
    fused, unrolled   past (1, L, F)     known, static       y
    streaming         past (1, 1, F)     static              y
    step              x (1, F)           the states          y          the states, one row later

Outside the layout "step", inputs are found by name and not by place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

TYPES = {
    "float32": ("float", "kFloat32", 4),
    "int8": ("std::int8_t", "kInt8", 1),
    "int16": ("std::int16_t", "kInt16", 2),
}


@dataclass(frozen=True)
class Tensor:
    """One input or output of a file; `q = round(x / scale) + zero_point` where it is of integers."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def kind(self) -> str:
        """Its C++ type."""
        return TYPES[self.dtype][0]

    @property
    def bytes(self) -> int:
        return self.size * TYPES[self.dtype][2]


@dataclass(frozen=True)
class File:
    """An exported file: its metadata, and its inputs and outputs in the file's order."""

    about: Mapping[str, Any]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]

    def __post_init__(self) -> None:
        features, past = self.features, self.input("past").size
        pairs: list[tuple[str, Any, Any]] = [
            ("past", past, features if self.step else self.rows * features),
            ("y", self.y.size, self.forecasts),
            *((name, len(self.scaling[name]), features) for name in ("log1p", "factor", "shift", "levels")),
        ]
        if "known" in self.places:
            pairs.append(("known", features, max(features, self.input("known").shape[-1])))
        if "static" in self.places:
            pairs.append(("static", self.input("static").size, len(self.scaling["static_low"])))
        for before, after in zip(self.states, self.outputs[1:], strict=self.step):
            one, other = ((t.size, t.dtype, t.scale, t.zero_point) for t in (before, after))
            pairs.append((before.name, one, other))
        for name, one, other in pairs:
            if one != other:
                raise ValueError(f"The metadata and the tensors of a file disagree about {name!r}: {one} and {other}.")

    @property
    def step(self) -> bool:
        return bool(self.about["layout"] == "step")

    @property
    def streaming(self) -> bool:
        return not self.step and self.about["state"]["kind"] == "streaming"

    @property
    def host(self) -> bool:
        """True where the host scales, and not the file."""
        return self.about["scaling"] is not None and self.about["scaling"]["where"] == "host"

    @property
    def states(self) -> Sequence[Tensor]:
        return self.inputs[1:] if self.step else []

    @cached_property
    def places(self) -> dict[str, int]:
        """Returns the input that each of "past", "known" and "static" is, where the file has it."""
        if self.step:
            return {"past": 0}
        named = {tensor.name: n for n, tensor in enumerate(self.inputs)}
        past = named.get("past", next((n for name, n in named.items() if name not in ("known", "static")), 0))
        return {"past": past} | {name: named[name] for name in ("known", "static") if name in named}

    def input(self, name: str) -> Tensor:
        return self.inputs[self.places[name]]

    @property
    def y_place(self) -> int:
        return next((n for n, tensor in enumerate(self.outputs) if tensor.name == "y" and not self.step), 0)

    @property
    def y(self) -> Tensor:
        return self.outputs[self.y_place]

    @property
    def features(self) -> int:
        return len(self.about["columns"]) or self.input("past").shape[-1]

    @property
    def rows(self) -> int:
        """How many rows `prepare` takes: those of the window, or the one row of a streaming file."""
        return int(self.about["lookback"]) if self.step else self.input("past").size // self.features

    @property
    def forecasts(self) -> int:
        """How many values one forecast has."""
        return int(self.about["horizon"]) * len(self.about["targets"]) * max(1, len(self.about["quantiles"]))

    @cached_property
    def scaling(self) -> dict[str, Any]:
        """Returns what the host does, which is nothing where the file does it or nobody knows of any scaling."""
        if self.host:
            return dict(self.about["scaling"])
        features, statics = self.features, self.input("static").size if "static" in self.places else 0
        return {
            **{"clip_low": None, "clip_high": None, "log1p": [False] * features},
            **{"factor": [1.0] * features, "shift": [0.0] * features},
            **{"normalize": "none", "levels": [False] * features, "epsilon": 0.0, "predict": "level", "sigma": None},
            **{"static_low": [0.0] * statics, "static_range": [1.0] * statics},
            "bounds": (self.about["scaling"] or {}).get("bounds"),  # which the ends of intervals need anyway
        }
