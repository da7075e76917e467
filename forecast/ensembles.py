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

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from .config import ForecastConfig
    from .models import Shapes

PREFIX = "network_"


def combined(networks: Sequence[keras.Model], config: ForecastConfig, shapes: Shapes, levels: np.ndarray) -> Any:
    """Returns networks as one, which shares their weights.

    Args:
        networks: At least two, each in its shell, with a lookback of at most that of `shapes`.
        config: Settings of the ensemble; its members are these networks, in order.
        shapes: What all of them together are built for.
        levels: Which inputs move with the level `(F,)`.
    """
    from .models._shell import core_of, wrap

    how = "mean" if config.ensemble is None else config.ensemble.combine
    if not shares_shell(config):
        return _joined(networks, shapes, how)
    core = _joined([core_of(one, config.normalize) for one in networks], shapes, how)
    return wrap(core, shapes, config.members()[0].normalize, levels, put_back=config.predict == "level")


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
