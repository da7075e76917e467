"""The learning rate over a run, and the optimizer that follows it.

    rate(step) = learning_rate * warm-up * shape * scale

    constant  ------------      cosine  --.                step  ---.           plateau  -----.
                                           `-.                      `---.                     `--.  the loss did not
                                              `--                       `---                     `-- fall for a while

Warm-up rises from 0 in a straight line. What "plateau" has taken so far is `scale`; everything else follows from the
number of the step, so a run that is taken up again goes on with the very same rates. A run with a limit of seconds
learns after its first epoch how many there will be: `epochs`.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from .spec import ScheduleSpec, TrainingSpec


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of each step.

    Args:
        spec: How to train.
        batches: Steps of an epoch.

    Example:
        >>> rate = Schedule(TrainingSpec(epochs=10, learning_rate=0.1, schedule="cosine"), batches=100)
        >>> [round(float(rate(step)), 4) for step in (0, 500, 1000)]
        [0.1, 0.05, 0.0]
    """

    def __init__(self, spec: TrainingSpec, batches: int) -> None:
        self.spec, self.batches = spec, batches
        self.scale = keras.Variable(1.0, trainable=False, name="scale")
        self.epochs = keras.Variable(float(spec.epochs), trainable=False, name="epochs")

    def __call__(self, step: Any) -> Any:
        """Returns the rate of a step, counted from 0 over all epochs."""
        schedule, rate = self.spec.schedule, self.spec.learning_rate
        epoch = ops.cast(step, "float32") / self.batches
        warm = ops.minimum(1.0, (epoch + 1 / self.batches) / schedule.warmup) if schedule.warmup else 1.0
        return rate * warm * ops.maximum(self._shape(schedule, epoch), schedule.floor)

    def _shape(self, schedule: ScheduleSpec, epoch: Any) -> Any:
        if schedule.name == "cosine":
            past = (epoch - schedule.warmup) / ops.maximum(self.epochs - schedule.warmup, 1e-6)
            return 0.5 * (1 + ops.cos(math.pi * ops.clip(past, 0.0, 1.0)))
        if schedule.name == "step":
            factor, every = schedule.shrinks
            return ops.power(factor, ops.floor(epoch / every))
        return self.scale if schedule.name == "plateau" else ops.ones_like(epoch)

    def get_config(self) -> dict[str, Any]:
        """Returns the settings."""
        return {"spec": self.spec.model_dump(), "batches": self.batches}


def plateau(spec: TrainingSpec, losses: list[float]) -> float:
    """Returns by how much a rate has shrunk on plateaus, from the validation losses of all epochs so far.

    Args:
        losses: Of epoch 0, the untrained network, and each one after.

    Example:
        >>> plateau(TrainingSpec(schedule={"name": "plateau", "every": 2}), [9.0, 3.0, 3.1, 3.2, 2.0, 2.1, 2.2])
        0.25
    """
    factor, every = spec.schedule.shrinks
    best, since, scale = math.inf, 0, 1.0
    for loss in losses:
        best, since = (loss, 0) if loss < best else (best, since + 1)
        if since == every:
            scale, since = scale * factor, 0
    return scale


class Adam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980) that hands out its average of the weights.

    Keras puts the average into the network whenever `fit` ends. Here the training does, and takes it out again.
    """

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leaves the weights as they are."""

    @property
    def averages(self) -> list[Any]:
        """The moving averages, one of each trainable variable; empty where none is kept."""
        return list(self._model_variables_moving_average) if self.use_ema else []


def optimizer(spec: TrainingSpec, batches: int) -> Adam:
    """Returns the optimizer of a run."""
    averaged = {} if spec.average is None else {"use_ema": True, "ema_momentum": spec.average}
    rate = Schedule(spec, batches)
    return Adam(rate, global_clipnorm=spec.clip_norm, clipvalue=spec.clip_value, **averaged)


def rate_now(optimizer: Any) -> float:
    """Returns the learning rate of the next step."""
    return float(np.asarray(ops.convert_to_numpy(optimizer.learning_rate)))
