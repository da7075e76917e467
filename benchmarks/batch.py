"""A nightly job over 10,000 series of 500 rows: from a cold start to published, Parquet to Parquet, in one process.

    python benchmarks/batch.py [--series 10000] [--rows 500] [--json]

The bundle is an LSTM of 32 units, lookback 60, horizon 24, trained on all series for one epoch; its training is not
measured. The run is `forecast job run` in a process of its own, so imports and the first call of the network count.
The stages are those of its log lines: `import` is all before the first one begins, and loading TensorFlow and the
network; memory is the peak of the process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _report import arguments, report

BARS = {"seconds": 20.0, "memory_gb": 1.5}
NAME = "batch"


def rows_file(folder: Path, series: int, rows: int) -> Path:
    """Writes hourly random walks as one long Parquet file."""
    ids = np.array([f"series_{s:06d}" for s in range(series)], object)
    stamps = pd.date_range("2024-01-01", periods=rows, freq="h").to_numpy()
    values = 100 + np.random.default_rng(0).normal(size=(series, rows)).cumsum(axis=1)
    data = {"unique_id": ids.repeat(rows), "ds": np.tile(stamps, series), "y": values.astype(np.float32).ravel()}
    path = folder / "rows.parquet"
    pd.DataFrame(data).to_parquet(path, index=False)
    return path


def train(folder: Path, data: Path, rows: int) -> None:
    """Saves the bundle that the job works with."""
    from forecast import Forecaster

    settings: dict[str, Any] = {"stride": rows, "freq": "h", "split": {"test": 0, "calibration": 0, "validation": 0.1}}
    model = Forecaster(model={"name": "lstm", "units": 32}, lookback=60, horizon=24, **settings)
    model.fit(str(data), quiet=True, epochs=1, batch_size=256).save(NAME, folder / "saved_models")


def make(folder: str, series: int, rows: int) -> None:
    """Writes rows, bundle and job file into a folder."""
    path = Path(folder)
    data = rows_file(path, series, rows)
    train(path, data, rows)
    text = f"name: {NAME}\nsource: {data.name}\nbundle: {NAME}\noutput: out\n"
    (path / "job.yaml").write_text(text, encoding="utf-8")


def measure(job: Path, as_of: str) -> dict[str, float]:
    """Returns the seconds of the whole process and of each stage, and its peak of memory in GB."""
    command = [sys.executable, "-m", "forecast", "job", "run", str(job), "--as-of", as_of]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as lines:
        env = {**os.environ, "FORECAST_HOME": str(job.parent)}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=lines, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        lines.seek(0)
        log = lines.read()
    if status:
        raise SystemExit(log)
    stages = {line["stage"]: line["seconds"] for line in map(json.loads, log.splitlines()) if "stage" in line}
    run = stages.pop("end")
    stages["import"] = seconds - run + stages.pop("open") + stages.pop("load")
    stages["read"] += stages.pop("gates")
    used = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "memory_gb": usage.ru_maxrss / 1e6}
    return {**stages, "seconds": seconds, **used}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of their own: the peak of a child's memory counts that of the parent it was forked from.
        make = "import sys, batch; batch.make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
        sizes = [str(given.series), str(given.rows)]
        subprocess.run([sys.executable, "-c", make, name, *sizes], cwd=Path(__file__).parent, check=True)
        last = pd.Timestamp("2024-01-01") + pd.Timedelta(hours=given.rows - 1)
        found = measure(folder / "job.yaml", last.isoformat())
    passed = all(found[name] <= bar for name, bar in BARS.items())
    table = [[name, f"{found[name]:.2f}", f"{BARS.get(name, '')}"] for name in found]
    figures = {name: round(value, 3) for name, value in found.items()}
    report(["what", "measured", "bar"], table, figures | {"series": given.series, "passed": passed}, given.json)


if __name__ == "__main__":
    main()
