"""Long horizons: `segment_lstm` and `linear` on ETTh1, beside the published scores.

    python benchmarks/long_horizon.py --horizon 96

Seven series of hourly rows, the standard split (rows to 8,639 train, to 11,519 validate, to 14,399 test), z-scored with
training rows, every test window. One network serves all seven, each with an embedding of its own. Lower is better:
repeat-last 1.294, closed-form linear 0.370 (lookback 336), published NLinear 0.374, published SegRNN 0.351
(lookback 720, https://arxiv.org/abs/2308.11200).

No setting was chosen by test rows: they are the paper's (segments, units, dropout, loss) and a plain Adam.
"""

import time
from typing import Any

import numpy as np
import pandas as pd
from _report import arguments, data_folder, report

from forecast import Forecaster

SETTINGS: dict[str, dict[str, Any]] = {
    "segment_lstm": {
        "model": {"name": "segment_lstm", "units": 128, "segment": 24, "embedding": 64, "dropout": 0.1},
        "lookback": 720,
        "training": {"loss": "mae", "learning_rate": 3e-4, "batch_size": 448, "epochs": 30, "patience": 5},
    },
    "linear": {
        "model": {"name": "linear"},
        "lookback": 336,
        "training": {"loss": "mse", "learning_rate": 5e-4, "batch_size": 448, "epochs": 30, "patience": 5},
    },
}


def etth1() -> tuple[pd.DataFrame, dict[str, str]]:
    """Returns the rows in long form, and the stamps at which parts start."""
    wide = pd.read_csv(data_folder() / "ett/ETTh1.csv.gz", index_col="date", parse_dates=True).iloc[:14_400]
    starts = {part: str(wide.index[row]) for part, row in (("validation", 8_640), ("test", 11_520))}
    long = wide.rename_axis(index="ds").melt(var_name="unique_id", value_name="y", ignore_index=False)
    return long.reset_index(), starts


def scored(model: Forecaster) -> dict[str, float]:
    """Returns MSE and MAE of test windows, z-scored with training rows."""
    tested = model.backtest()
    panel, (first, end) = tested.panel, model.splits_.rows("train")
    deviation = np.array([panel.values[first[s] : end[s], 0].std(dtype=np.float64) for s in range(len(panel.ids))])
    errors = {
        name: (y - tested.y_true) / deviation[tested.index.series][:, None, None]
        for name, y in tested.y_pred.items()
        if name in (tested.model, "naive")
    }
    found = {f"{name}_mse": float((error**2).mean()) for name, error in errors.items()}
    return found | {"mae": float(abs(errors[tested.model]).mean()), "windows": len(tested.index)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--horizon", type=int, default=96, choices=(96, 192, 336, 720))
    parser.add_argument("--models", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args()
    frame, starts = etth1()
    rows, figures = [], {}
    for name in options.models:
        model = Forecaster(
            **SETTINGS[name],
            target="y",
            horizon=options.horizon,
            scaling="standard",
            split={**starts, "calibration": 0.0},
        )
        start = time.perf_counter()
        model.fit(frame, quiet=options.quiet)
        seconds = time.perf_counter() - start
        found = scored(model)
        epochs = len(model.run_.history) - 1
        figures[name] = found | {"seconds": round(seconds, 1), "epochs": epochs}
        cells = [f"{found[f'{name}_mse']:.4f}", f"{found['mae']:.4f}", f"{found['naive_mse']:.4f}"]
        rows.append(
            [name, f"{found['windows']:,}", *cells, f"{model.network_.count_params():,}", epochs, f"{seconds:.0f}"]
        )
    report(
        ["model", "windows", "MSE", "MAE", "repeat-last MSE", "parameters", "epochs", "seconds"],
        rows,
        figures,
        options.json,
    )


if __name__ == "__main__":
    main()
