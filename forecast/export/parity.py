"""Compares a file with the network that it came from, on held-out windows, and decides whether it may go out.

the core's own answers    RMSE over their standard deviation           a naive last value cannot hide a broken core
forecasts, by step        MAE and largest difference, in the unit      what the user sees
against what happened     MAE of the file, of Keras, of naive          what the user cares for
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..text import aligned, number


@dataclass(frozen=True)
class Comparison:
    """One file on one runtime, beside Keras.

    Attributes:
        runtime: "LiteRT" or "TFLite Micro".
        file: What was run, such as "fused int8".
        core_error: RMSE of the core's own answers over their standard deviation.
        saturated: Share of the core's inputs beyond its integers.
        by_step: For each step of the horizon: `step`, `mean` and `largest` difference to Keras, in the unit.
        mae: MAE against what happened: `file`, `keras`, `naive`; empty where nobody knows.
    """

    runtime: str
    file: str
    core_error: float
    saturated: float
    by_step: list[dict[str, float]] = field(default_factory=list)
    mae: dict[str, float] = field(default_factory=dict)

    @property
    def degradation(self) -> float:
        """MAE of the file over Keras's, minus 1; 0 where nobody knows what happened."""
        if not self.mae or not self.mae["keras"]:
            return 0.0
        return self.mae["file"] / self.mae["keras"] - 1

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        return {**vars(self), "degradation": self.degradation}


def core_error(answers: np.ndarray, keras: np.ndarray) -> float:
    """Returns RMSE over the standard deviation of Keras's own answers; infinite where a number is none."""
    if not np.isfinite(answers).all():
        return float("inf")
    rmse = float(np.sqrt(np.mean((answers.astype(np.float64) - keras) ** 2)))
    deviation = float(np.std(keras.astype(np.float64)))
    return rmse / deviation if deviation > 0 else (0.0 if rmse < 1e-6 else float("inf"))


def by_step(y_file: np.ndarray, y_keras: np.ndarray) -> list[dict[str, float]]:
    """Returns how far two forecasts `(M, H, K[, Q])` are apart at each step."""
    apart = np.abs(y_file - y_keras)
    apart = np.moveaxis(apart, 1, 0).reshape(apart.shape[1], -1)  # (H, the rest)
    return [{"step": h + 1, "mean": float(row.mean()), "largest": float(row.max())} for h, row in enumerate(apart)]


def mae(
    y_file: np.ndarray, y_keras: np.ndarray, y_true: np.ndarray | None, naive: np.ndarray | None
) -> dict[str, float]:
    """Returns MAE against what happened; quantile forecasts are scored by their middle."""
    if y_true is None or np.isnan(y_true).all():
        return {}

    def score(forecast: np.ndarray) -> float:
        point = forecast[..., forecast.shape[-1] // 2] if forecast.ndim > y_true.ndim else forecast
        return float(np.nanmean(np.abs(point - y_true)))

    result = {"file": score(y_file), "keras": score(y_keras)}
    return result if naive is None else {**result, "naive": score(naive)}


def faults(compared: list[Comparison], max_degradation: float, max_core_error: float) -> list[str]:
    """Returns why a file may not go out; nothing where it may."""
    found = []
    for one in compared:
        if not one.core_error <= max_core_error:
            found.append(
                f"the core's error on {one.runtime} is {one.core_error:.3g} of its own deviation (at most "
                f"{max_core_error:g})"
            )
        if not one.degradation <= max_degradation:
            found.append(
                f"its MAE on {one.runtime} is {number(one.mae['file'])} against {number(one.mae['keras'])} of Keras, "
                f"{one.degradation:+.1%} (at most {max_degradation:+.1%})"
            )
    return found


def table(compared: list[Comparison], unit: str) -> str:
    """Returns comparisons as an aligned table."""
    rows = [["file", "core error", "saturated", "largest difference", "MAE", "of Keras", "of naive"]]
    for one in compared:
        largest = max((step["largest"] for step in one.by_step), default=float("nan"))
        rows.append(
            [
                f"{one.file} on {one.runtime}",
                f"{one.core_error:.2%}",
                f"{one.saturated:.2%}",
                number(largest),
                *(number(one.mae.get(name, float("nan"))) for name in ("file", "keras", "naive")),
            ]
        )
    return aligned(rows, numbers=True) + (f"\nin {unit}" if unit else "")
