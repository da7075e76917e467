"""The shell around every core: normalises each window, and puts back into the forecast what it took.

    normalize   past                                      forecast                    what the core sees
    last        levels minus the window's last value      plus the target's last      changes up to now
    mean_std    levels minus mean, over deviation         times deviation, plus mean  a standard window
    none        as it is                                  as it is                    scaled values

On real stocks a third of later closes lie above the training maximum, so MinMax alone has to extrapolate; a normalised
window looks the same at any level. Only levels (prices, volumes, moving averages) are touched, not oscillators or the
calendar. Stock layers and Keras operations only, so plain Keras opens the whole model in safe mode.

With `normalize="none"` and the past alone, the whole model is the core itself.
"""

import keras
import numpy as np
from keras import ops

from pipelines.errors import ConfigError

from . import Shapes

INPUT_NAMES = ("past", "known", "static", "series")
TEACHING = ("teacher", "forced")  # inputs that a network has in training only, see `encoder_decoder`

# Added to the variance of a window, in scaled units: a constant window becomes zeros, not infinities.
EPSILON = 1e-5


def wrap(core: keras.Model, shapes: Shapes, normalize: str, levels: np.ndarray, put_back: bool) -> keras.Model:
    """Returns the model around a core.

    Args:
        core: Takes `past (N, L, F)` and other inputs by name, answers `(N, H, K)`, or `(N, H, K, Q)` where there are
            quantiles.
        shapes: What it was built for.
        normalize: "last", "mean_std" or "none".
        levels: Which inputs move with the level `(F,)`; the targets are the first `K`.
        put_back: Whether the answer is a level, too; False where it is a return.
    """
    names = input_names(core)
    if normalize == "none" and names == ("past",):
        return core
    inputs = {name: make_input(name, shapes) for name in names}
    past = inputs["past"]  # (N, L, F)
    mask = levels.astype(np.float32)  # (F,)
    K = shapes.targets
    shift = scale = None
    x = past
    if normalize == "last":
        shift = keras.layers.Cropping1D((shapes.lookback - 1, 0), name="last")(past)  # (N, 1, F)
    elif normalize == "mean_std":
        shift = ops.mean(past, axis=1, keepdims=True)  # (N, 1, F)
        scale = ops.sqrt(ops.var(past, axis=1, keepdims=True) + EPSILON)  # (N, 1, F)
    if shift is not None:
        taken = shift if mask.all() else ops.multiply(shift, mask)
        x = keras.layers.Subtract(name="normalise")([past, taken])
    if scale is not None:
        x = ops.divide(x, scale if mask.all() else ops.add(ops.multiply(scale, mask), 1 - mask))
    seen = {**inputs, "past": x}
    if "teacher" in inputs:  # it is told what the core should answer, so in the core's own terms
        if put_back and shift is not None:
            seen["teacher"] = ops.subtract(inputs["teacher"], shift[:, :, :K])
        if put_back and scale is not None:
            seen["teacher"] = ops.divide(seen["teacher"], scale[:, :, :K])
    y = core(x if names == ("past",) else seen)  # (N, H, K) or (N, H, K, Q)
    if put_back and scale is not None:
        y = keras.layers.Multiply(name="rescale")([y, _beside(scale[:, :, :K], shapes)])
    if put_back and shift is not None:
        y = keras.layers.Add(name="denormalise")([y, _beside(shift[:, :, :K], shapes)])
    return keras.Model(past if names == ("past",) else inputs, y, name=f"{core.name}_forecaster")


def _beside(values: keras.KerasTensor, shapes: Shapes) -> keras.KerasTensor:
    """Returns values `(N, 1, K)` so that they meet an answer: `(N, 1, K, 1)` where there are quantiles."""
    return ops.expand_dims(values, -1) if shapes.quantiles else values


def core_of(model: keras.Model, normalize: str) -> keras.Model:
    """Returns the core inside of what `wrap` made.

    Raises:
        ConfigError: There are several: an ensemble whose members normalise their windows each in its own way.
    """
    if normalize == "none" and input_names(model) == ("past",):
        return model
    cores = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if len(cores) > 1:
        raise ConfigError(
            f"One shell can be taken off where all networks share it. Received: an ensemble of {len(cores)} that "
            "normalise their windows in different ways. Train its members with the same `normalize`, and for "
            "'mean_std' with the same lookback."
        )
    return cores[0]


