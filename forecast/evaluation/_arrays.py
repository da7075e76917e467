"""What every score asks of its arrays: observed true values with their forecasts, and one value per row.

    y_true   100  nan  101                what was not observed is left out
    y_pred   101  nan  103                a forecast must be finite where the truth is known
    last     100                          one value for each row of (N, H)

This module computes no score.
"""

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError

from .baselines import FloatArray, check_finite

BoolArray = npt.NDArray[np.bool_]


def observed(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, name: str = "y_pred", levels: int | None = None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Returns the observed true values, their forecasts, and where in `y_true` they stood.

    Args:
        y_true: Array of any shape, nan where nothing was observed.
        y_pred: Array of the same shape, or with one more axis at the end where `levels` is given.
        name: What the caller calls the forecasts.
        levels: Length of that last axis.

    Returns:
        `(true, pred, known)` of shapes `(M,)`, `(M,)` or `(M, levels)`, and that of `y_true`.

    Raises:
        DataError: The shapes do not fit, no true value is observed, or a forecast is not finite where one is.
    """
    true, pred = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if levels is None and true.shape != pred.shape:
        raise DataError(
            f"`y_true` and `{name}` must have the same shape. Received: {true.shape} and {pred.shape}. "
            "Give one forecast for each true value."
        )
    if levels is not None and pred.shape != (*true.shape, levels):
        raise DataError(
            f"`{name}` must have the axes of `y_true` and a last one of {levels} levels, {(*true.shape, levels)}. "
            f"Received: {pred.shape}. Give one forecast for each true value and level."
        )
    known = ~np.isnan(check_finite("y_true", true))
    if not known.any():
        raise DataError(
            f"A score needs at least one observed true value. Received: {true.size} values, none observed. "
            "Score rows of which the truth is known."
        )
    true, pred = true[known], pred[known]
    if missing := int((~np.isfinite(pred)).sum()):
        raise DataError(
            f"`{name}` must be finite wherever `y_true` is observed. Received: {missing} of {pred.size} forecasts are "
            "nan or infinite. Repair the forecasts, or take these rows out of both arrays."
        )
    return true, pred, known


def per_row(name: str, value: npt.ArrayLike, known: BoolArray) -> FloatArray:
    """Returns one value per known forecast; the axes of `value` are the leading axes of `known`."""
    array = check_finite(name, np.asarray(value, dtype=np.float64))
    shape = array.shape + (1,) * (known.ndim - array.ndim)
    if len(shape) != known.ndim or any(n not in (1, wanted) for n, wanted in zip(shape, known.shape, strict=True)):
        raise DataError(
            f"`{name}` must be one number, or have the leading axes of `y_true`. Received: shape {array.shape} for "
            f"{known.shape}. Give one value per row, {known.shape[:1]}."
        )
    return np.broadcast_to(array.reshape(shape), known.shape)[known]


def scaled(metric: str, errors: FloatArray, scale: npt.ArrayLike, known: BoolArray) -> FloatArray:
    """Returns known errors over the scale of their row, those without a scale left out."""
    scales = per_row("scale", scale, known)
    if wrong := int((scales <= 0).sum()):
        raise DataError(
            f"`scale` must be above zero, or nan for a series that has none. Received: {wrong} of {scales.size} that "
            f"are not. Take it from {'rmsse' if metric == 'RMSSE' else 'mase'}_scale."
        )
    has_scale = ~np.isnan(scales)
    if not has_scale.any():
        raise DataError(
            f"{metric} needs at least one series with a scale. Received: none, as where all training rows are equal, "
            "or no more than a season. Use a score in units, or train on more rows."
        )
    return errors[has_scale] / scales[has_scale]
