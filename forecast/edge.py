"""Runs an exported forecast on a device: with numpy and ai-edge-litert, without TensorFlow or any other file of ours.

    rows (T, F) -- fill, scale, normalise --> x -- [ model.tflite ] --> y -- put back --> forecast (H, K)
    in original    as the metadata in the          one window, or           in original   and flags: what to
    units          file say                        row by row               units         know before trusting it

This file lies beside each exported model as `run.py`. In a program:

    model = run.load("model.tflite")
    forecast = model.predict(rows)               # oldest first, NaN where a sample was missed
    forecast.values, forecast.intervals, forecast.fallback, forecast.flags
    forecast = model.push(row, at=time.time())   # or one by one, as samples arrive

At a prompt (exit codes: 0 fine, 65 bad rows, 78 a bad file or argument, 2 wrong usage):

    python run.py rows.csv                       # a header and rows; by default those of standard input
    sensor | python run.py --stream --json       # a forecast for every line
    python run.py --describe                     # what the model wants; --bench: how fast it answers here

Where the network cannot answer (too few rows, too many missed), the naive forecast stands in: the last known value.
Axes: `T` rows, `L` lookback, `H` horizon, `F` columns, `Fk` of them known ahead, `K` targets, `Q` quantiles.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import platform
import re
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BAD_ROWS, BAD_FILE = 65, 78  # exit codes, as in BSD's sysexits.h


class EdgeError(Exception):
    """What a user can repair: the rows (exit code 65), or the file and the arguments (78)."""

    def __init__(self, message: str, exit_code: int = BAD_FILE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is to come.

    Attributes:
        values: In original units `(H, K)`, or `(H, K, Q)` where the model answers with quantiles.
        fallback: Whether the naive forecast stands in for the network's.
        flags: What to know before trusting it, in sentences.
        intervals: The ends of each interval in original units `(H, K)`, by name: "y_pred_lo_80", "y_pred_hi_80", ...;
            NaN where the naive forecast stands in, and none where the file holds no intervals.
    """

    values: np.ndarray
    fallback: bool
    flags: tuple[str, ...]
    intervals: dict[str, np.ndarray] = field(default_factory=dict)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype) if copy else np.asarray(self.values, dtype)


def load(path: str | os.PathLike[str], threads: int = 1, series: str | None = None) -> "EdgeModel":
    """Returns the model in an exported file.

    Args:
        path: The .tflite file.
        threads: Threads of the interpreter.
        series: Whose rows it will see, where the file holds the scalings of several.

    Raises:
        EdgeError: The file is missing, changed or not one of ours, or LiteRT does not run it.
    """
    if threads < 1:
        raise EdgeError(f"`threads` must be an integer >= 1. Received: {threads}")
    try:
        data = Path(path).read_bytes()
        about = _of_series(_metadata(data), series)
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
        return EdgeModel(about, interpreter, threads)
    except ImportError as problem:
        raise EdgeError(f"LiteRT must be installed. Received: {problem}. Run: pip install ai-edge-litert") from None
    except (OSError, ValueError, RuntimeError) as problem:  # each says what is wrong with the file
        raise EdgeError(
            f"A model must be a whole .tflite file that keras-forecast exported. Received: {path}: "
            f"{' '.join(str(problem).split())[:300]}. Copy it again, or export it again."
        ) from None


# --- the metadata, which others wrote -------------------------------------------------------------------------------

_SOME, _ANY = range(1, 100_001), range(100_001)
_BOUNDS = (None, [(None, float, math.inf, -math.inf)])
# What differs between series, where a file holds the scalings of several.
_OWN: dict[str, Any] = {"factor": [float], "shift": [float], "sigma": [float], "usual": (None, [float])}
_OWN |= {"clip_low": _BOUNDS, "clip_high": _BOUNDS}
# What is relied on: a value, a type, a range of numbers, a list of such, a group of such, or a tuple of alternatives.
_CONTRACT: dict[str, Any] = {
    "format": 1,
    **{"digest": str, "name": str, "model": str, "quantize": str, "unit": (None, str)},
    "series": (None, str),
    **{"lookback": _SOME, "gap": _ANY, "horizon": _SOME, "targets": [str], "quantiles": [float]},
    **{"layout": ("fused", "unrolled", "step"), "io": ("float32", "int8", "int16")},
    "state": {"kind": ("windowed", "streaming"), "means": str},
    "dates": {"seconds": (None, float)},
    "columns": [{"name": str, "kind": str, "means": str}],
    "inputs": [{"name": str, "shape": [_ANY]}],
    "missing": {"policy": "last", "limit": _ANY},
    "range": (None, {"low": [float], "high": [float]}),
    "scaling": (
        None,
        {
            **{"where": ("file", "host"), "normalize": ("last", "mean_std", "none"), "predict": ("level", "return")},
            **{"clip_low": _BOUNDS, "clip_high": _BOUNDS, "log1p": [bool], "levels": [bool], "epsilon": float},
            **{name: [float] for name in ("factor", "shift", "sigma", "static_low", "static_range")},
            **{"usual": (None, [float]), "bounds": (None, [(None, float)])},
        },
    ),
    "intervals": (None, {"levels": [float], "low": [[[float]]], "high": [[[float]]], "fade": float, "quiet": float}),
}


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_fits(value, one) for one in wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and all(_fits(one, wanted[0]) for one in value)
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(_fits(value.get(key), one) for key, one in wanted.items())
    if isinstance(wanted, range):
        return type(value) is int and value in wanted
    if wanted is float:
        return type(value) in (int, float) and abs(value) < math.inf
    return type(value) is wanted or (type(value) is type(wanted) and value == wanted)


