"""Several networks that forecast as one: one plain Keras model, so all that takes one takes these.

    past, known, ... --+-- network 1 --+
                       +-- network 2 --+-- median or mean -- (N, H, K)
                       +-- network 3 --+
                           `- its last rows, where it looks back less far

They share one pipeline: what goes in and comes out is scaled the same. Each has its own shell, so each may normalise its
windows its own way. The median is a sorting network of minima and maxima, which devices have, too.

Source: Hansen and Salamon (1990), https://doi.org/10.1109/34.58871; Makridakis et al. (2020),
https://doi.org/10.1016/j.ijforecast.2019.04.014, on how combinations fare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from .models import Shapes


def combined(networks: Sequence[keras.Model], shapes: Shapes, how: str) -> keras.Model:
    """Returns networks as one, which shares their weights.

    Args:
        networks: At least two, each with a lookback of at most that of `shapes`.
        shapes: What all of them together are built for.
        how: "median" or "mean".
    """
    import keras

    from .models._shell import INPUT_NAMES, input_names, make_input

    names = [name for name in INPUT_NAMES if any(name in input_names(one) for one in networks)]
    inputs = {name: make_input(name, shapes) for name in names}
    answers = []
    for number, network in enumerate(networks, 1):
        mine = input_names(network)
        lookback = network.inputs[mine.index("past")].shape[1]
        given = {name: _last(inputs[name], name, shapes.lookback - lookback, number) for name in mine}
        only = given["past"] if mine == ("past",) else given
        named = keras.Model(
            network.inputs[0] if mine == ("past",) else dict(zip(mine, network.inputs, strict=True)),
            network.outputs[0],
            name=f"network_{number}",
        )
        answers.append(named(only))
    y = mean(answers) if how == "mean" else median(answers)
    return keras.Model(inputs["past"] if names == ["past"] else inputs, y, name="ensemble_forecaster")


def networks_of(network: keras.Model) -> list[keras.Model]:
    """Returns the networks inside of what `combined` made; the network itself where it is one alone."""
    import keras

    found = [layer for layer in network.layers if isinstance(layer, keras.Model) and layer.name.startswith("network_")]
    return found or [network]


def mean(answers: Sequence[Any]) -> Any:
    """Returns the mean of tensors."""
    import keras

    return keras.layers.Average(name="mean")(list(answers))


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
    return keras.layers.Average(name="median")(ordered[middle - 1 : middle + 1])


def _last(tensor: Any, name: str, cut: int, number: int) -> Any:
    """Returns an input without its oldest rows."""
    import keras

    if not cut or name not in ("past", "known"):
        return tensor
    return keras.layers.Cropping1D((cut, 0), name=f"last_{name}_{number}")(tensor)
