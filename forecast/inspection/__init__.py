"""What happens inside a recurrent layer over one window: its gates and states step by step, and attention weights.

    rows of the window       r0  r1  r2  r3  r4  r5        (L,)
    what the layer sees          s0      s1      s2        (T, C), here after pooling two rows into one step
    steps                         1       3       5        (T,)    the row that each step ends at
    gates, by name               ..      ..      ..        (T, U)  each

Gates are not read out of Keras, which does not show them: they are computed from the layer's weights by its equations,
in float64, from what the layer sees of the window, which went through the pipeline and the shell as for a forecast. The
hidden states that come out must be those of the layer itself, or the window is refused.

A gate says what passes, not why. This module draws nothing, see `forecast/plotting/_inside.py`.

Axes: `L` lookback, `T` steps of the layer, `C` what it sees of each, `U` units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError, DataError, SeriesTooShort, UnknownName
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline
from pipelines.windows import WindowIndex

from ..plotting import _picked as picked
from ..text import aligned, number
from ._equations import called, equations, one_way, run

if TYPE_CHECKING:
    from ..forecaster import Forecaster
    from ..prepare import Data

KEEPS = ("forget gate", "update gate")  # how much of what a unit holds is there after a step

# Keras computes in float32, or on some GPUs in less; other equations are further off.
TOLERANCE = 1e-2
ROUNDING = 1e-5  # of what a layer sees, between windows of one batch
LARGEST = 5  # attention weights that are named


@dataclass(frozen=True, eq=False)
class Inspection:
    """What happened inside a layer over one window; print it.

    Attributes:
        model: Name of the model.
        layer: Name of the layer.
        layers: Names of all recurrent layers of the network, any of which may be looked into.
        kind: What it is, such as "LSTM", "peephole LSTM" or "forward LSTM".
        series: Whose window it is.
        cutoff: The last row of the window, for people.
        target: Name of the first target.
        unit: What it is counted in; "" where nobody said.
        stamps: Of the window's rows `(L,)`: datetime64, or integers.
        values: The target in original units `(L,)`, NaN where nobody measured.
        steps: Which row of the window each step ends at `(T,)`, from 0; falling where the layer reads backwards.
        gates: Gates and states by name, `(T, U)` float64 each. A gate lies between 0, closed, and 1, open; states are
            those after the step.
        attention: How much each row of the window counts in the model's attention `(L,)`; None where it has none.
    """

    model: str
    layer: str
    layers: tuple[str, ...]
    kind: str
    series: str
    cutoff: Any
    target: str
    unit: str
    stamps: np.ndarray
    values: np.ndarray
    steps: np.ndarray
    gates: Mapping[str, np.ndarray]
    attention: np.ndarray | None = None

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return int(self.gates["hidden state"].shape[1])

    @property
    def openness(self) -> dict[str, float]:
        """How far each gate is open, from 0 to 1: the mean over steps and units."""
        return {name: float(values.mean()) for name, values in self.gates.items() if name.endswith("gate")}

    @property
    def keeper(self) -> str:
        """The gate that decides how much of what a unit holds is kept."""
        return next(name for name in KEEPS if name in self.gates)

    @property
    def half_lives(self) -> np.ndarray:
        """After how many steps half of what each unit holds is gone, `(U,)`: `ln 0.5 / ln f`.

        `f` is the geometric mean of the unit's forget gate over the window (of the update gate of a GRU): what is held
        shrinks by the product of the gates. It says nothing of what is written meanwhile.
        """
        with np.errstate(divide="ignore"):  # a gate that never closes: infinity; one that is shut: 0
            lost = -np.log(self.gates[self.keeper]).mean(axis=0)  # (U,)
            return np.asarray(np.log(2) / (np.maximum(lost, 0) + 0.0))

    @property
    def half_life(self) -> float:
        """That of the median unit, in steps."""
        return float(np.median(self.half_lives))

    @property
    def rows_a_step(self) -> int:
        """Rows of the window that one step covers."""
        return int(np.abs(np.diff(self.steps)).min(initial=len(self.stamps)))

    @property
    def size(self) -> str:
        """What the layer is and how much of it, such as "LSTM of 64 units, 30 steps of 2 rows"."""
        units, steps = picked.many(self.units, "unit"), picked.many(len(self.steps), "step")
        return f"{self.kind} of {units}, {steps}" + (f" of {n} rows" if (n := self.rows_a_step) > 1 else "")

    @property
    def what(self) -> str:
        """The target of the series, such as "Close of GOOG"."""
        return self.target if self.series == "series" else f"{self.target} of {self.series}"

    def largest(self, count: int = LARGEST) -> list[tuple[Any, float]]:
        """Returns the stamps with the largest attention weights, and these; none where there is no attention."""
        if self.attention is None:
            return []
        order = np.argsort(-self.attention, kind="stable")[:count]
        return [(_stamp(self.stamps[row]), float(self.attention[row])) for row in order]

    def __str__(self) -> str:
        median = f"{number(self.half_life)} steps"
        middle = " to ".join(map(number, np.percentile(self.half_lives, (25, 75), method="nearest")))
        lines = [
            f"{self.model}: {self.what}, the {picked.many(len(self.stamps), 'row')} up to {self.cutoff}",
            f"layer {self.layer}: {self.size}",
            aligned([("", "mean openness"), *((n, number(v)) for n, v in self.openness.items())], True, "  "),
            f"Half-life of the median unit: {median}; of the middle half of the units: {middle}.",
            f"After so long half of what a unit holds is gone, by its {self.keeper} alone: ln 0.5 / ln (mean gate).",
        ]
        if found := self.largest():
            table = aligned([("row", "weight"), *((str(at), number(weight)) for at, weight in found)], True, "  ")
            lines += [f"The largest attention weights; all alike, each were {number(1 / len(self.stamps))}:", table]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers as plain values, for JSON."""
        return {
            "model": self.model,
            "layer": self.layer,
            "layers": list(self.layers),
            "kind": self.kind,
            "units": self.units,
            "series": self.series,
            "target": self.target,
            "unit": self.unit,
            "cutoff": str(self.cutoff) if isinstance(self.stamps[0], np.datetime64) else self.cutoff,
            "steps": self.steps.tolist(),
            "openness": self.openness,
            "half_life": self.half_life,
            "half_lives": self.half_lives.tolist(),
            "attention": None if self.attention is None else self.attention.tolist(),
            "largest_weights": [{"ds": at, "weight": weight} for at, weight in self.largest()],
        }


