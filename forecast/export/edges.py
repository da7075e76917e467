"""The arithmetic around a core: raw windows to what the core sees, and its answer to a forecast in original units.

    v = log1p(clip(raw))                                    where the pipeline does so
    last        x = (v - v_last) * factor                   forecast = y / factor + v_last
    mean_std    x = (v - mean) * factor / deviation         forecast = y * deviation / factor + mean
    none        x = v * factor + shift                      forecast = (y - shift) / factor

Forecasts are then brought within `bounds`. It is what `pipelines.pipeline` and the shell around a model do together, in
the order that loses least in float32: large values are subtracted before they are scaled. The constants are the group
`scaling` of the metadata, so the device, the C files and the operations in the file do the same.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.pipeline import bounded

Scaling = Mapping[str, Any]


def normalised(scaled: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Returns scaled windows `(N, L, F)` as the core sees them."""
    levels = np.asarray(scaling["levels"])
    if scaling["normalize"] == "last":
        return scaled - np.where(levels, scaled[:, -1:], 0).astype(scaled.dtype)
    if scaling["normalize"] == "mean_std":
        mean, deviation = scaled.mean(axis=1, keepdims=True), scaled.std(axis=1, keepdims=True)
        deviation = np.sqrt(deviation**2 + scaling["epsilon"])
        return np.where(levels, (scaled - mean) / deviation, scaled).astype(scaled.dtype)
    return scaled


