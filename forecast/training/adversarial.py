"""Learns from windows as they are, and from the same ones moved to where the loss grows fastest.

    past ---------------------------------------------> loss --+
      |                                                        +-- mean: what training lowers
      +-- + epsilon * deviation * sign(d loss / d past) -> loss --+

One step of FGSM, in units of each input's deviation within its window. Only the past is moved.

Source: Goodfellow et al. (2015), https://arxiv.org/abs/1412.6572; Feng et al. (2019),
https://arxiv.org/abs/1810.09936, for stock prices.
"""

from typing import Any

import keras
import tensorflow as tf


class Adversarial(keras.Model):
    """A network in training; its weights are those of the network it is made of, which it calls.

    Args:
        network: What learns.
        epsilon: How far windows are moved.
    """

    def __init__(self, network: keras.Model, epsilon: float) -> None:
        super().__init__(name="adversarial")
        self.network, self.epsilon = network, epsilon

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the network's answers."""
        return self.network(inputs, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step of training."""
        x, y = data
        past = x["past"] if isinstance(x, dict) else x  # (B, L, F)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(past)
                clean = self._loss(x, y)
            with outer.stop_recording():
                deviation = tf.math.reduce_std(past, axis=1, keepdims=True)  # (B, 1, F)
                moved = past + self.epsilon * deviation * tf.sign(inner.gradient(clean, past))
            loss = (clean + self._loss({**x, "past": moved} if isinstance(x, dict) else moved, y)) / 2
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(outer.gradient(scaled, weights), weights, strict=True))
        for metric in self.metrics:
            metric.update_state(clean, sample_weight=tf.shape(past)[0])
        return self.get_metrics_result()

    def _loss(self, x: Any, y: Any) -> Any:
        return self.compute_loss(x=x, y=y, y_pred=self(x, training=True), training=True)