def input_names(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of a model's inputs; the only input of a model is the past, whatever it is called.

    Raises:
        ConfigError: One of several inputs has a name that is none of ours.
    """
    names = tuple(tensor.name for tensor in model.inputs)
    if len(names) == 1:
        return ("past",)
    for name in names:
        if name not in (*INPUT_NAMES, *TEACHING):
            raise ConfigError(
                f"Inputs of a model are named {', '.join(INPUT_NAMES)}. Received: {name!r}. Rename it in keras.Input."
            )
    return names


def adopt(model: keras.Model, shapes: Shapes) -> keras.Model:
    """Returns a copy of a user's own Sequential or functional model as a core, with fresh weights.

    Raises:
        ConfigError: It is subclassed, or its input or output does not fit the windows.
    """
    if not isinstance(model, keras.Model) or not (
        isinstance(model, keras.Sequential)
        or getattr(model, "_functional", None)
        or type(model).__name__ == "Functional"
    ):
        raise ConfigError(
            f"`model` must be a name, or a Sequential or functional keras.Model. Received: {type(model).__name__}. "
            "Subclassed models cannot be saved, cloned and exported safely; write it with keras.Input instead."
        )
    if not model.built:
        model.build((None, shapes.lookback, shapes.features))
    names = input_names(model)
    if set(names) & set(TEACHING):
        raise ConfigError(
            f"Inputs of a model are named {', '.join(INPUT_NAMES)}. Received: {', '.join(names)}. Rename them in "
            "keras.Input."
        )
    if "past" not in names:
        raise ConfigError(
            f"One input of a model is named past. Received: {', '.join(names)}. Rename it in keras.Input."
        )
    for name, tensor in zip(names, model.inputs, strict=True):
        _refuse_other_sizes(name, tuple(tensor.shape[1:]), shapes)
    if shapes.static and "static" not in names:
        raise ConfigError(
            f"The model takes no static covariates. Received: {shapes.static}. Leave them out, or give it an input "
            "named static."
        )
    answer, H, K = tuple(model.outputs[0].shape[1:]), shapes.horizon, shapes.targets
    if shapes.quantiles:
        Q = len(shapes.quantiles)
        if answer == (H, K, Q):
            return keras.models.clone_model(model)
        raise ConfigError(
            f"The model's output must be (horizon {H}, targets {K}, quantiles {Q}). Received: {answer}. Give it such a "
            "head, or leave `quantiles` out."
        )
    if answer == (H, K):
        return keras.models.clone_model(model)
    if answer == (H * K,):
        model = keras.models.clone_model(model)
        inputs = model.inputs[0] if names == ("past",) else dict(zip(names, model.inputs, strict=True))
        shaped = keras.layers.Reshape((H, K))(model.outputs[0])  # (N, H, K)
        return keras.Model(inputs, shaped, name=f"{model.name}_core")
    raise ConfigError(f"The model's output must be (horizon {H}, targets {K}) or ({H * K},). Received: {answer}.")


def _refuse_other_sizes(name: str, received: tuple[int | None, ...], shapes: Shapes) -> None:
    if name == "series":  # Keras takes (N, 1), too
        return
    sizes = {
        "past": {"lookback": shapes.lookback, "inputs": shapes.features},
        "known": {"lookback + horizon": shapes.lookback + shapes.horizon, "known covariates": shapes.known},
        "static": {"static covariates": shapes.static},
    }[name]
    fits = len(received) == len(sizes)
    fits &= all(have in (None, want) for have, want in zip(received, sizes.values(), strict=False))
    if not fits:
        wanted = ", ".join(f"{what} {size}" for what, size in sizes.items())
        raise ConfigError(f"The model's {name} input must be ({wanted}). Received: {received}.")


def make_input(name: str, shapes: Shapes) -> keras.KerasTensor:
    """Returns an input of a network by its name."""
    return {
        "past": lambda: keras.Input((shapes.lookback, shapes.features), name="past"),
        "known": lambda: keras.Input((shapes.lookback + shapes.horizon, shapes.known), name="known"),
        "static": lambda: keras.Input((shapes.static,), name="static"),
        "series": lambda: keras.Input((), dtype="int32", name="series"),
        "teacher": lambda: keras.Input((shapes.horizon, shapes.targets), name="teacher"),
        "forced": lambda: keras.Input((shapes.horizon, 1), name="forced"),
    }[name]()