def forecasts(scaling: Scaling, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Returns forecasts in original units from answers `(N, H, K[, Q])` and raw windows `(N, L, F)`, as a host does."""
    K = y.shape[2]
    extra = (..., *(None,) * (y.ndim - 3))

    def column(name: str) -> np.ndarray:
        return np.asarray(scaling[name], np.float64)[:K][extra]

    if scaling["predict"] == "return":
        return bounded(np.asarray(raw[:, -1:, :K][extra] * (1 + y * column("sigma"))), _bounds(scaling))
    low, high = scaling["clip_low"], scaling["clip_high"]
    v = raw[:, :, :K] if low is None else np.clip(raw[:, :, :K], low[:K], high[:K])
    logged = np.asarray(scaling["log1p"])[:K]
    v = np.where(logged, np.log1p(np.where(logged, v, 0)), v)
    factor = column("factor")
    if scaling["normalize"] == "last":
        u = y / factor + v[:, -1:][extra]
    elif scaling["normalize"] == "mean_std":
        deviation = np.sqrt(v.var(axis=1, keepdims=True)[extra] * factor**2 + scaling["epsilon"])
        u = y * deviation / factor + v.mean(axis=1, keepdims=True)[extra]
    else:
        u = (y - column("shift")) / factor
    return bounded(np.where(logged[extra], np.expm1(np.where(logged[extra], u, 0)), u), _bounds(scaling))


def before(scaling: Scaling, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns what the core sees, by input, and what `after` needs."""
    result: dict[str, tf.Tensor] = {}
    if "static" in raw:
        result["x_static"] = (raw["static"] - _row(scaling["static_low"])) / _row(scaling["static_range"])
    factor, shift = np.asarray(scaling["factor"]), np.asarray(scaling["shift"])
    if "known" in raw:
        Fk = raw["known"].shape[-1]
        known = _prepared(scaling, raw["known"], slice(len(factor) - Fk, None))
        result["x_known"] = known * _row(factor[-Fk:]) + _row(shift[-Fk:])
    past = raw["past"]  # (1, L, F)
    K = len(scaling["sigma"])
    v = _prepared(scaling, past, slice(None))
    levels = np.asarray(scaling["levels"])
    offset = np.where(levels, 0.0, shift)
    if scaling["normalize"] == "last":
        last = tf.gather(v, [v.shape[1] - 1], axis=1)  # (1, 1, F); a slice takes more of a device's memory
        x = v - last if levels.all() else v - last * _row(levels)
        result["x_past"] = _affine(x, factor, offset)
        result["carry"] = _targets(last, K)
    elif scaling["normalize"] == "mean_std":
        mean = tf.reduce_mean(v, axis=1, keepdims=True)  # (1, 1, F)
        centred = v - mean
        variance = tf.reduce_mean(centred * centred, axis=1, keepdims=True)
        deviation = tf.sqrt(_affine(variance, factor**2, np.full(len(factor), scaling["epsilon"])))  # scaled units
        if levels.all():
            x = centred * _row(factor) / deviation
        else:
            mask = _row(levels)
            x = (v - mean * mask) * _row(factor) / (deviation * mask + (1 - mask)) + _row(offset)
        result["x_past"] = x
        result["carry"], result["deviation"] = _targets(mean, K), _targets(deviation, K)
    else:
        result["x_past"] = _affine(v, factor, shift)
    if scaling["predict"] == "return":
        result.pop("deviation", None)
        result["carry"] = past[:, -1:, :K]
    return result


def after(scaling: Scaling, y: tf.Tensor, carry: tf.Tensor | None, deviation: tf.Tensor | None) -> tf.Tensor:
    """Returns forecasts in original units from the core's answer `(1, H, K[, Q])`."""
    K = len(scaling["sigma"])
    quantiles = y.shape.rank == 4

    def wide(values: Any) -> Any:
        return values[..., None] if quantiles else values

    factor = wide(np.asarray(scaling["factor"])[:K])
    carry = None if carry is None else (tf.expand_dims(carry, -1) if quantiles else carry)
    if scaling["predict"] == "return":
        return _bounded(scaling, carry * (y * _row(wide(np.asarray(scaling["sigma"]))) + 1.0))
    if scaling["normalize"] == "mean_std":
        y = y * (tf.expand_dims(deviation, -1) if quantiles else deviation)
    if scaling["normalize"] == "none":
        u = _affine(y, 1 / factor, -wide(np.asarray(scaling["shift"])[:K]) / factor)
    else:
        u = _affine(y, 1 / factor, np.zeros_like(factor)) + carry
    logged = np.asarray(scaling["log1p"])[:K]
    if logged.any():
        grown = tf.exp(u) - 1.0
        mask = _row(wide(logged))
        u = grown if logged.all() else grown * mask + u * (1 - mask)
    return _bounded(scaling, u)


def _bounds(scaling: Scaling) -> tuple[float | None, float | None]:
    """Returns what a forecast may be; files of earlier versions know no bounds."""
    low, high = scaling.get("bounds") or (None, None)
    return low, high


def _bounded(scaling: Scaling, u: tf.Tensor) -> tf.Tensor:
    """Returns forecasts within their bounds, without an operation where there are none."""
    low, high = _bounds(scaling)
    u = u if low is None else tf.maximum(u, tf.constant(low, tf.float32))
    return u if high is None else tf.minimum(u, tf.constant(high, tf.float32))


def _targets(values: tf.Tensor, K: int) -> tf.Tensor:
    """Returns the first K columns; without an operation where those are all."""
    return values if values.shape[-1] == K else values[:, :, :K]


def _prepared(scaling: Scaling, raw: tf.Tensor, columns: slice) -> tf.Tensor:
    """Returns raw values after clipping and the logarithm."""
    v = raw
    if scaling["clip_low"] is not None:
        v = tf.minimum(tf.maximum(v, _row(scaling["clip_low"][columns])), _row(scaling["clip_high"][columns]))
    logged = np.asarray(scaling["log1p"])[columns]
    if logged.all():
        return tf.math.log(v + 1.0)
    if logged.any():
        mask = _row(logged)
        return tf.math.log(v * mask + 1.0) + v * (1 - mask)
    return v


def _affine(v: tf.Tensor, factor: np.ndarray, shift: np.ndarray) -> tf.Tensor:
    """Returns `v * factor + shift`, without the operations that change nothing."""
    v = v if (factor == 1).all() else v * _row(factor)
    return v + _row(shift) if np.any(shift) else v


def _row(values: Any) -> tf.Tensor:
    """Returns constants that broadcast over windows and rows."""
    return tf.constant(np.asarray(values), tf.float32)
