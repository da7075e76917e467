"""Several networks that forecast as one: one plain Keras model, so all that takes one takes these.

                        +--------- shell ----------+
    past, known, ... ---|--+-- core 1 --+          |
                        |  +-- core 2 --+-- median |--- (N, H, K)
                        |  +-- core 3 --+  or mean |
                        +------ `- its last rows --+
                                   where it looks back less far

They share one pipeline: what goes in and comes out is scaled the same. Where all normalise their windows alike, they
share the shell, too, and can become one file on a device; otherwise each keeps its own. The median is a sorting network
of minima and maxima, which devices have, too.

Source: Hansen and Salamon (1990), https://doi.org/10.1109/34.58871; Makridakis et al. (2020),
https://doi.org/10.1016/j.ijforecast.2019.04.014, on how combinations fare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.pipeline import DataPipeline

from .evaluation.beside import season_lengths
from .fitting import Fitted, calibrated, shapes_of
from .lineage import successor
from .selection import calibration_windows

if TYPE_CHECKING:
    import keras

    from .config import ForecastConfig
    from .forecaster import Forecaster
    from .models import Shapes
    from .prepare import Data

PREFIX = "network_"
_OTHER_ROWS = (
    "Members of an ensemble share one split and one scaling, learned from the same training rows. Received: another {} "
    "in member {}. Train them on the same rows with the same `split`."
)
SAME = ("horizon", "gap", "predict", "past", "known", "static", "features", "quantiles", "bounds", "scaling")


def combined(networks: Sequence[keras.Model], config: ForecastConfig, shapes: Shapes, levels: np.ndarray) -> Any:
    """Returns networks as one, which shares their weights.

    Args:
        networks: At least two, each in its shell, with a lookback of at most that of `shapes`.
        config: Settings of the ensemble; its members are these networks, in order.
        shapes: What all of them together are built for.
        levels: Which inputs move with the level `(F,)`.
    """
    from .models._shell import core_of, wrap

    how = config.ensemble.combine if config.ensemble is not None else "mean"
    if not shares_shell(config):
        return _joined(networks, shapes, how)
    core = _joined([core_of(one, config.normalize) for one in networks], shapes, how)
    return wrap(core, shapes, config.normalize, levels, put_back=config.predict == "level")


def ensemble_of(forecasters: Sequence[Forecaster], combine: str = "median", data: Data | None = None) -> Forecaster:
    """Returns fitted forecasters as one, whose intervals are learned anew.

    Args:
        forecasters: At least two, trained on the same rows to forecast the same; models, lookbacks, normalisation,
            seeds and training may differ.
        combine: "median" or "mean" of what they answer.
        data: Rows, by default those of the first one's `fit`.

    Raises:
        ConfigError: They do not forecast the same, or learned their scaling from other rows.
        NotFitted: One is not trained, or there are no rows.

    Example:
        >>> import forecast
        >>> rows = forecast.load("sample:goog")
        >>> few = {"target": "Close", "training": {"epochs": 1}}
        >>> models = [forecast.Forecaster(name, **few).fit(rows, quiet=True) for name in ("lstm", "gru")]
        >>> ensemble_of(models).config.label
        'ensemble'
    """
    from ._keras import load_keras

    keras = load_keras()
    from .training.progress import Progress

    if len(forecasters) < 2:
        raise ConfigError(f"An ensemble must have at least two members. Received: {len(forecasters)}. Give more.")
    _refuse_others(forecasters)
    widest = max(forecasters, key=lambda one: one.config.lookback)
    members = [
        {
            "model": one.config.model.model_dump(),
            "lookback": one.config.lookback,
            "normalize": one.config.normalize,
            "training": one.config.training.model_dump(),
            "seed": one.config.seed,
        }
        for one in forecasters
    ]
    first = forecasters[0]
    config = widest.config.replace(
        ensemble={"members": members, "combine": combine}, normalize=first.config.normalize, target=first.target
    )
    networks = []
    for one in forecasters:
        copied = keras.models.clone_model(one.network_)
        copied.set_weights(one.network_.get_weights())
        networks.append(copied)
    base = widest if data is None else widest.attach(data)
    panel, splits, pipeline = first.panel_ if data is None else base.panel_, base.splits_, widest.pipeline_
    for place, one in enumerate(forecasters, 1):
        if not np.array_equal(one._split(panel).bounds, splits.bounds):
            raise ConfigError(_OTHER_ROWS.format("split", place))
    shapes = shapes_of(pipeline, config, season_lengths(panel, config.season_length)[0])
    network = combined(networks, config, shapes, pipeline.levels_)
    fitted = Fitted(pipeline, network, None, None, config.quantiles)
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    calibration = calibration_windows(pipeline, rows, splits)
    result = successor(base, calibrated(fitted, rows, splits, calibration, Progress(quiet=True)), {})
    result.config, result._panel, result.own, result.lineage_ = config, panel, first.own, ()
    return result


def _refuse_others(forecasters: Sequence[Forecaster]) -> None:
    """Raises ConfigError where forecasters do not forecast the same from the same numbers."""
    first = forecasters[0]
    for place, one in enumerate(forecasters, 1):
        if one.config.ensemble is not None:
            raise ConfigError(
                f"Members of an ensemble are single networks. Received: an ensemble as member {place}. Give its "
                "members instead."
            )
        differ = [name for name in SAME if getattr(one.config, name) != getattr(first.config, name)]
        differ += ["target"] if one.target != first.target else []
        if differ:
            said = ", ".join(
                f"{name} {_told(getattr(first.config, name))} and {_told(getattr(one.config, name))}" for name in differ
            )
            raise ConfigError(
                f"Members of an ensemble forecast the same. Received: {said} in the first and member {place}. Train "
                "them with the same settings but model, lookback, normalize, training and seed."
            )
        if not _same_numbers(first.pipeline_, one.pipeline_):
            raise ConfigError(_OTHER_ROWS.format("scaling", place))


def _same_numbers(a: DataPipeline, b: DataPipeline) -> bool:
    """Returns whether two pipelines scale alike."""
    if a.ids_ != b.ids_ or a.inputs_ != b.inputs_ or a.scaler_ is None or b.scaler_ is None:
        return False
    pairs: list[tuple[Any, Any]] = [
        (a.scaler_.factor_, b.scaler_.factor_),
        (a.scaler_.shift_, b.scaler_.shift_),
    ]
    pairs += [(a.sigma_[name], b.sigma_[name]) for name in a.sigma_ if name in b.sigma_]
    return all(np.array_equal(one, other) for one, other in pairs)


def _told(value: Any) -> str:
    return str(value.model_dump()) if hasattr(value, "model_dump") else repr(value)


def shares_shell(config: ForecastConfig) -> bool:
    """Returns whether all members normalise a window alike: by its last value, or over the same rows."""
    kinds = {(one.normalize, one.lookback if one.normalize == "mean_std" else 0) for one in config.members()}
    return len(kinds) == 1 and next(iter(kinds))[0] == config.normalize


def member_core(network: keras.Model, config: ForecastConfig, number: int = 1) -> keras.Model:
    """Returns the core of one member of an ensemble, or the core of what is none.

    Raises:
        ConfigError: There are fewer members.
    """
    from .models._shell import core_of

    members = config.members()
    if not 1 <= number <= len(members):
        raise ConfigError(f"`member` must be a number from 1 to {len(members)}. Received: {number}")
    if config.ensemble is None:
        return core_of(network, config.normalize)
    if shares_shell(config):
        return _networks(core_of(network, config.normalize))[number - 1]
    return core_of(_networks(network)[number - 1], members[number - 1].normalize)


def _networks(network: keras.Model) -> list[keras.Model]:
    return [layer for layer in network.layers if layer.name.startswith(PREFIX)]


def _joined(networks: Sequence[keras.Model], shapes: Shapes, how: str) -> keras.Model:
    import keras

    from .models._shell import INPUT_NAMES, input_names, make_input

    names = [name for name in INPUT_NAMES if any(name in input_names(one) for one in networks)]
    inputs = {name: make_input(name, shapes) for name in names}
    answers = []
    for number, network in enumerate(networks, 1):
        mine = input_names(network)
        cut = shapes.lookback - int(network.inputs[mine.index("past")].shape[1])
        given = {name: _last(inputs[name], name, cut, number) for name in mine}
        alone = mine == ("past",)
        named = keras.Model(
            network.inputs[0] if alone else dict(zip(mine, network.inputs, strict=True)),
            network.outputs[0],
            name=f"{PREFIX}{number}",
        )
        answers.append(named(given["past"] if alone else given))
    y = mean(answers) if how == "mean" else median(answers)
    return keras.Model(inputs["past"] if names == ["past"] else inputs, y, name="ensemble")


def mean(answers: Sequence[Any]) -> Any:
    """Returns the mean of tensors."""
    import keras

    # Not Keras's Average: the converter takes its sum of two for a bias, and refuses that.
    return keras.ops.mean(keras.ops.stack(list(answers)), axis=0)


def median(answers: Sequence[Any]) -> Any:
    """Returns the median of tensors; of an even number, the mean of the two in the middle.

    Sorted by odd-even transposition (Knuth, The Art of Computer Programming, vol. 3, 5.3.4).
    """
    import keras

    ordered = list(answers)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            a, b = ordered[i], ordered[i + 1]
            ordered[i], ordered[i + 1] = keras.layers.Minimum()([a, b]), keras.layers.Maximum()([a, b])
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return mean(ordered[middle - 1 : middle + 1])


def _last(tensor: Any, name: str, cut: int, number: int) -> Any:
    """Returns an input without its oldest rows."""
    import keras

    if not cut or name not in ("past", "known"):
        return tensor
    return keras.layers.Cropping1D((cut, 0), name=f"last_{name}_{number}")(tensor)
