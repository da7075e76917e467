"""Watches the gradient of each layer: which vanish, which explode.

    epoch    layer      norm
    1        lstm       0.031
    1        head       0.27      above 1e-1: explodes?
    2        lstm       0.0004    below 1e-3: vanishes?

The norm is that of the loss's gradient by all weights of a layer, over a few batches of training windows, always the
same ones, after each epoch. Nothing of the training changes by it: neither weights nor chance.

Source: Pascanu et al. (2013), https://arxiv.org/abs/1211.5063
"""

import re
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from .checkpoint import State
from .spec import USUAL_GRADIENT

BATCHES = 4
COLUMNS = ("epoch", "layer", "norm")


class Gradients(keras.callbacks.Callback):
    """Measures the gradient of each layer after each epoch.

    Args:
        network: What is trained.
        feed: Its training batches.
    """

    def __init__(self, network: keras.Model, feed: Any) -> None:
        super().__init__()
        self.network, self.feed = network, feed
        self.layers = layers_of(network)
        self.norms: list[list[float]] = []  # (epochs, layers)
        self._function: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures."""
        few = np.linspace(0, len(self.feed.index) - 1, min(BATCHES * self.feed.batch_size, len(self.feed.index)))
        total: Any = 0.0
        parts = np.array_split(few.astype(np.int64), max(1, len(few) // self.feed.batch_size))
        for part in parts:
            x, y = self.feed.batch(part, np.random.default_rng(0), epoch)
            total = total + np.array([float(norm) for norm in self._measure(x, y)])
        self.norms.append((total / len(parts)).tolist())

    def _measure(self, x: Any, y: Any) -> Any:
        if self._function is None:
            loss_of, groups = self.model.compute_loss, list(self.layers.values())

            def norms(x: Any, y: Any) -> list[Any]:
                with tf.GradientTape() as tape:
                    loss = loss_of(x=x, y=y, y_pred=self.network(x, training=False), training=False)
                flat = [variable.value for group in groups for variable in group]
                gradients = iter(tape.gradient(loss, flat, unconnected_gradients="zero"))
                return [tf.linalg.global_norm([next(gradients) for _ in group]) for group in groups]

            self._function = tf.function(norms, autograph=False, reduce_retracing=True)
        return self._function(tf.nest.map_structure(tf.convert_to_tensor, x), tf.convert_to_tensor(y))

    def state(self) -> State:
        """Returns the norms so far."""
        return {"gradients": np.array(self.norms, np.float64).reshape(-1, len(self.layers))}

    def restore(self, state: State) -> None:
        """Takes up norms from before."""
        self.norms = state["gradients"].tolist()

    def frame(self) -> pd.DataFrame:
        """Returns one row an epoch and layer: `epoch, layer, norm`."""
        rows = [
            (epoch, layer, norm)
            for epoch, norms in enumerate(self.norms, 1)
            for layer, norm in zip(self.layers, norms, strict=True)
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))


def layers_of(network: keras.Model) -> dict[str, list[Any]]:
    """Returns the trainable variables of each layer by its name, from the input up.

    Example:
        >>> network = keras.Sequential([keras.Input((5, 1)), keras.layers.LSTM(2, name="lstm")])
        >>> {name: len(variables) for name, variables in layers_of(network).items()}
        {'lstm': 3}
    """
    found: dict[str, list[Any]] = {}
    seen: set[int] = set()

    def look(layer: Any) -> None:
        inner = getattr(layer, "layers", None)
        if isinstance(layer, keras.Model) and inner:
            for one in inner:
                look(one)
            return
        mine = [variable for variable in layer.trainable_variables if id(variable) not in seen]
        seen.update(map(id, mine))
        if mine:
            plain = re.sub(r"_\d+$", "", layer.name)  # Keras numbers the layers of a process
            same = sum(re.sub(r"_\d+$", "", known) == plain for known in found)
            found[f"{plain}_{same + 1}" if same else plain] = mine

    look(network)
    return found


def unusual(gradients: pd.DataFrame) -> list[str]:
    """Returns a sentence for each layer whose gradient was mostly outside the usual.

    Example:
        >>> frame = pd.DataFrame({"epoch": [1, 2, 3], "layer": "lstm", "norm": [2e-4, 3e-4, 2e-3]})
        >>> unusual(frame)[0].partition(":")[0]
        "The gradient of layer 'lstm' was below 0.001 in 2 of 3 epochs (median 0.0003)"
    """
    said, (low, high) = [], USUAL_GRADIENT
    for layer, norms in gradients.groupby("layer", sort=False)["norm"]:
        for many, limit, what in (
            (
                norms < low,
                f"below {low:g}",
                "it hardly learns, or the loss is small in its units. Try a higher learning rate, a shorter lookback, "
                "fewer layers, or normalize='mean_std'.",
            ),
            (
                norms > high,
                f"above {high:g}",
                "its steps may overshoot, or the loss is large in its units. Set training.clip_norm to 1, or lower the "
                "learning rate.",
            ),
        ):
            if 2 * many.sum() > len(norms):
                said.append(
                    f"The gradient of layer {layer!r} was {limit} in {many.sum()} of {len(norms)} epochs (median "
                    f"{norms.median():.3g}): {what}"
                )
    return said
