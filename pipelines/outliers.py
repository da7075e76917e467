"""How far values usually reach, and so which lie far outside."""

import numpy as np


def usual_range(values: np.ndarray, factor: float) -> np.ndarray:
    """Returns the usual range of each column `(2, C)`: the quartiles, widened by `factor` times their distance.

    Where the quartiles are equal (rain is mostly zero), the standard deviation stands for their distance.

    Args:
        values: `(T, C)`; NaN is passed over, and a column of nothing else has no bounds.

    Source:
        Tukey (1977), Exploratory Data Analysis: his fences have factor 1.5; prices and counts need wider ones.
    """
    result = np.empty((2, values.shape[1]))
    for c, column in enumerate(np.asarray(values, np.float64).T):
        column = np.sort(column[np.isfinite(column)])
        if not len(column):
            result[:, c] = -np.inf, np.inf
            continue
        low, high = column[len(column) // 4], column[3 * len(column) // 4]
        spread = (high - low) or column.std()
        result[:, c] = low - factor * spread, high + factor * spread
    return result