def inspect(
    forecaster: Forecaster,
    data: Data | None = None,
    series: str | None = None,
    cutoff: Any = None,
    layer: str | None = None,
    member: int = 1,
) -> Inspection:
    """Returns what happens inside a recurrent layer over one window.

    Args:
        forecaster: Fitted, or loaded from a bundle.
        data: Rows that hold the window, by default those of `fit`.
        series: Name of the series, by default the first.
        cutoff: Stamp of the window's last row, by default the last row that ends a complete window.
        layer: Name of a recurrent layer, by default the first of the network. Of a layer that reads both ways, the
            one that reads forwards is looked into.
        member: Which network of an ensemble, from 1.

    Raises:
        NotFitted: There is no trained network, or there are no rows yet.
        UnknownName: There is no such series, or no recurrent layer of this name.
        SeriesTooShort: The series holds no complete window.
        ConfigError: No complete window ends at this cutoff, the network has no recurrent layer, or it is of a kind
            whose equations are not known here.
        DataError: The layer sees what is known ahead, and nobody knows it.

    Example:
        >>> import forecast
        >>> from forecast.inspection import inspect
        >>> model = forecast.Forecaster(target="Close", lookback=20, training={"epochs": 1})
        >>> seen = inspect(model.fit("sample:goog", quiet=True))
        >>> seen.gates["forget gate"].shape
        (20, 64)
    """
    pipeline, config = forecaster.pipeline_, forecaster.config
    panel = forecaster.panel_ if data is None else forecaster.attach(data).panel_
    s = 0 if series is None else picked.series_number(panel, series)
    one = panel.take([s])
    from ..ensembles import member_core
    from ..models._shell import input_names
    from ..training.data import feed

    core = member_core(forecaster.network_, config, member)
    config = config.members()[member - 1]
    names, found = _chosen(core, layer, config.model.name)
    row, lookback = _last_row(pipeline, one, cutoff), config.lookback
    inputs = _window(pipeline, one, row, lookback)
    given = feed(_normalised(inputs, config.normalize, pipeline.levels_), input_names(core))
    sequence, said, starts = _seen(core, found, given)
    if np.isnan(sequence).any():
        raise DataError(
            f"Layer {found.name!r} sees covariates that are known ahead, and the rows hold none after the cutoff. "
            f"Received: cutoff {_at(one, row)}. Give rows that reach {pipeline.spec.window.horizon} further, or an "
            "earlier cutoff."
        )
    kind, gates = run(found, sequence, starts)
    if not np.abs(gates["hidden state"][-said.shape[0] :] - said).max() <= TOLERANCE:
        raise ConfigError(
            f"Gates are computed by the equations of a {kind}, and must come to the hidden states that Keras gives. "
            f"Received: layer {found.name!r}, which gives others; it may be masked, stateful, or of a class of its "
            "own. Choose another layer, or a plain one."
        )
    steps = _steps(core, found, given, len(sequence), lookback)
    backwards = bool(getattr(one_way(found), "go_backwards", False))
    window = slice(row + 1 - lookback, row + 1)
    return Inspection(
        model=config.model.name,
        layer=found.name,
        layers=names,
        kind=kind,
        series=one.ids[0],
        cutoff=_at(one, row),
        target=pipeline.spec.targets[0],
        unit=forecaster.unit_,
        stamps=picked.stamps(one, 0, window),
        values=picked.values(one, pipeline.spec.targets[0], window),
        steps=steps[::-1] if backwards else steps,
        gates=gates,
        attention=_attention(core, given, lookback),
    )


