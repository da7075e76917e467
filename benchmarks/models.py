"""The models at their defaults against the naive forecast, on a stock and on hourly traffic.

    AAPL      daily closes 2004 to 2018, lookback 60, horizon 1, the last 20 % of days; bar: at most 1.02 times naive
    traffic   hourly volume 2012 to 2018, lookback 168, horizon 24; bar: at least 20 % below seasonal naive (24 hours)

No rows are kept for intervals (`split.calibration=0`): networks are compared, and each may learn from all it can.

For contrast, the row `minmax only` is the network of the usual tutorial: LSTM 64 and 32 on MinMax-scaled prices,
without the window normalisation that is the default here.
"""

import statistics
import time
from pathlib import Path
from typing import Any

from _report import arguments, data_folder, report

from forecast import Forecaster

SPLIT = {"calibration": 0.0}
MODELS = ("lstm", "stacked_lstm", "bidirectional_lstm", "conv1d_lstm")


def stock(folder: Path, seed: int, **settings: Any) -> dict[str, float]:
    """Returns the figures of one run on AAPL."""
    model = Forecaster(target="Close", calendar="XNYS", horizon=1, seed=seed, split=SPLIT, **settings)
    return figures(model, str(folder / "stocks/AAPL.csv.gz"), "naive")


def traffic(folder: Path, seed: int, **settings: Any) -> dict[str, float]:
    """Returns the figures of one run on the traffic data."""
    model = Forecaster(target="traffic_volume", lookback=168, horizon=24, seed=seed, split=SPLIT, **settings)
    return figures(model, str(folder / "sensor/traffic_volume.csv.gz"), "seasonal_naive")


def figures(model: Forecaster, data: str, bar: str) -> dict[str, float]:
    """Trains and scores; `ratio` is the test MAE over the bar's, `untrained` the first loss over the best."""
    start = time.perf_counter()
    model.fit(data, quiet=True)
    seconds = time.perf_counter() - start
    scores, losses = model.evaluate(), model.run_.history["val_loss"]
    mae = scores[model.config.model.name]["mae"]
    ratio = mae / scores[bar]["mae"]
    return {
        "mae": mae,
        "ratio": ratio,
        "untrained": losses[0] / losses.min(),
        "epochs": len(losses) - 1,
        "seconds": seconds,
    }


def main() -> None:
    """Runs all and prints the table."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each model on AAPL")
    parser.add_argument("--only", choices=("stock", "traffic"), help="one of the two data sets")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="some of the models")
    options = parser.parse_args()
    folder = data_folder()
    runs: dict[str, list[dict[str, float]]] = {}
    if options.only != "traffic":
        for name in options.models:
            runs[f"AAPL {name}"] = [stock(folder, seed, model=name) for seed in range(options.seeds)]
        plain = [stock(folder, seed, model="stacked_lstm", normalize="none") for seed in range(options.seeds)]
        runs["AAPL minmax only"] = plain
    if options.only != "stock":
        for name in options.models:
            runs[f"traffic {name}"] = [traffic(folder, 0, model=name)]
    rows = []
    medians = {}
    for label, found in runs.items():
        medians[label] = {key: statistics.median(run[key] for run in found) for key in found[0]}
        ratios = " ".join(f"{run['ratio']:.3f}" for run in found)
        m = medians[label]
        bar = "naive" if label.startswith("AAPL") else "seasonal naive"
        rows.append(
            [
                label,
                f"{m['mae']:.4g}",
                f"{m['ratio']:.3f}",
                bar,
                ratios,
                f"{m['untrained']:.2f}",
                f"{m['epochs']:.0f}",
                f"{m['seconds']:.0f}",
            ]
        )
    columns = ["run", "MAE", "ratio", "to", "by seed", "untrained / best loss", "epochs", "seconds"]
    report(columns, rows, {"medians": medians}, options.json)


if __name__ == "__main__":
    main()