def _metadata(data: bytes) -> dict[str, Any]:
    """Returns the metadata in a file; a ValueError says what is wrong with it."""
    first, end = _embedded(data)
    about = json.loads(data[first:end].decode())
    for key, wanted in _CONTRACT.items():
        if not isinstance(about, dict) or not _fits(about.get(key), wanted):
            raise ValueError(f"this program reads metadata of format 1, and does not understand {key!r} in these")
    at = data.find(about["digest"].encode(), first, end)
    if hashlib.sha256(data[:at] + b"0" * 64 + data[at + 64 :]).hexdigest() != about["digest"]:
        raise ValueError("its sha256 is not the one inside, so it was changed after its export")
    return dict(about)


def _of_series(about: dict[str, Any], series: str | None) -> dict[str, Any]:
    """Returns the metadata with the scaling of one series, where they hold those of several."""
    scalings = (about["scaling"] or {}).get("series")
    if scalings is None:
        if series in (None, about.get("series")):
            return about
        raise EdgeError(f"`series` must be that of the file. Received: {series!r}, and it is for {about['series']!r}.")
    if not _fits(scalings, {}) or not all(_fits(own, _OWN) for own in scalings.values()):
        raise ValueError("this program does not understand the scalings of its series")
    if series not in scalings:
        raise EdgeError(f"`series` must be one of {', '.join(map(repr, scalings))}. Received: {series!r}. Choose one.")
    return {**about, "series": series, "scaling": {**about["scaling"], **scalings[series]}}


def _embedded(data: bytes) -> tuple[int, int]:
    """Returns where our metadata begin and end in a flatbuffer, reading nothing that lies outside of it."""

    def number(kind: str, at: int) -> int:
        if not 0 <= at <= len(data) - struct.calcsize(kind):
            raise ValueError("it is cut off, or no .tflite file")
        return int(struct.unpack_from(kind, data, at)[0])

    def follow(at: int) -> int:
        return at + number("<I", at)

    def field(table: int, n: int) -> int:  # where field n of a table lies; 0: it has none
        shape = table - number("<i", table)
        offset = number("<H", shape + 4 + 2 * n) if 4 + 2 * n < number("<H", shape) else 0
        return table + offset if offset else 0

    def vector(table: int, n: int) -> tuple[int, int]:  # where its items begin, and how many there are
        at = field(table, n)
        return (follow(at) + 4, number("<I", follow(at))) if at else (0, 0)

    if data[4:8] != b"TFL3":
        raise ValueError("it is no .tflite file")
    model = follow(0)
    (buffers, _), (entries, count) = vector(model, 4), vector(model, 6)
    for n in range(count):
        entry = follow(entries + 4 * n)
        at, size = vector(entry, 0)
        if data[at : at + size] == b"forecast":
            which = number("<I", field(entry, 1)) if field(entry, 1) else 0
            first, size = vector(follow(buffers + 4 * which), 0)
            return first, min(first + size, len(data))
    raise ValueError("it has no metadata of ours")


# --- both sides of the network --------------------------------------------------------------------------------------


def _numbers(group: dict[str, Any], name: str, size: int, otherwise: float = 0) -> np.ndarray:
    """Returns an entry of the metadata as an array; another number stands for null."""
    values = [otherwise] * size if group.get(name) is None else group[name]
    if len(values) != size:
        raise ValueError(f"its metadata must hold {size} numbers in {name!r}, and hold {len(values)}")
    return np.array([otherwise if one is None else one for one in values], np.float64)


