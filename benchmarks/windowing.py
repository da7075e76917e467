"""Windows per second: one gather a batch, against Keras' own data set of windows.

    python benchmarks/windowing.py

200,000 rows of 5 features, lookback 60, horizon 1, batches of 256 in shuffled order, in one process. Both make every
past and the future of the first column as arrays in memory; nothing is trained. Keras passes once over all windows
(half a minute), we several times (the middle one counts). Bar: 50 times `keras.utils.timeseries_dataset_from_array`,
which gathers the rows of each window one by one.
"""

import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from _report import arguments, report

from pipelines.windows import WindowIndex, WindowSpec, index_windows

BAR = 50  # times as many windows per second


def ours(values: np.ndarray, index: WindowIndex, batch: int, order: np.ndarray) -> int:
    """Gathers every batch; returns the number of windows."""
    count = 0
    for first in range(0, len(order), batch):
        part = index[order[first : first + batch]]
        past, future = part.past(values), part.future(values[:, :1])
        count += min(len(past), len(future))
    return count


def speed(run: Callable[[], int], repeats: int) -> float:
    """Returns windows per second, the middle one of several runs."""
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        count = run()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--lookback", type=int, default=60)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    values = random.normal(size=(given.rows, given.features)).astype(np.float32)
    spec = WindowSpec(lookback=given.lookback, horizon=1)
    index = index_windows(np.array([0, given.rows]), spec, (np.array([0]), np.array([given.rows])))
    order = random.permutation(len(index))

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from forecast._keras import load_keras

    keras = load_keras()

    data = keras.utils.timeseries_dataset_from_array(
        values[:-1], values[given.lookback :, :1], given.lookback, batch_size=given.batch, shuffle=True, seed=0
    )

    # The same windows: pasts in order, compared before the clock runs.
    plain = keras.utils.timeseries_dataset_from_array(
        values[:999], values[given.lookback : 1000, :1], given.lookback, batch_size=1000
    )
    x, y = (np.asarray(part) for part in next(iter(plain)))
    np.testing.assert_array_equal(index[: len(x)].past(values), x)
    np.testing.assert_array_equal(index[: len(y)].future(values[:, :1])[:, 0], y)

    gathered = speed(lambda: ours(values, index, given.batch, order), given.repeats)
    theirs = speed(lambda: sum(int(x.shape[0]) for x, _ in data), 1)
    figures = {
        "gather_windows_per_second": round(gathered),
        "keras_windows_per_second": round(theirs),
        "times": round(gathered / theirs, 1),
        "bar": BAR,
        "passed": gathered >= BAR * theirs,
        "rows": given.rows,
        "features": given.features,
        "lookback": given.lookback,
        "batch": given.batch,
    }
    table = [
        ["WindowIndex.past and .future", f"{gathered:,.0f}", f"{gathered / theirs:.0f}x"],
        ["timeseries_dataset_from_array", f"{theirs:,.0f}", "1x"],
        ["bar", "", f"{BAR}x: {'passed' if figures['passed'] else 'NOT passed'}"],
    ]
    report(["way", "windows/s", "ratio"], table, figures, given.json)


if __name__ == "__main__":
    main()
