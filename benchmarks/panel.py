"""Builds a panel of 10,000 series x 1,000 rows from a DataFrame, in order and shuffled.

    python benchmarks/panel.py

Bars: 2 s for sorted rows, 10 s for shuffled ones, and a peak of 1.5 times the panel's own arrays (stamps, values,
offsets). Time and memory are measured in runs of their own, because tracing memory slows the first down.
"""

import gc
import time
import tracemalloc

import numpy as np
import pandas as pd
from _report import arguments, report

from pipelines.panel import Panel

BARS = {"sorted": 2.0, "shuffled": 10.0}  # seconds
MEMORY_BAR = 1.5  # times the panel's own arrays


def long_frame(series: int, rows: int, columns: int) -> pd.DataFrame:
    """Returns long rows of daily random walks."""
    stamps = pd.date_range("2020-01-01", periods=rows).to_numpy()
    values = np.random.default_rng(0).normal(size=(series * rows, columns)).astype(np.float32)
    names = pd.array([f"series_{s:05d}" for s in range(series)], dtype="str")
    data = {"unique_id": names.take(np.repeat(np.arange(series), rows)), "ds": np.tile(stamps, series)}
    return pd.DataFrame({**data, **{f"y{c}": values[:, c] for c in range(columns)}})


def measure(frame: pd.DataFrame, repeats: int) -> tuple[float, float]:
    """Returns the seconds of the best run, and the peak of memory over the panel's own arrays."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        panel = Panel.from_frame(frame)
        seconds.append(time.perf_counter() - start)
        own = panel.ds.nbytes + panel.values.nbytes + panel.offsets.nbytes
        del panel
    gc.collect()
    tracemalloc.start()
    panel = Panel.from_frame(frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del panel
    return min(seconds), peak / own


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--columns", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    frame = long_frame(given.series, given.rows, given.columns)
    table, figures, passed = [], {}, True
    for name in BARS:
        if name == "shuffled":
            frame = frame.sample(frac=1, random_state=0, ignore_index=True)
        seconds, memory = measure(frame, given.repeats)
        good = seconds <= BARS[name] and memory <= MEMORY_BAR
        passed &= good
        figures |= {f"{name}_seconds": round(seconds, 3), f"{name}_peak_over_panel": round(memory, 3)}
        bar = f"{BARS[name]:g} s, {MEMORY_BAR}x"
        table.append([name, f"{seconds:.2f} s", f"{memory:.2f}x", bar, "yes" if good else "NO"])
    figures |= {"series": given.series, "rows": given.rows, "columns": given.columns, "passed": passed}
    report(["rows", "time", "peak memory / panel", "bar", "passed"], table, figures, given.json)


if __name__ == "__main__":
    main()
