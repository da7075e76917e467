"""Training windows that never were: noise, larger and smaller moves, faster and slower time.

    jitter     past + noise                               what is learned should not hang on the last digit
    scaling    moves around the last value, times a       the same pattern, larger or smaller
    slicing    the rest of a window, stretched over it    the same pattern, slower
                                                          <--- cut --->[ a b c d e f | g h ]
                                                          [ a   b   c   d   e   f  |  g  . ]

All of it around the window's last row, where the shell normalises, so that the answer moves as the past does. Only
inputs that are levels grow and shrink; what is known ahead is stretched, but neither noisy nor scaled.

Axes: `N` windows, `L` lookback, `H` horizon, `F` inputs, `Fk` of them known ahead, `K` targets.
"""

from typing import Any

import numpy as np

from .spec import AugmentSpec


def augment(
    spec: AugmentSpec,
    random: np.random.Generator,
    inputs: dict[str, np.ndarray],
    answers: list[np.ndarray],
    levels: np.ndarray,
    relative: bool,
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Returns a batch of windows, changed.

    Args:
        random: Where chance comes from.
        inputs: `past (N, L, F)`, and `known (N, L + H, Fk)` where there is one; others are left as they are.
        answers: Arrays `(N, H, K)` that move as the future does, such as the truth.
        levels: Which inputs are levels `(F,)`.
        relative: Answers are changes from the cutoff, not levels.

    Example:
        >>> past, y = np.array([[[1.0], [2.0], [4.0]]]), np.array([[[6.0]]])
        >>> given, (moved,) = augment(
        ...     AugmentSpec(scaling=0.5), np.random.default_rng(0), {"past": past}, [y], np.array([True]), False
        ... )
        >>> ratio = (moved[0, 0, 0] - 4.0) / (y[0, 0, 0] - 4.0)
        >>> bool(np.allclose((given["past"] - 4.0) / ratio, past - 4.0)), round(float(ratio), 3)
        (True, 1.063)
    """
    past = inputs["past"]
    N, L, F = past.shape
    known = inputs.get("known")
    ahead = 0 if known is None else known.shape[2]
    K = answers[0].shape[2]
    if spec.slicing:
        rates = 1 - spec.slicing * np.asarray(random.random(N))  # of time
        now = np.zeros((N, 1, K), past.dtype) if relative else past[:, -1:, :K]
        answers = [_stretched(np.concatenate([now, y], axis=1), rates, 0)[:, 1:] for y in answers]
        past = _stretched(past, rates, L - 1)
        if known is not None:
            known = _stretched(known, rates, L - 1)
    if spec.scaling:
        factor = (1 + spec.scaling * random.standard_normal((N, 1, 1))).astype(past.dtype)
        touched = np.concatenate([levels[: F - ahead], np.zeros(ahead, bool)])
        last = past[:, -1:]
        past = np.where(touched, last + (past - last) * factor, past)
        base = np.zeros((), past.dtype) if relative else last[:, :, :K]
        answers = [base + (y - base) * factor for y in answers]
    if spec.jitter:
        noise = random.standard_normal((N, L, F - ahead)).astype(past.dtype)
        deviation = past[:, :, : F - ahead].std(axis=1, keepdims=True)
        past = np.concatenate(
            [past[:, :, : F - ahead] + spec.jitter * deviation * noise, past[:, :, F - ahead :]], axis=2
        )
    changed: dict[str, Any] = {**inputs, "past": past}
    if known is not None:
        changed["known"] = known
    return changed, [y.astype(np.float32) for y in answers]


def _stretched(values: np.ndarray, rates: np.ndarray, still: int) -> np.ndarray:
    """Returns `(N, T, C)` with time slower by `rates (N,)` around the row `still`; rates are at most 1."""
    T = values.shape[1]
    at = still + (np.arange(T) - still) * rates[:, None]  # (N, T), always within the rows
    low = np.clip(np.floor(at).astype(np.int64), 0, max(T - 2, 0))
    share = (at - low)[:, :, None].astype(values.dtype)
    which = np.arange(len(values))[:, None]
    high = np.minimum(low + 1, T - 1)
    return values[which, low] * (1 - share) + values[which, high] * share
