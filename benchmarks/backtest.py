"""What a backtest costs beside one prediction of the same windows: baselines, truth, scores and verdict.

    python benchmarks/backtest.py

An LSTM of 64 units, lookback 60, horizon 5, on a random walk: 1,000 cutoffs, without fitting again. Prediction and
backtest take turns in one process, and the middle of the ratios counts. Bar: at most 3 times one prediction. Then the
same as 20 series of 50 cutoffs each.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from _report import arguments, report

BAR = 3.0  # times one prediction


def seconds(run: Callable[[], object]) -> float:
    """Returns how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratios(series: int, cutoffs: int, repeats: int) -> tuple[float, float]:
    """Returns a backtest's time over that of one prediction, without and with scores and verdict."""
    from forecast import Forecaster

    random = np.random.default_rng(0)
    days = pd.date_range("2015-01-01", periods=5 * cutoffs + 300)
    parts = [
        pd.DataFrame({"unique_id": f"s{s}", "ds": days, "y": 500 + random.normal(size=len(days)).cumsum()})
        for s in range(series)
    ]
    model = Forecaster(lookback=60, horizon=5, training={"epochs": 1, "batch_size": 1024})
    model.fit(pd.concat(parts, ignore_index=True), quiet=True)
    index = model.backtest(cutoffs=cutoffs).index
    rows, fitted = model.pipeline_.transform(model.panel_), model.fitted_
    fitted.predict(rows, index)
    plain, scored = [], []
    for _ in range(repeats):
        one = seconds(lambda: fitted.predict(rows, index))
        plain.append(seconds(lambda: model.backtest(cutoffs=cutoffs)) / one)
        one = seconds(lambda: fitted.predict(rows, index))
        scored.append(seconds(lambda: model.backtest(cutoffs=cutoffs).scores) / one)
    return statistics.median(plain), statistics.median(scored)


def main() -> None:
    """Measures both and prints the table."""
    parser = arguments(__doc__)
    parser.add_argument("--cutoffs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    rows, figures, passed = [], {}, True
    for series in (1, 20):
        cutoffs = options.cutoffs // series
        plain, scored = ratios(series, cutoffs, options.repeats)
        passed &= scored <= BAR
        rows.append([f"{series:,} x {cutoffs:,}", f"{plain:.2f}", f"{scored:.2f}", "yes" if scored <= BAR else "NO"])
        figures[f"{series} series"] = {"backtest": round(plain, 3), "with scores": round(scored, 3)}
    columns = ["series x cutoffs", "backtest / prediction", "with scores and verdict", f"at most {BAR:g}"]
    report(columns, rows, {**figures, "passed": passed}, options.json)


if __name__ == "__main__":
    main()
