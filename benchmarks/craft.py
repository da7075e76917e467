"""What each option of training does to the plain recipe, on hourly traffic and on a stock, also where it does not help.

    python benchmarks/craft.py --only goog --seeds 3

    traffic   hourly motorway traffic, lookback 72, horizon 24, batches of 128 windows, Adam at 0.003, at most 15 epochs
    goog      sample:goog, daily closes, lookback 60, horizon 5, at most 40 epochs

The plain recipe is an LSTM of 64 units with Adam (at 0.001 for goog), mean squared error and early stopping. Each row
changes one thing. `MAE / plain` is the test MAE over that of the plain recipe with the same seed, the median of all
seeds first: below 1 the option helped. Options were chosen for the table, not their values: nothing was tuned.
"""

import statistics
import time
from typing import Any

from _report import arguments, data_folder, report

from forecast import Forecaster

SPLIT = {"calibration": 0.0}
SETS: dict[str, dict[str, Any]] = {
    "traffic": {
        "target": "traffic_volume",
        "lookback": 72,
        "horizon": 24,
        "training": {"epochs": 15, "batch_size": 128, "learning_rate": 0.003},
    },
    "goog": {"target": "Close", "lookback": 60, "horizon": 5, "training": {"epochs": 40}},
}
BARS = {"traffic": "seasonal_naive", "goog": "naive"}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cosine, warm-up of 1 epoch": {"training": {"schedule": {"name": "cosine", "warmup": 1}}},
    "step, 10 % every 3 epochs": {"training": {"schedule": "step"}},
    "reduce on plateau": {"training": {"schedule": "plateau"}},
    "average of weights, 0.99": {"training": {"average": 0.99}},
    "loss mae": {"training": {"loss": "mae"}},
    "loss huber": {"training": {"loss": "huber"}},
    "loss log_cosh": {"training": {"loss": "log_cosh"}},
    "loss mase": {"training": {"loss": "mase"}},
    "loss smape": {"training": {"loss": "smape"}},
    "loss mixed": {"training": {"loss": "mixed"}},
    "jitter 0.1": {"training": {"augment": {"jitter": 0.1}}},
    "scaling 0.2": {"training": {"augment": {"scaling": 0.2}}},
    "slicing 0.1": {"training": {"augment": {"slicing": 0.1}}},
    "adversarial 0.05": {"training": {"adversarial": 0.05}},
    "dropout 0.2": {"model": {"dropout": 0.2}},
    "recurrent dropout 0.2": {"model": {"recurrent_dropout": 0.2}},
    "l2 0.0001": {"model": {"l2": 1e-4}},
    "clip_norm 0.01": {"training": {"clip_norm": 0.01}},
    "ensemble of 3 seeds": {"ensemble": 3},
}


def one(name: str, option: dict[str, Any], seed: int) -> dict[str, float]:
    """Returns the figures of one run."""
    settings = {**SETS[name], "training": {**SETS[name]["training"], **option.get("training", {})}}
    settings["model"] = {"name": "lstm", **option.get("model", {})}
    if "ensemble" in option:
        settings["ensemble"], seed = option["ensemble"], 10 * seed  # no two ensembles share a seed
    data = "sample:goog" if name == "goog" else str(data_folder() / "sensor/traffic_volume.csv.gz")
    started = time.perf_counter()
    model = Forecaster(seed=seed, split=SPLIT, **settings).fit(data, quiet=True)
    seconds = time.perf_counter() - started
    scores = model.evaluate()
    mae = scores[model.config.label]["mae"]
    return {
        "mae": mae,
        "bar": mae / scores[BARS[name]]["mae"],
        "epochs": len(model.run_.history) - 1,
        "best_epoch": model.run_.best_epoch,
        "seconds": seconds,
    }


def main() -> None:
    """Runs all and prints the table."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each option")
    parser.add_argument("--only", choices=tuple(SETS), help="one of the two data sets")
    parser.add_argument("--options", nargs="+", choices=tuple(OPTIONS), default=tuple(OPTIONS), help="some of them")
    given = parser.parse_args()
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    columns = ["data", "option", "MAE / plain", "by seed", "MAE / bar", "epochs", "best epoch", "time / plain"]
    rows = []
    for data in [given.only] if given.only else SETS:
        one(data, {"training": {"epochs": 1}}, 0)  # whoever comes first pays for imports
        found: dict[str, list[dict[str, float]]] = {}
        for label in dict.fromkeys(("plain", *given.options)):
            found[label] = [one(data, OPTIONS[label], seed) for seed in range(given.seeds)]
            ratios = [run["mae"] / plain["mae"] for run, plain in zip(found[label], found["plain"], strict=True)]
            times = [run["seconds"] / plain["seconds"] for run, plain in zip(found[label], found["plain"], strict=True)]
            keys = ("bar", "epochs", "best_epoch")
            middle = {key: statistics.median(run[key] for run in found[label]) for key in keys}
            rows.append(
                [
                    data,
                    label,
                    f"{statistics.median(ratios):.3f}",
                    " ".join(f"{ratio:.3f}" for ratio in ratios),
                    f"{middle['bar']:.3f}",
                    f"{middle['epochs']:.0f}",
                    f"{middle['best_epoch']:.0f}",
                    f"{statistics.median(times):.2f}",
                ]
            )
            if not given.json:
                print("  ".join(rows[-1]), flush=True)
        figures[data] = found
    report(columns, rows, {"runs": figures}, given.json)


if __name__ == "__main__":
    main()
