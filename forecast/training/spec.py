"""How a network is trained: every setting of it, checked before the first step. Needs no Keras.

    training: {epochs: 40, schedule: cosine, average: 0.99, loss: mase, augment: {jitter: 0.05}}

What is off by default changes nothing, to the bit, where it is left out.
"""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.spec import Spec

USUAL_GRADIENT = (1e-3, 1e-1)  # norms of a layer's gradient that neither vanishes nor explodes
PER_SERIES = ("mase", "smape", "mixed")  # losses in units of each series, see `losses.py`

Shape = Literal["constant", "cosine", "step", "plateau"]


class ScheduleSpec(Spec):
    """How the learning rate goes over a run; `schedule: cosine` is short for `{name: cosine}`.

    Attributes:
        name: "constant"; "cosine", half a wave down to `floor` (Loshchilov and Hutter 2017,
            https://arxiv.org/abs/1608.03983, without restarts); "step", times `factor` after each `every` epochs;
            "plateau", times `factor` after each `every` epochs without a better validation loss.
        warmup: Epochs, also parts of one, over which the rate first rises from 0 (Goyal et al. 2017,
            https://arxiv.org/abs/1706.02677).
        factor: Of "step", 0.9 by default, and "plateau", 0.5.
        every: Epochs, of "step", 3 by default, and "plateau", 2.
        floor: Share of the learning rate that is always left.

    Example:
        >>> ScheduleSpec(name="step").shrinks
        (0.9, 3)
    """

    name: Shape = "constant"
    warmup: float = Field(default=0.0, ge=0)
    factor: float | None = Field(default=None, gt=0, lt=1)
    every: int | None = Field(default=None, ge=1)
    floor: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _its_own(self) -> "ScheduleSpec":
        given = [name for name in ("factor", "every") if getattr(self, name) is not None]
        if given and self.name not in ("step", "plateau"):
            raise ValueError(
                f"`{given[0]}` belongs to the schedules 'step' and 'plateau'. Received: {getattr(self, given[0])!r} "
                f"with {self.name!r}. Leave it out."
            )
        return self

    @property
    def shrinks(self) -> tuple[float, int]:
        """By which factor a rate shrinks that does so now and then, and after how many epochs."""
        factor, every = (0.9, 3) if self.name == "step" else (0.5, 2)
        return self.factor or factor, self.every or every


class AugmentSpec(Spec):
    """Training windows that never were, made anew each epoch; validation and test windows stay as they are.

    Attributes:
        jitter: Noise on the past, as a share of each input's deviation within its window.
        scaling: How much moves grow or shrink: those of a window, past and future, times a number of mean 1 and this
            deviation.
        slicing: How much of a window is cut off: the rest, from a random place of the past on, is stretched over it,
            past and future (Le Guennec et al. 2016, https://shs.hal.science/halshs-01357973).

    Source: Um et al. (2017), https://doi.org/10.1145/3136755.3136817, for jitter and scaling.
    """

    jitter: float = Field(default=0.0, ge=0)
    scaling: float = Field(default=0.0, ge=0)
    slicing: float = Field(default=0.0, ge=0, lt=1)

    @property
    def on(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.jitter or self.scaling or self.slicing)


class TrainingSpec(Spec):
    """How a network is trained, with Adam.

    Attributes:
        epochs: At most so many passes over the training windows.
        batch_size: Windows per step.
        steps: Batches of an epoch, at most: for many windows, of which each epoch then draws others; a quarter as many
            validate it, and at least 1,024. By default all.
        learning_rate: Adam's.
        schedule: How the learning rate goes over the run.
        loss: "mse", "mae", "huber", "log_cosh", or the name of any other Keras loss; "mase", "smape", or "mixed", the
            mean of both as multiples of the naive forecast's, in units of each series, for many series of different
            size; "pinball" for a network of quantiles, which is what "auto" chooses there, and "mse" elsewhere.
        patience: Epochs without a better validation loss until training stops; the best weights come back.
        seconds: About so long, at most: after the first epoch the run is shortened to what fits, its schedule with it.
            Then the clock decides over weights: what is to be repeated is given `epochs` instead.
        early_stopping: False trains for all `epochs`, learns from validation rows, too, and keeps the last weights: for
            settings that were chosen before. Errors on validation rows then say nothing of other rows.
        clip_norm: The gradient of all weights is scaled down to this norm (Pascanu et al. 2013,
            https://arxiv.org/abs/1211.5063); off where not given.
        clip_value: Each gradient is clipped to this size; off where not given.
        average: Forecast with a moving average of the weights, of which each step keeps this share (Polyak and
            Juditsky 1992, https://doi.org/10.1137/0330046); off where not given.
        precision: "mixed" computes in 16 bits where a GPU is faster so; weights stay in 32.
        augment: Training windows that never were.
        adversarial: Also learn from windows moved by this share of each input's deviation to where the loss grows
            fastest: one step of FGSM (Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572).
        monitor: Watch the gradient of each layer, and say which vanish or explode.
        tensorboard: A folder for TensorBoard: losses, gradients, gates and cell states.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=1)
    steps: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: ScheduleSpec = ScheduleSpec()
    loss: str = "auto"
    patience: int = Field(default=5, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    early_stopping: bool = True
    clip_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    average: float | None = Field(default=None, gt=0, lt=1)
    precision: Literal["float32", "mixed"] = "float32"
    augment: AugmentSpec = AugmentSpec()
    adversarial: float = Field(default=0.0, ge=0)
    monitor: bool = False
    tensorboard: str | None = None

    @field_validator("schedule", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _within_the_run(self) -> "TrainingSpec":
        schedule, epochs = self.schedule, self.epochs
        if schedule.warmup >= epochs:
            raise ValueError(
                f"`schedule.warmup` must be shorter than the run of {epochs} epochs. Received: {schedule.warmup:g}. "
                "Warm up for less, or train for more epochs."
            )
        _, every = schedule.shrinks
        if schedule.name == "step" and every >= epochs:
            raise ValueError(
                f"`schedule.every` must be shorter than the run of {epochs} epochs. Received: {every}, so the rate "
                "would never step down. Lower it, or train for more epochs."
            )
        if schedule.name == "plateau" and every >= self.patience:
            raise ValueError(
                f"`schedule.every` must be below `patience`, {self.patience}, or training stops before the rate falls. "
                f"Received: {every}. Lower it, or raise `training.patience`."
            )
        return self

    def loss_of(self, quantiles: bool) -> str:
        """Returns the name of the loss for a network that answers with quantiles, or with one value a step."""
        return self.loss if self.loss != "auto" else "pinball" if quantiles else "mse"


def steps_of_epoch(windows: int, batch_size: int, steps: int | None = None) -> int:
    """Returns the batches of an epoch: all that hold so many windows, or `steps` of them."""
    every = -(-windows // batch_size)
    return every if steps is None else min(every, steps)