def states(network: Any, normalize: str, levels: np.ndarray, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns gates and states of a network's first recurrent layer over one window, by "layer/gate"; `(T, U)` each.

    Args:
        network: In its shell.
        normalize: What the shell does.
        levels: Which inputs move with the level `(F,)`.
        inputs: Of one window, as the pipeline gives them.

    Returns:
        Nothing, where no layer can be looked into.
    """
    from ..models._shell import core_of, input_names
    from ..training.data import feed

    core = core_of(network, normalize)
    try:
        _, found = _chosen(core, None, core.name)
    except ConfigError:
        return {}
    given = feed(_normalised(inputs, normalize, levels), input_names(core))
    sequence, _, starts = _seen(core, found, given)
    return {f"{found.name}/{name}": values for name, values in run(found, sequence, starts)[1].items()}


def _normalised(inputs: Mapping[str, np.ndarray], normalize: str, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Returns inputs as the core inside of the shell sees them."""
    from ..export.edges import normalised
    from ..models._shell import EPSILON

    shell = {"normalize": normalize, "levels": levels, "epsilon": EPSILON}
    return {**inputs, "past": normalised(inputs["past"], shell)}


# --- which layer --------------------------------------------------------------------------------------------------


def _chosen(core: Any, name: str | None, model: str) -> tuple[tuple[str, ...], Any]:
    """Returns the names of a network's recurrent layers, and the one to look into."""
    import keras

    kinds = keras.layers.RNN, keras.layers.Bidirectional
    layers = {layer.name: layer for layer in core.layers if isinstance(layer, kinds)}
    known = [one for one, layer in layers.items() if equations(layer) is not None]
    if not layers:
        names = dict.fromkeys(type(layer).__name__ for layer in core.layers)
        names.pop("InputLayer", None)
        raise ConfigError(
            f"Only a network with a recurrent layer can be looked into. Received: {model!r}, whose layers are "
            f"{', '.join(names)}. Choose a recurrent model, "
            "such as lstm or gru; in a model of your own it must not lie in a model inside of it."
        )
    if name is not None and name not in layers:
        raise UnknownName.of("recurrent layer", str(name), layers)
    found = next(iter(layers.values())) if name is None else layers[name]
    if equations(found) is None:
        instead = f"Choose another layer: {', '.join(known)}." if known else "Choose another model, such as lstm."
        raise ConfigError(
            "A layer that is looked into must be an LSTM or a GRU, plain, with peepholes or layer-normalised, alone or "
            f"in Bidirectional. Received: layer {found.name!r} of model {model!r}, a {called(found)}. {instead}"
        )
    return tuple(layers), found


# --- what it sees -------------------------------------------------------------------------------------------------


def _last_row(pipeline: DataPipeline, one: Panel, cutoff: Any) -> int:
    """Returns the last row of the window in a panel of one series."""
    lookback = pipeline.spec.window.lookback
    missing = np.concatenate([[0], np.cumsum(pipeline.transform(one).missing())])  # (R + 1,)
    ends = np.arange(lookback - 1, len(one))
    ends = ends[missing[ends + 1] == missing[ends + 1 - lookback]]
    if not len(ends):
        raise SeriesTooShort(
            f"One window needs {lookback} rows without missing values, after the {pipeline.warmup} that features take "
            f"to warm up. Received: {len(one)} rows of series {one.ids[0]!r}, and nowhere so many in a row. Give more, "
            "fill the gaps, or choose another series."
        )
    if cutoff is None:
        return int(ends[-1])
    wanted = picked.instant(one, 0, cutoff)
    ds = one.ds[ends]
    if wanted not in ds:
        raise ConfigError(
            f"`cutoff` must be the last row of a complete window: {picked.many(len(ds), 'stamp')}, "
            f"{_at(one, ends[0])} to {_at(one, ends[-1])}. Received: {cutoff!r}. The nearest is "
            f"{_at(one, ends[np.argmin(np.abs(ds - wanted))])}."
        )
    return int(ends[np.searchsorted(ds, wanted)])


def _window(pipeline: DataPipeline, one: Panel, row: int, lookback: int) -> dict[str, np.ndarray]:
    """Returns the inputs of one window, as for a forecast from there; covariates that nobody knows ahead are NaN."""
    spec = pipeline.spec.window.replace(lookback=lookback)
    ahead, _ = one.extend(spec.gap + spec.horizon)
    rows = pipeline.transform(ahead, known_until=np.array([row + 1]))
    rows.known[len(one) :, : len(pipeline.spec.known)] = np.nan  # the calendar is known, and these are no values
    inputs, _ = pipeline.batch(rows, WindowIndex(np.array([row]), np.array([0]), spec), future=False)
    return inputs


def _seen(core: Any, layer: Any, given: Any) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Returns what a layer sees of a window `(T, C)`, the hidden states that it gives, and those that it starts from.

    The given ones are `(T, U)`, or `(1, U)` of the last step, in the order of its steps.
    """
    import keras

    seen, *others = _listed(layer.input)
    starts = [tensor for tensor in others if tensor.dtype != "bool"]  # a mask is none
    said, *_ = _listed(layer.output)
    found = _of(core, given, [seen, said, *starts])
    sequence, states, *begin = (np.asarray(array[0], np.float64) for array in found)
    if isinstance(layer, keras.layers.Bidirectional):
        one = layer.forward_layer
        if layer.merge_mode not in ("concat", None):  # sums and products cannot be taken apart
            states = np.asarray(one(found[0])[0], np.float64)
        states = states[..., : one.units if hasattr(one, "units") else one.cell.units]
        begin = begin[: len(begin) // 2]
    return sequence, np.atleast_2d(states), begin


def _of(core: Any, given: Any, outputs: list[Any]) -> list[np.ndarray]:
    """Returns what some tensors of a network are, for its inputs."""
    import keras

    inputs = [given[tensor.name] for tensor in core.inputs] if isinstance(given, dict) else [given]
    found = keras.Model(core.inputs, outputs)(inputs, training=False)
    return [keras.ops.convert_to_numpy(array) for array in _listed(found)]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _steps(core: Any, layer: Any, given: Any, count: int, lookback: int) -> np.ndarray:
    """Returns the row of the window that each step ends at `(T,)`: the last one that changes what the layer sees there.

    Where there are as many steps as rows, a step is a row. Else rows are changed from some row on to the last one, and
    a step ends at the latest row from which on this changes it.
    """
    if count == lookback:
        return np.arange(lookback)
    named = given if isinstance(given, dict) else {"past": given}
    past, random = named["past"], np.random.default_rng(0)  # (1, L, F)
    later = np.triu(np.ones((lookback, lookback), bool))[..., None]  # (L, L, 1): in window r, the rows from r on
    ends = np.full(count, -1)
    for size in (1, 1, 10, 10):  # an activation may be silent on some
        noise = size * random.standard_normal((lookback, *past.shape[1:]), np.float32)  # (L, L, F)
        windows = np.concatenate([past, np.where(later, past + noise, past)])
        many = {name: np.repeat(array, len(windows), axis=0) for name, array in named.items()} | {"past": windows}
        (seen,) = _of(core, many if isinstance(given, dict) else windows, [_listed(layer.input)[0]])  # (1 + L, T, C)
        moved = (np.abs(seen[1:] - seen[:1]) > ROUNDING * np.abs(seen).max()).any(axis=2)  # (L, T)
        ends = np.maximum(ends, np.where(moved.any(axis=0), lookback - 1 - np.argmax(moved[::-1], axis=0), -1))
    if (ends >= 0).all() and (np.diff(ends) > 0).all():
        return ends
    return np.ceil(np.arange(1, count + 1) * lookback / count).astype(int) - 1  # each step sees all: evenly over rows


def _attention(core: Any, given: Any, lookback: int) -> np.ndarray | None:
    """Returns the weights of rows `(L,)`, where the core has this project's attention."""
    import keras

    from ..models._attention import LAYER, weights_of

    ours = [one for one in core.layers if one.name == LAYER and isinstance(one, keras.layers.Softmax)]
    if not ours or tuple(ours[0].output.shape[1:]) != (1, lookback):
        return None
    named = given if isinstance(given, dict) else {core.inputs[0].name: given}
    return np.asarray(weights_of(core, named)[0], np.float64)


def _at(one: Panel, row: int) -> Any:
    return one.stamp(int(one.ds[row]))


def _stamp(stamp: Any) -> Any:
    """Returns a stamp for people: a date without the hour at midnight, or the integer."""
    if isinstance(stamp, np.datetime64):
        return str(stamp.astype("M8[s]")).replace("T", " ").removesuffix(" 00:00:00")
    return int(stamp)
