"""A nightly job over 10,000 series of 500 rows: from a cold start to published, Parquet to Parquet, in one process.

    python benchmarks/batch.py [--series 10000] [--rows 500] [--json]

The bundle is an LSTM of 32 units, lookback 60, horizon 24, trained on some of the series for one epoch; its training is
not measured. The run is `forecast job run` in a process of its own, so imports and the first call of the network count.
The stages are those of its log lines: `import` is all before the first one begins, and loading TensorFlow and the
network; memory is the peak of the process.

Then the same with a tenth and ten times as many series, `partitioned` in files of 1,000: memory is that of a part.

Where `make peers` made its environment, neuralforecast predicts the same rows with an LSTM of the same size, too.
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
FILE = 1_000  # series
PEERS = Path(__file__).parents[1] / ".venv-peers"


def write_rows(folder: Path, series: int, rows: int) -> None:
    """Writes hourly random walks as long Parquet files of 1,000 series."""
    folder.mkdir()
    stamps = pd.date_range("2024-01-01", periods=rows, freq="h").to_numpy()
    for first in range(0, series, FILE):
        ids = np.array([f"series_{s:06d}" for s in range(first, min(series, first + FILE))], object)
        values = 100 + np.random.default_rng(first).normal(size=(len(ids), rows)).cumsum(axis=1)
        data = {"unique_id": ids.repeat(rows), "ds": np.tile(stamps, len(ids)), "y": values.astype(np.float32).ravel()}
        pd.DataFrame(data).to_parquet(folder / f"{first:06d}.parquet", index=False)


def join(folder: Path) -> None:
    """Writes all rows of a folder into one file beside it."""
    pd.read_parquet(folder).to_parquet(folder.with_suffix(".parquet"), index=False)


def train(folder: Path, data: Path, rows: int) -> None:
    """Saves the bundle that the job works with."""
    from forecast import Forecaster

    settings: dict[str, Any] = {"stride": rows, "freq": "h", "split": {"test": 0, "calibration": 0, "validation": 0.1}}
    model = Forecaster(model={"name": "lstm", "units": 32}, lookback=60, horizon=24, **settings)
    model.fit(str(data), quiet=True, epochs=1, batch_size=256).save(NAME, folder / "saved_models")


def make(name: str, series: int, rows: int) -> None:
    """Writes rows, bundle and job files into a folder: `one.yaml` reads one file, `parts.yaml` partitioned ones."""
    folder = Path(name)
    for size in sizes(series):
        write_rows(folder / str(size), size, rows)
    join(folder / str(series))
    train(folder, folder / str(series) / "000000.parquet", rows)
    jobs = {"one": f"source: {series}.parquet\n"}
    jobs |= {f"parts_{size}": f"source: {size}/*.parquet\npartitioned: true\n" for size in sizes(series)}
    for job, source in jobs.items():
        text = f"name: {job}\n{source}bundle: {NAME}\noutput: out_{job}\n"
        (folder / f"{job}.yaml").write_text(text, encoding="utf-8")


def sizes(series: int) -> list[int]:
    """Returns a tenth, as many and ten times as many."""
    return [series // 10, series, series * 10]


def in_a_process(call: str, *values: Any, module: str = "batch") -> None:
    """Calls a function of a module here in a process of its own: the peak of a child counts that of its parent."""
    code = f"import sys, {module}; {module}.{call}(*(int(v) if v.isdigit() else v for v in sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, *map(str, values)], cwd=Path(__file__).parent, check=True)


def measure(job: Path, as_of: str) -> dict[str, float]:
    """Returns the seconds of the whole process and of each stage, and its peak of memory in GB."""
    command = [sys.executable, "-m", "forecast", "job", "run", str(job), "--as-of", as_of]
    log, seconds, usage = timed(command, {"FORECAST_HOME": str(job.parent)})
    stages = {line["stage"]: line["seconds"] for line in map(json.loads, log.splitlines()) if "stage" in line}
    run = stages.pop("end")
    stages["import"] = seconds - run + stages.pop("open") + stages.pop("load")
    stages["read"] += stages.pop("gates")
    used = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "memory_gb": usage.ru_maxrss / 1e6}
    return {**stages, "seconds": seconds, **used}


def timed(command: list[str], more: dict[str, str]) -> tuple[str, float, Any]:
    """Returns what a command wrote to standard error, its seconds and what it used."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as lines:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=lines, env={**os.environ, **more})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        lines.seek(0)
        log = lines.read()
    if status:
        raise SystemExit(log)
    return log, seconds, usage


def peer(folder: Path, series: int) -> dict[str, float] | None:
    """Returns the same figures of neuralforecast; None where its environment was not made."""
    if not (PEERS / ".ready").exists():
        return None
    python = str(PEERS / "bin" / "python")
    script, rows = str(Path(__file__).with_name("peer_neuralforecast.py")), folder / f"{series}.parquet"
    quiet = {"PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    timed([python, script, "train", str(rows), str(folder / "peer")], quiet)
    log, seconds, usage = timed([python, script, "predict", str(rows), str(folder / "peer")], quiet)
    stages = json.loads(log.splitlines()[-1])
    stages["import"] += seconds - sum(stages.values())
    used = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "memory_gb": usage.ru_maxrss / 1e6}
    return {**stages, "seconds": seconds, **used}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_a_process("make", name, given.series, given.rows)
        last = (pd.Timestamp("2024-01-01") + pd.Timedelta(hours=given.rows - 1)).isoformat()
        found = {f"{given.series:,}, one file": measure(folder / "one.yaml", last)}
        for size in sizes(given.series):
            found[f"{size:,}, partitioned"] = measure(folder / f"parts_{size}.yaml", last)
        beside = peer(folder, given.series)
    if beside is not None:
        found[f"{given.series:,}, neuralforecast"] = beside
    first, *parts = found.values()
    passed = first["seconds"] <= BARS["seconds"] and all(
        one["memory_gb"] <= BARS["memory_gb"] for one in [first, *parts[:3]]
    )
    names = ["import", "read", "score", "write", "seconds", "cpu_seconds", "memory_gb"]
    table = [[series, *(f"{one[column]:.2f}" for column in names)] for series, one in found.items()]
    table.append(["bar, one file", "", "", "", "", f"{BARS['seconds']:g}", "", f"{BARS['memory_gb']:g}"])
    figures: dict[str, Any] = {series: {k: round(v, 3) for k, v in one.items()} for series, one in found.items()}
    rate = [(one["seconds"] - one["import"]) / size for one, size in zip(parts, sizes(given.series), strict=False)]
    figures["seconds a series, over those of the middle"] = [round(one / rate[1], 2) for one in rate]
    report(["series", *names], table, figures | {"passed": passed}, given.json)
    if beside is None and not given.json:
        print("`make peers` installs neuralforecast, to be measured beside it.")


if __name__ == "__main__":
    main()
