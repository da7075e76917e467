"""Every model from the command line: trained, saved, loaded, plotted, and exported to INT8, on three data sets.

    python benchmarks/zoo.py --only goog --models lstm gru

    goog      returns of sample:goog, daily closes, lookback 60, horizon 5
    traffic   hourly motorway traffic, lookback 168, horizon 24
    etth1     hourly oil temperature, lookback 168, horizon 24

Each row is `forecast train`, `forecast plot` and `forecast export` with the defaults of a model, on windows of mean 0
and deviation 1 (`--normalize mean_std`), whose signals are large enough for the 8-bit integers of every cell; of
training only the number of epochs, the batch size and, for goog, the learning rate are given. `s an epoch` counts all
that `train` does, scoring and compiling, too. The error is the test MAE over the naive forecast's; that of the file is
the largest of LiteRT and TFLite Micro, of the core's own answers over their deviation, and of the MAE beside Keras's.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from _report import arguments, data_folder, report
from typer.testing import CliRunner

from forecast.cli import app
from forecast.models import registry

SETS: dict[str, tuple[str, list[str]]] = {
    "goog": (
        "sample:goog",
        ["--target", "Close", "--lookback", "60", "--horizon", "5", "--calendar", "XNYS", "--predict", "return"],
    ),
    "traffic": ("sensor/traffic_volume.csv.gz", ["--target", "traffic_volume", "--lookback", "168", "--horizon", "24"]),
    "etth1": ("ett/ETTh1.csv.gz", ["--target", "OT", "--lookback", "168", "--horizon", "24"]),
}
TRAINING = {
    "goog": ["--epochs", "30", "--learning-rate", "0.0003"],
    "traffic": ["--epochs", "3", "--batch-size", "128"],
    "etth1": ["--epochs", "3", "--batch-size", "128"],
}


# A decoder that is still told the truth has not learned to go on alone: its teacher leaves after ten epochs.
LONGER = {"encoder_decoder": ["--epochs", "12"]}


def command(*words: str) -> Any:
    """Runs one `forecast ...` with `--json` and returns what it printed, or why it failed."""
    result = CliRunner().invoke(app, list(words))
    if result.exit_code:
        said = str(result.exception or result.output).strip()
        return {"failed": said.splitlines()[-1] if said else f"exit {result.exit_code}"}
    return json.loads(result.stdout) if "--json" in words else {}


def one(data: str, name: str, folder: Path) -> dict[str, Any]:
    """Returns the figures of one model on one data set; "failed" where a command did."""
    locator, settings = SETS[data]
    locator = locator if ":" in locator else str(data_folder() / locator)
    places = ["--folder", str(folder)]
    start = time.perf_counter()
    words = ["train", locator, *settings, *TRAINING[data], "--normalize", "mean_std", "--model", name]
    words += [*LONGER.get(name, []), "--name", f"{data}_{name}", *places, "--quiet"]
    trained = command(*words, "--json")
    if "failed" in trained:
        return trained
    found: dict[str, Any] = {"seconds": time.perf_counter() - start, "epochs": trained["epochs"]}
    found["ratio"] = trained["scores"][name]["mae"] / trained["scores"]["naive"]["mae"]
    picture = folder / f"{data}_{name}.png"
    drawn = command("plot", f"{data}_{name}", "--out", str(picture), *places)
    if "failed" in drawn or not picture.is_file():
        return found | drawn
    file = command(
        "export", f"{data}_{name}", "--out", str(folder / f"{data}_{name}.tflite"), *places, "--quiet", "--json"
    )
    if "failed" in file:
        return found | file
    integers = [row for row in file["compared"] if "int8" in row["file"]]
    found |= {"layout": file["file"]["layout"], "bytes": file["cost"]["bytes"]}
    found["core_error"] = max(row["core_error"] for row in integers)
    found["degradation"] = max(row["degradation"] for row in integers)
    return found


def parameters(name: str, folder: Path) -> int:
    """Returns how many weights a saved model has."""
    from forecast import Forecaster

    return int(Forecaster.load(name, folder).network_.count_params())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--models", nargs="+", choices=registry.names(), default=registry.names())
    options = parser.parse_args()
    columns = ["data", "model", "parameters", "s an epoch", "MAE / naive", "INT8 bytes", "layout", "error", "of MAE"]
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for data in options.only:
            for name in options.models:
                found = one(data, name, folder)
                figures[f"{data} {name}"] = found
                row = [data, name]
                if "ratio" in found:
                    found["parameters"] = parameters(f"{data}_{name}", folder)
                    each = found["seconds"] / max(found["epochs"], 1)
                    row += [f"{found['parameters']:,}", f"{each:.1f}", f"{found['ratio']:.3f}"]
                if "failed" in found:
                    row += ["", found["failed"][:160]]
                elif "bytes" in found:
                    row += [f"{found['bytes']:,}", found["layout"], f"{found['core_error']:.1%}"]
                    row += [f"{found['degradation']:+.1%}"]
                rows.append(row + [""] * (len(columns) - len(row)))
                if not options.json:
                    print(*rows[-1], flush=True)
    report(columns, rows, figures, options.json)


if __name__ == "__main__":
    main()
