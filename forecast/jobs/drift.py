"""Whether a series still is what it was: what goes into the network, and what it misses.

    population    |------ reference: 8 lookbacks ------|-- lookback --|    PSI: how the latest changes are spread over
                  deciles of the changes               shares in them      the deciles of the earlier ones
    residuals     as_of   1    2    3    4   ...                           CUSUM: errors over the forecast's own spread,
                  z      0.3 -0.8  2.9  3.1                                summed up where one-sided, or too large

A level always drifts, and each window is freed of its own (`normalize`), so that the network sees changes: those are
compared, of row to row. With `normalize: none` it sees levels, and levels are compared. Scaling is affine and moves no
decile; with scaling by logarithm, logarithms are compared.

PSI is `sum((p - q) * ln(p / q))` over ten bins; of n and m rows of the same kind it is `9 * (1/n + 1/m)` by chance
(Yurdakul and Naranjo 2020, https://doi.org/10.21314/JRMV.2020.227), which is subtracted. Above 0.25, by convention, the
population has shifted; changes of prices come in calm and wild times, so that LIMIT is higher: see docs/jobs.md.

CUSUM (Page 1954, https://doi.org/10.1093/biomet/41.1-2.100): `s = max(0, s + z - k)`, an alarm where s > h, and anew.

Axes: `S` series, `W` rows, `T` cutoffs.
"""

import numpy as np

from pipelines.panel import Panel

from .opened import Opened

BINS = 10
LIMIT = 1.0  # of PSI
REFERENCE = 8  # lookbacks
FEWEST = 20, 50  # rows that can be compared: late, and before
BLOCK = 2_000  # series looked at at once
K, H = 0.5, 8.0  # of CUSUM, in deviations
SIZE = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)  # mean and deviation of |z|


def population(panel: Panel, opened: Opened) -> np.ndarray:
    """Returns how far the latest rows of each series have drifted from those before: PSI `(S,)`.

    It is the largest of all inputs that are given, and 0 where there are too few rows to tell.
    """
    pipeline, config = opened.pipeline, opened.config
    columns = [panel.column(name) for name in (*pipeline.spec.targets, *pipeline.spec.past)]
    late = max(pipeline.spec.window.lookback, FEWEST[0])
    rows = late * (1 + REFERENCE) + 1
    result = np.zeros(len(panel.ids))
    for first in range(0, len(panel.ids), BLOCK):
        some = np.arange(first, min(first + BLOCK, len(panel.ids)))
        last = panel.late(some, rows)  # (S, W, C)
        for column in columns:
            values = last[..., column].astype(np.float64)
            if config.scaling.method == "log":
                values = np.log(np.where(values > 0, values, np.nan))
            seen = np.diff(values, axis=1) if config.normalize != "none" else values[:, 1:]
            result[some] = np.maximum(result[some], psi(seen[:, -late:], seen[:, :-late]))
    return result


def psi(late: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Returns the population stability index of late values against earlier ones, less what chance makes, `(S,)`.

    Args:
        late: `(S, n)`, NaN where nothing was measured.
        before: `(S, m)`.

    Returns:
        0 where there are too few values.

    Example:
        >>> random = np.random.default_rng(0)
        >>> calm, wild = random.normal(size=(1, 400)), 3 * random.normal(size=(1, 60))
        >>> psi(random.normal(size=(1, 60)), calm).round(1), psi(wild, calm).round(1)
        (array([0.]), array([1.]))
    """
    n, m = np.isfinite(late).sum(axis=1), np.isfinite(before).sum(axis=1)  # (S,)
    ranked = np.sort(before, axis=1)  # NaN come last
    at = np.clip((np.arange(1, BINS) * m[:, None]) // BINS, 0, max(0, before.shape[1] - 1))
    edges = np.take_along_axis(ranked, at, axis=1)  # (S, 9)
    p, q = _shares(late, edges, n), _shares(before, edges, m)
    found = ((p - q) * np.log(p / q)).sum(axis=1) - (BINS - 1) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))
    return np.where((n >= FEWEST[0]) & (m >= FEWEST[1]), np.maximum(found, 0), 0.0)


def _shares(values: np.ndarray, edges: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Returns the share of values in each bin `(S, 10)`, with half a value more in each, so that none is empty."""
    above = [count] + [(values > edges[:, b, None]).sum(axis=1) for b in range(edges.shape[1])] + [0 * count]
    inside = -np.diff(np.stack(above, axis=1), axis=1)
    shares: np.ndarray = (inside + 0.5) / (count[:, None] + 0.5 * inside.shape[1])
    return shares


def cusum(z: np.ndarray) -> dict[str, np.ndarray]:
    """Returns where standardised errors have drifted: too high, too low, or too large.

    Args:
        z: Errors over their usual deviation, in order of time `(S, T)`; NaN where there is none.

    Returns:
        "high" (the truth lies above the forecasts), "low" and "size": True at each alarm `(S, T)`.

    Example:
        >>> steady, shifted = np.zeros((1, 5)), np.array([[0.0, 0.0, 4.0, 4.0, 4.0]])
        >>> bool(cusum(steady)["high"].any()), cusum(shifted)["high"][0].tolist()
        (False, [False, False, False, False, True])
    """
    signs = {"high": z, "low": -z, "size": (np.abs(z) - SIZE[0]) / SIZE[1]}
    return {name: _sums(one) for name, one in signs.items()}


def _sums(z: np.ndarray) -> np.ndarray:
    alarms, s = np.zeros(z.shape, bool), np.zeros(z.shape[0])
    for t in range(z.shape[1]):
        s = np.maximum(0.0, s + np.where(np.isfinite(z[:, t]), z[:, t] - K, 0.0))
        alarms[:, t] = s > H
        s[alarms[:, t]] = 0.0
    return alarms