class _Scaling:
    """Raw rows to what the network sees; its answers `y` to raw units: `y * gain + base`, where logged `expm1` of it.

    A plain Keras model has no scaling: everything passes as it is.
    """

    def __init__(self, scaling: dict[str, Any] | None, F: int, K: int, statics: int) -> None:
        of = scaling or {"where": "file", "normalize": "none", "predict": "level", "epsilon": 0}
        self.host, self.returns = of["where"] == "host", of["predict"] == "return"
        self.normalize, self.epsilon = of["normalize"], of["epsilon"]
        self.low, self.high = _numbers(of, "clip_low", F, -math.inf), _numbers(of, "clip_high", F, math.inf)
        self.logged, self.levels = _numbers(of, "log1p", F) > 0, _numbers(of, "levels", F)
        self.factor, self.shift = _numbers(of, "factor", F, 1), _numbers(of, "shift", F)
        self.sigma, self.spread = _numbers(of, "sigma", K, 1), np.ones(F)
        self.usual = _numbers(of, "usual", K, 1)
        self.lowest = _numbers(of, "bounds", 2, -math.inf)[0] if of.get("bounds") else -math.inf
        self.highest = _numbers(of, "bounds", 2, math.inf)[1] if of.get("bounds") else math.inf
        self.offset = np.where(self.levels, 0, self.shift)
        Fs = statics or len(of.get("static_low", []))  # known of the series, even where the network has no such input
        self.static_low, self.static_range = _numbers(of, "static_low", Fs), _numbers(of, "static_range", Fs, 1)
        if not (self.factor.all() and self.static_range.all()):
            raise ValueError("its scaling divides by 0")

    def tamed(self, raw: np.ndarray) -> np.ndarray:
        """Returns values of the last columns, as many as there are, clipped, and as logarithms where they are."""
        last = slice(-raw.shape[1], None)
        v = np.minimum(np.maximum(raw, self.low[last]), self.high[last])
        return np.where(self.logged[last], np.log1p(v), v) if self.logged.any() else v

    def before(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns `x (L, F)`, `base (K,)` and `gain (K,)` of a window."""
        K, v, spread = len(self.sigma), self.tamed(raw), self.spread
        if self.normalize == "last":
            centre = v[-1]
        elif self.normalize == "mean_std":
            centre, spread = v.mean(axis=0), np.sqrt(v.var(axis=0) * self.factor**2 + self.epsilon)
        else:
            centre = -self.shift / self.factor
        x = (v - self.levels * centre) * (self.factor / np.where(self.levels, spread, 1)) + self.offset
        if self.returns:
            return x, raw[-1, :K], raw[-1, :K] * self.sigma
        return x, centre[:K], (spread / self.factor)[:K]

    def after(self, y: np.ndarray, base: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Returns `y (H, K)` or `(H, K, Q)` in raw units."""
        wide = (slice(None),) + (None,) * (y.ndim - 2)
        values: np.ndarray = y * gain[wide] + base[wide]
        logged = self.logged[: len(base)]
        if logged.any() and not self.returns:
            values = np.where(logged[wide], np.expm1(values), values)
        return self.bounded(values)

    def bounded(self, values: np.ndarray) -> np.ndarray:
        """Returns values within what a forecast may be; NaN stays NaN."""
        return np.minimum(np.maximum(values, self.lowest), self.highest)

    def unit(self, raw: np.ndarray, fade: float, quiet: float) -> np.ndarray:
        """Returns the unit of interval offsets `(K,)`: how far the targets of a window moved from row to row.

        An earlier change counts `fade` times the one after it. At least a share of their usual change: a window that
        happens to stand still is not sure of everything.
        """
        if len(raw) == 1:
            return self.usual
        weights = fade ** np.arange(len(raw) - 1)[::-1]
        moved: np.ndarray = weights @ np.abs(np.diff(raw[:, : len(self.usual)], axis=0)) / weights.sum()
        return np.maximum(moved, quiet * self.usual)

    def aside(self, name: str, raw: np.ndarray) -> np.ndarray:
        """Returns `known (L + H, Fk)` or `static (Fs,)` as the network sees it."""
        if name == "static":
            return (raw - self.static_low) / self.static_range
        return self.tamed(raw) * self.factor[-raw.shape[1] :] + self.shift[-raw.shape[1] :]


class _Tensor:
    """An end of the file, in real numbers; integers are `round(real / scale) + zero`."""

    def __init__(self, interpreter: Any, detail: dict[str, Any]) -> None:
        self.view = interpreter.tensor(detail["index"])  # makes one; none may be left while the file runs
        self.shape, self.dtype = tuple(map(int, detail["shape"])), np.dtype(detail["dtype"])
        self.size, integer = math.prod(self.shape), self.dtype.kind == "i"
        scales, zeros = (detail["quantization_parameters"][name] for name in ("scales", "zero_points"))
        if self.dtype.name not in ("float32", "int8", "int16") or (integer and len(scales) != 1):
            raise ValueError(f"its tensor {detail['name']!r} is of {self.dtype.name} with {len(scales)} scales")
        self.scale, self.zero = (float(scales[0]), int(zeros[0])) if integer else (1.0, 0)
        self.bounds = (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max) if integer else None

    def stored(self, real: np.ndarray) -> np.ndarray:
        if self.bounds is None:
            return real.astype(np.float32)
        return np.clip(np.rint(real / self.scale) + self.zero, *self.bounds).astype(self.dtype)

    def real(self) -> np.ndarray:
        values: np.ndarray = (self.view().astype(np.float64) - self.zero) * self.scale
        return values


def _array(values: Any, what: str, *shape: int | None) -> np.ndarray:
    """Returns numbers of a shape, where None is any size and a last 1 may be left out; infinity becomes NaN."""
    wanted = f"`{what}` must be numbers of shape ({', '.join('T' if n is None else str(n) for n in shape)})"
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as problem:
        raise EdgeError(f"{wanted}. Received: {problem}. Put NaN where a value is missing.", BAD_ROWS) from None
    if shape[-1] == 1 and found.ndim == len(shape) - 1:
        found = found[..., None]
    if found.ndim != len(shape) or any(n not in (None, have) for n, have in zip(shape, found.shape, strict=True)):
        raise EdgeError(f"{wanted}. Received: {found.shape}. Look at `columns` for what belongs there.", BAD_ROWS)
    return np.where(np.isfinite(found), found, np.nan)


def _filled(rows: np.ndarray, limit: int) -> np.ndarray:
    """Returns rows where NaN is the value known before it, if that is at most so many rows ago."""
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    at = np.arange(len(rows))[:, None]
    known = np.maximum.accumulate(np.where(missing, -1, at), axis=0)  # (T, F) row of the last known value
    before = np.take_along_axis(rows, np.maximum(known, 0), axis=0)  # NaN where nothing is known yet
    return np.where(at - known <= limit, before, np.nan)


def _finite(*arrays: np.ndarray) -> bool:
    return all(np.isfinite(array.astype(np.float32)).all() for array in arrays)


def _missed(count: float) -> str:
    return f"{count:,.0f} missed {'sample was' if round(count) == 1 else 'samples were'}"


# --- the model ------------------------------------------------------------------------------------------------------


class EdgeModel:
    """An exported forecast, made by `load`.

    Attributes:
        about: The metadata of the file.
        lookback, horizon: Rows that a forecast rests on, and that it is of.
        targets, columns: Names of what is forecast, and of what a row holds; none for a plain Keras model.
        unit: Of the forecast.
        streaming: Whether the file is shown one row a call, and keeps its state inside.
        levels: Of the intervals beside each forecast, in percent; none where the file holds none.
    """

    def __init__(self, about: dict[str, Any], interpreter: Any, threads: int) -> None:
        self.about, self.threads, self._interpreter = about, threads, interpreter
        self.lookback, self.horizon, self.unit = about["lookback"], about["horizon"], about["unit"] or ""
        self.targets, self.columns = tuple(about["targets"]), tuple(one["name"] for one in about["columns"])
        self._limit, step = about["missing"]["limit"], about["layout"] == "step"
        self.streaming = about["state"]["kind"] == "streaming"
        inputs = [_Tensor(interpreter, detail) for detail in interpreter.get_input_details()]
        outputs = [_Tensor(interpreter, detail) for detail in interpreter.get_output_details()]
        names = [] if step else [one["name"] for one in about["inputs"]]
        self._others = {name: end for name, end in zip(names, inputs, strict=False) if name in ("known", "static")}
        own = [end for end in inputs if end not in self._others.values()]  # past and, in a step file, the states
        if not own or len(outputs) != len(own) or (len(own) > 1 and not step):
            raise ValueError(f"it takes {', '.join(names)}; only past, known and static are understood")
        self._past, self._y, self._states = own[0], outputs[0], list(zip(own[1:], outputs[1:], strict=True))
        L, H, Q = self.lookback, self.horizon, len(about["quantiles"])
        rows = 1 if step or self.streaming else L
        F = len(self.columns) or self._past.size // rows
        K = len(self.targets) or self._y.size // (H * max(1, Q))
        sizes = {name: end.size for name, end in self._others.items()}
        self._shape = (H, K, Q) if Q else (H, K)
        self._middle = about["quantiles"].index(0.5) if 0.5 in about["quantiles"] else Q // 2
        self._shapes = {"known": (L + H, sizes.get("known", 0) // (L + H)), "static": (sizes.get("static", 0),)}
        self._scaling = _Scaling(about["scaling"], F, K, *self._shapes["static"])
        table = about.get("intervals") or {"levels": [], "low": [], "high": [], "fade": 1.0, "quiet": 0.0}
        self.levels, self._fade, self._quiet = tuple(table["levels"]), table["fade"], table["quiet"]
        self._offsets = {
            f"y_pred_{side}_{level:g}": np.array(offsets, np.float64)  # (H, K)
            for level, *both in zip(table["levels"], table["low"], table["high"], strict=True)
            for side, offsets in zip(("lo", "hi"), both, strict=True)
        }
        agreed = {
            "inputs": step or [tuple(one["shape"]) for one in about["inputs"]] == [end.shape for end in inputs],
            "columns": rows * F == self._past.size > 0 and len(self.targets) <= F,
            "targets": math.prod(self._shape) == self._y.size,
            "known": sizes.get("known", 0) == math.prod(self._shapes["known"]) and self._shapes["known"][1] <= F,
            "io": self._past.dtype.name == self._y.dtype.name == about["io"],
            "step": all(
                (a.shape, a.dtype, a.scale, a.zero) == (b.shape, b.dtype, b.scale, b.zero) for a, b in self._states
            ),
            "intervals": all(one.shape == self._shape[:2] for one in self._offsets.values()),
            "quantiles": not Q or 0.5 in about["quantiles"] or not self._offsets,
            "state": not self.streaming or (not sizes and self._scaling.normalize == "none"),
        }
        if not all(agreed.values()):
            raise ValueError(
                f"its metadata and its tensors contradict each other in {min(agreed, key=agreed.__getitem__)!r}"
            )
        low, high = (_numbers(about["range"] or {}, *one) for one in (("low", F, -math.inf), ("high", F, math.inf)))
        self._low, self._high = low - 1e-6 - 1e-5 * abs(low), high + 1e-6 + 1e-5 * abs(high)  # training was in float32
        self._recent = np.empty((L + self._limit, F))  # rows that were pushed, newest last
        self.reset()

    def __repr__(self) -> str:
        about = self.about
        kind = f"{about['name'] or about['model']} ({about['layout']}, {about['quantize']})"
        given, found = ", ".join(self.columns) or "its input", ", ".join(self.targets) or "its output"
        gap = f", after a gap of {about['gap']}," if about["gap"] else ""
        found += f" in {self.unit}" if self.unit else ""
        found += f", with intervals of {' and '.join(f'{level:g} %' for level in self.levels)}" if self.levels else ""
        told = f"{kind}: {self.lookback} rows of {given} give the next {self.horizon}{gap} of {found}."
        return f"{told} {about['state']['means']}"

    @np.errstate(all="ignore")  # what is not finite is looked for
    def predict(self, rows: Any, known: Any = None, static: Any = None) -> Forecast:
        """Returns the forecast after some rows. A streaming file begins anew with them, and `push` goes on from there.

        Args:
            rows: `(T, F)` in original units, oldest first, of which the last `L` count; NaN where a sample was missed.
            known: `(L + H, Fk)`, the columns known ahead, from the first row of the window to the last one forecast.
            static: `(Fs,)`, what never changes about the series.

        Raises:
            EdgeError: A shape is another, `known` or `static` has missing values, or a target has none but those.
        """
        rows = _array(rows, "rows", None, self._recent.shape[1])
        self._give(known=known, static=static)
        if self.streaming:
            self.reset()
            flags = [self._take(row) for row in rows]
            return self._forecast(self._pushed(), self._last, flags[-1:])
        last = _filled(rows, len(rows))[-1:, : len(self.targets)]
        return self._forecast(rows[-len(self._recent) :], last, [])

    @np.errstate(all="ignore")
    def push(self, row: Any, at: float | None = None, known: Any = None, static: Any = None) -> Forecast:
        """Returns the forecast after one more row; the naive one until `L` of them have come.

        Args:
            row: `(F,)` in original units, NaN where a sample was missed.
            at: Seconds since 1970. Where the file says how many lie between rows, those missed since the last `at` are
                filled in; if they are too many for that, all before is forgotten.
            known: As in `predict`.
            static: As in `predict`.

        Raises:
            EdgeError: As in `predict`; or `at` is not after the last one.
        """
        row = _array(row, "row", self._recent.shape[1])
        self._give(known=known, static=static)
        flags = [self._catch_up(at), self._take(row)]
        return self._forecast(self._pushed(), self._last, flags)

    def reset(self) -> None:
        """Forgets all rows."""
        self._at: float | None = None
        self._last = np.full((1, len(self.targets)), np.nan)  # known value of each target
        self._forget()

    def _forget(self) -> None:
        self._rows = self._fed = 0  # how many are in `_recent`, and in the state of a streaming file
        self._clear()

    def _pushed(self) -> np.ndarray:
        return self._recent[len(self._recent) - self._rows :]

    def _catch_up(self, at: float | None) -> str:
        """Takes the rows missed before `at`; returns a flag where they are too many."""
        before, seconds = self._at, self.about["dates"]["seconds"]
        if at is not None and not (-math.inf if before is None else before) < at < math.inf:
            wanted = f"`at` must be seconds since 1970{'' if before is None else f', after {before}'}"
            raise EdgeError(f"{wanted}. Received: {at}. Leave the row out, or call reset().", BAD_ROWS)
        self._at = at
        missed = (at - before) / seconds - 1 if seconds and at is not None and before is not None else 0
        if missed >= self._limit + 0.5:
            self._forget()
            return f"{_missed(missed)} more than the {self._limit} that can be filled, so all before is forgotten"
        for _ in range(round(missed)):
            self._take(np.full(self._recent.shape[1], np.nan))
        return ""

    def _take(self, row: np.ndarray) -> str:
        """Remembers a row, and shows it to a streaming file; returns a flag where that cost its state."""
        self._recent[:-1] = self._recent[1:]
        self._recent[-1] = row
        self._rows = min(self._rows + 1, len(self._recent))
        targets = row[: len(self.targets)]
        self._last = np.where(np.isnan(targets), self._last, targets)
        if not self.streaming:
            return ""
        *_, sent = self._seen(_filled(self._pushed(), self._limit)[-1:])
        if sent is not None:
            self._answer = self._run(sent)
            if np.isfinite(self._answer).all():
                self._fed += 1
                return ""
        known, self._fed = self._fed, 0
        self._clear()  # a NaN would stay in it for ever
        return f"a row without usable values came, so the {known:,} before it are forgotten" if known else ""

    def _give(self, **given: Any) -> None:
        """Puts in what does not come row by row."""
        for name, values in given.items():
            if (name in self._others) != (values is not None):
                wanted = f"`{name}` must be given where the file takes it, and only there"
                takes = f"{'none' if values is None else 'some'}, and it takes {', '.join(['past', *self._others])}"
                raise EdgeError(f"{wanted}. Received: {takes}. Give those.")
            if values is not None:
                found = _array(values, name, *self._shapes[name])
                found = self._scaling.aside(name, found) if self._scaling.host else found
                if not _finite(found):
                    raise EdgeError(f"`{name}` must be known everywhere. Received: {values}. Fill its gaps.", BAD_ROWS)
                end = self._others[name]
                end.view()[...] = end.stored(found).reshape(end.shape)

    def _seen(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns `x`, `base` and `gain` of raw rows, and what goes into the file; None where that is not finite."""
        x, base, gain = self._scaling.before(raw)
        sent = x if self._scaling.host else raw
        return x, base, gain, sent if _finite(sent, x) else None

    def _outside(self, x: np.ndarray) -> np.ndarray:
        """Returns which values `(L, F)` training saw nothing like."""
        outside = ~((x >= self._low) & (x <= self._high))
        if self._scaling.normalize == "last" and len(x) > 1:
            # A strange last value moves all others away. Where they are fine beside the one before it, it is the one.
            other = x - self._scaling.levels * x[-2]
            moved = ~((other >= self._low) & (other <= self._high))
            moved[-1] = True
            return np.where(moved.sum(axis=0) < outside.sum(axis=0), moved, outside)
        return outside

    def _run(self, rows: np.ndarray) -> np.ndarray:
        """Returns the answer to one window or, from a streaming file, to one row."""
        if not self.streaming:
            self._clear()
        for now in self._past.stored(rows).reshape(-1, *self._past.shape):  # once, or step by step
            self._past.view()[...] = now
            self._interpreter.invoke()
            for state, after in self._states:
                state.view()[...] = after.view()
        return self._y.real().reshape(self._shape)

    def _clear(self) -> None:
        """Sets the states to zero, inside the file and beside it."""
        self._interpreter.reset_all_variables()
        for state, _ in self._states:
            state.view()[...] = state.zero

    def _forecast(self, rows: np.ndarray, last: np.ndarray, flags: list[str]) -> Forecast:
        """Returns the network's forecast or, where it has none, the last known values."""
        flags = [flag for flag in flags if flag]
        window = _filled(rows, self._limit)[-self.lookback :]
        lost = np.isnan(window).any(axis=1)
        healed = np.isnan(rows[-self.lookback :]).any(axis=1) & ~lost
        have = self._fed if self.streaming else len(rows)
        if healed.any():
            flags.append(f"{_missed(healed.sum())} filled with the last known values")
        if have < self.lookback:
            why = f"warming up: {have:,} of {self.lookback:,} rows"
        elif lost.any():
            why = f"{_missed(lost.sum())} more than {self._limit} rows after a known one"
        else:
            why = "the network's input or answer is not finite"
            x, base, gain, sent = self._seen(window)
            outside = self._outside(x)
            if self.about["range"] and outside.any():
                names = ", ".join(self.columns[f] for f in np.flatnonzero(outside.any(axis=0)))
                share = f"{outside.sum():,} of {outside.size:,} inputs ({outside.mean():.1%})"
                flags.append(f"{share} lie outside of what training saw, in {names}")
            if sent is not None:
                y = self._answer if self.streaming else self._run(sent)
                values = self._scaling.after(y, base, gain) if self._scaling.host else y
                if np.isfinite(values).all():
                    unit = self._scaling.unit(window, self._fade, self._quiet)
                    middle = values[..., self._middle] if len(self._shape) > 2 else values
                    ends = {name: middle + offsets * unit for name, offsets in self._offsets.items()}
                    ends = {name: self._scaling.bounded(end) for name, end in ends.items()}
                    return Forecast(values, False, tuple(flags), ends)
        if not self.targets:  # nobody knows which columns they are
            return Forecast(np.full(self._shape, np.nan), True, (*flags, f"{why}, so there is no forecast"))
        if not len(last) or np.isnan(last).any():
            wanted = f"A forecast needs a known value of {', '.join(self.targets)} at least"
            raise EdgeError(f"{wanted}. Received: rows without one ({why}). Give rows with values.", BAD_ROWS)
        naive = np.broadcast_to(last[0, :, None] if len(self._shape) > 2 else last[0], self._shape).copy()
        unknown = {name: np.full(self._shape[:2], np.nan) for name in self._offsets}
        return Forecast(naive, True, (*flags, f"{why}, so the naive forecast stands in"), unknown)


def bench(model: EdgeModel, seconds: float = 2.0, number: int | None = None) -> dict[str, Any]:
    """Returns how long a forecast takes here, in microseconds: `p50`, `p95`, `p99`, `mean`; of how many, and on what.

    Args:
        model: What `load` returned; it forgets what was pushed.
        seconds: How long to measure.
        number: How many forecasts to measure instead.
    """
    others = {name: np.ones(shape) for name, shape in model._shapes.items() if name in model._others}
    rows, times = np.ones((model.lookback, model._recent.shape[1])), list[float]()
    model.predict(rows, **others)
    end = time.perf_counter() + seconds
    while not times or (time.perf_counter() < end if number is None else len(times) < number):
        start = time.perf_counter()
        _ = model.push(rows[0]) if model.streaming else model.predict(rows, **others)
        times.append(1e6 * (time.perf_counter() - start))
    model.reset()
    figures: dict[str, Any] = {f"p{p}": float(np.percentile(times, p)) for p in (50, 95, 99)}
    figures |= {"mean": float(np.mean(times)), "runs": len(times), "threads": model.threads}
    info, machine = Path("/proc/cpuinfo"), platform.machine()
    named = re.search(r"^(?:model name|Model)\s*: *(.+)$", info.read_text() if info.exists() else "", re.M)
    figures |= {"machine": machine, "processor": named[1] if named else platform.processor()}
    figures |= {name: model.about[name] for name in ("layout", "quantize")}
    if figures["layout"] == "fused" and figures["quantize"] in ("int8", "int16") and machine in ("x86_64", "AMD64"):
        figures["note"] = "LiteRT's integer LSTM is scalar on x86 and uses NEON on Arm: this is no figure of a device."
    return figures


# --- at a prompt ----------------------------------------------------------------------------------------------------


def _say(*lines: object, error: bool = False) -> None:
    for line in lines:
        print(line, file=sys.stderr if error else sys.stdout, flush=True)


def _open(path: str) -> Any:
    try:
        return nullcontext(sys.stdin) if path == "-" else open(path, newline="", encoding="utf-8-sig")
    except OSError as problem:
        raise EdgeError(f"Rows must be a file that can be read, or -. Received: {problem}. Name another.") from None


def _table(lines: Iterable[str], columns: list[dict[str, Any]], size: int) -> Iterator[list[float]]:
    """Yields the wanted columns of CSV, row by row; an empty cell is a missing value."""
    reader = csv.reader(lines)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        names = [column["name"] for column in columns] or header
        lost = [name for name in names if name not in header]
        if lost or len(names) != size:
            made = "".join(f"\n  {column['name']}: {column['means']}" for column in columns)
            received = f"{', '.join(header) or 'nothing'}{'; not ' if lost else ''}{', '.join(lost)}"
            wanted = f"Rows must be CSV with a header and {size} columns"
            raise EdgeError(f"{wanted}. Received: {received}. Give these:{made or ' as many as in training'}", BAD_ROWS)
        where = [header.index(name) for name in names]
        for cells in filter(None, reader):
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells below a header of {len(header)}")
            yield [float(cells[n]) if cells[n].strip() else math.nan for n in where]
    except (csv.Error, ValueError) as problem:
        wanted = "Rows must be CSV of numbers, with an empty cell for a missing one"
        raise EdgeError(f"{wanted}. Received in line {reader.line_num}: {problem}. Repair it.", BAD_ROWS) from None


def _shown(model: EdgeModel, forecast: Forecast, as_json: bool, row: int | None = None) -> str:
    """Returns a forecast as one object of JSON; or as a table of its steps, in one line if it is that of a row."""
    values = forecast.values.reshape(model.horizon, -1)
    if as_json:
        ends = {name: _listed(array) for name, array in forecast.intervals.items()}
        said = {"name": model.about["name"], "row": row, "targets": model.targets, "unit": model.unit}
        said |= {"values": _listed(forecast.values), **ends}
        return json.dumps(said | {"fallback": forecast.fallback, "flags": forecast.flags})
    if row is not None:
        return "  ".join([str(row), *(f"{value:.7g}" for value in values.ravel())])
    names = model.targets or [f"output {k + 1}" for k in range(forecast.values.shape[1])]
    quantiles, unit = model.about["quantiles"], f" ({model.unit})" if model.unit else ""
    heads = [f"{name}{quantile}{unit}" for name in names for quantile in [f" {q:g}" for q in quantiles] or [""]]
    heads += [f"{name} {end[7:].replace('_', ' ')}" for name in names for end in forecast.intervals]
    bounds = [array[:, k, None] for k in range(len(names)) for array in forecast.intervals.values()]  # (H, 1) each
    table = np.concatenate([values, *bounds], axis=1)
    lines = [["step", *heads], *([str(h), *(f"{value:.7g}" for value in line)] for h, line in enumerate(table, 1))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def _listed(array: np.ndarray) -> Any:
    """Returns an array as lists; None where it holds what is no number, which JSON has not."""
    return array.tolist() if np.isfinite(array).all() else None


def _described(model: EdgeModel) -> str:
    about, dates = model.about, model.about["dates"]
    every = f"{dates['seconds']:g} seconds" if dates["seconds"] else dates.get("freq") or "step"
    every = f"session of {dates['calendar']}" if dates.get("calendar") else every
    columns = [f"  {one['name']} ({one['kind']}): {one['means']}" for one in about["columns"]]
    filled = f"A missing value becomes the last known one, over {about['missing']['limit']} rows at most."
    heading = f"One row every {every}, oldest first{', with these columns:' if columns else '.'}"
    return "\n".join([str(model), heading, *columns, filled, f"sha256 {about['digest']}"])


def _command(given: argparse.Namespace) -> int:
    """Does what was asked for, and returns the exit code."""
    here = Path(__file__).resolve().parent
    found = [given.model] if given.model else sorted(here.glob("*.tflite"))
    if len(found) != 1:
        raise EdgeError(f"One .tflite file must lie in {here}. Received: {len(found)}. Name it with --model.")
    model = load(found[0], given.threads, given.series)
    if given.describe:
        _say(json.dumps(model.about, indent=1) if given.json else _described(model))
        return 0
    if given.bench:
        figures = {name: round(one, 1) if isinstance(one, float) else one for name, one in bench(model).items()}
        _say(*[json.dumps(figures)] if given.json else (f"{name:9}  {one}" for name, one in figures.items()))
        return 0
    others: dict[str, Any] = {"static": given.static.split(",")} if given.static else {}
    size, columns = model._recent.shape[1], model.about["columns"]
    if given.known and given.stream:
        raise EdgeError("A stream takes rows alone. Received: --known, too. Leave out one of them.")
    if given.known:
        ahead = model._shapes["known"][1]
        with _open(given.known) as lines:
            others["known"] = list(_table(lines, columns[size - ahead :], ahead))
    code = 0
    with _open(given.rows) as lines:
        table = _table(lines, columns, size)
        if not given.stream:
            forecast = model.predict(np.array(list(table)).reshape(-1, size), **others)
            _say(_shown(model, forecast, given.json))
            _say(*forecast.flags, error=True)
            return 0
        for n, row in enumerate(table, 1):
            try:
                forecast = model.push(row, **others)
            except EdgeError as problem:
                if problem.exit_code != BAD_ROWS:
                    raise
                code = problem.exit_code
                _say(f"row {n}: {problem}", error=True)  # the next row may do better
            else:
                _say(_shown(model, forecast, given.json, n))
                _say(*(f"row {n}: {flag}" for flag in forecast.flags), error=True)
    return code


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description="Forecasts from rows, with the model that lies beside this file.")
    parser.add_argument("rows", nargs="?", default="-", help="CSV with a header, oldest row first; - is standard input")
    parser.add_argument("--model", help="the .tflite file, where it lies elsewhere or with others")
    parser.add_argument("--known", help="CSV of the columns known ahead, for the rows of the window and of the horizon")
    parser.add_argument("--static", help="what never changes about the series: numbers with commas between")
    parser.add_argument("--series", help="whose rows they are, where the file holds the scalings of several")
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    parser.add_argument("--stream", action="store_true", help="print a forecast after each row, as soon as it is read")
    parser.add_argument("--describe", action="store_true", help="print what the model wants")
    parser.add_argument("--bench", action="store_true", help="print how long a forecast takes here, in microseconds")
    parser.add_argument("--threads", type=int, default=1, help="threads of the interpreter")
    try:
        return _command(parser.parse_args(arguments))
    except EdgeError as problem:
        _say(problem, error=True)
        return problem.exit_code
    except BrokenPipeError:  # whoever read this has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
