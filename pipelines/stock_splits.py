"""Finds split cliffs: days on which a raw price falls or jumps by a ratio because shares were split, not by news.

    2014-06-06  645.57
    2014-06-09   93.70      AAPL 7:1; a network would learn it as a crash

Adjusted prices have none. Where `Adj Close` stands beside `Close`, their ratio tells; else a jump close to a whole
ratio.
"""

import numpy as np

from .panel import Panel

_RATIOS = np.array([2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50])  # 3:2 is left out: markets fall by a third, too


def find_split_cliffs(panel: Panel) -> list[str]:
    """Returns one sentence for each series whose prices hold split cliffs.

    Example: "AAPL: Close has 4 split cliffs (first on 2000-06-21, ratio 2): ... "
    """
    prices = [name for name in panel.columns if name.lower() in ("close", "price", "raw")]
    adjusted = next((name for name in panel.columns if name.lower().replace("_", " ") == "adj close"), None)
    sentences = []
    for s, unique_id in enumerate(panel.ids):
        rows = panel.rows(s)
        for name in prices:
            raw = np.asarray(panel.values[rows, panel.column(name)], np.float64)
            other = np.asarray(panel.values[rows, panel.column(adjusted)], np.float64) if adjusted else None
            at, ratios = _cliffs(raw, other)
            if len(at):
                first = panel.stamp(int(panel.ds[rows][at[0]]), s)
                instead = f"use {adjusted!r}" if adjusted else "use adjusted prices"
                sentences.append(
                    f"{unique_id}: {name} has {len(at)} split cliff{'s' if len(at) > 1 else ''} (first on {first}, "
                    f"ratio {ratios[0]:.3g}): these are raw prices, and splits look like crashes; {instead}."
                )
    return sentences


def _cliffs(raw: np.ndarray, adjusted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows after each cliff, and how many times more shares there were."""
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = raw[:-1] / raw[1:]
        if adjusted is not None:
            factor = raw / adjusted
            jump = np.where(np.isfinite(factor[:-1] / factor[1:]), factor[:-1] / factor[1:], 1.0)
            found = abs(np.log(np.maximum(jump, 1e-12))) > np.log(1.2)
        else:
            size = np.maximum(jump, 1 / np.maximum(jump, 1e-12))
            whole = (abs(size[:, None] / _RATIOS - 1) < 0.03).any(axis=1)
            moves = abs(np.log(np.maximum(raw[1:] / raw[:-1], 1e-12)))
            usual = np.median(moves[np.isfinite(moves)]) if np.isfinite(moves).any() else 0.0
            found = whole & (np.log(np.maximum(size, 1)) > 15 * usual) & (raw[1:] > 0) & (raw[:-1] > 0)
    return np.flatnonzero(found) + 1, jump[found]
