"""The same nightly job on each engine: 20,000 series of 500 rows in 20 files, LSTM 32, horizon 24, two workers.

    python benchmarks/engines.py [--series 20000] [--json]

Each run is `forecast job run` in a process of its own, from a cold start to published. Memory is the largest sum, over
the process and all its children, of what each has for itself and of its share of the rest (PSS), looked at five times a
second.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from _report import arguments, report
from batch import NAME, in_a_process

ENGINES = {
    "inline": "inline",
    "spawn, 2 workers": "{name: spawn, workers: 2}",
    "joblib (loky), 2 workers": "{name: joblib, workers: 2}",
    "dask, 2 workers": "{name: dask, workers: 2}",
    "ray, 2 workers": "{name: ray, workers: 2}",
}
ROWS = 500


def prepare(name: str, series: int) -> None:
    """Writes rows, bundle and a job file for each engine into a folder."""
    import batch

    folder = Path(name)
    batch.write_rows(folder / "rows", series, ROWS)
    batch.train(folder, folder / "rows" / "000000.parquet", ROWS)
    for number, engine in enumerate(ENGINES.values()):
        text = f"name: job{number}\nsource: rows/*.parquet\npartitioned: true\nbundle: {NAME}\nshard_size: 1000\n"
        text += f"output: out{number}\nengine: {engine}\n"
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")


def family(pid: int) -> Iterator[int]:
    """Yields a process and all that descend from it."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):  # each thread has its own
        try:
            children = path.read_text().split()
        except OSError:
            continue  # it has ended
        for child in children:
            yield from family(int(child))


def memory(pid: int) -> float:
    """Returns the memory of a process and its descendants, in GB."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it has ended
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e6


def measure(job: Path, as_of: str) -> dict[str, float]:
    """Returns the seconds of a run and its peak of memory."""
    command = [sys.executable, "-m", "forecast", "job", "run", str(job), "--as-of", as_of]
    start, peak = time.perf_counter(), [0.0]
    env = {**os.environ, "FORECAST_HOME": str(job.parent)}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=env)
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.2):
                peak[0] = max(peak[0], memory(process.pid))

        thread = threading.Thread(target=look)
        thread.start()
        status = process.wait()
        seconds = time.perf_counter() - start
        ended.set()
        thread.join()
        if status:
            said.seek(0)
            raise SystemExit(said.read())
    return {"seconds": seconds, "memory_gb": peak[0]}


def forecasts(folder: Path) -> np.ndarray:
    """Returns what a job published, in order of series and step."""
    table = pd.read_parquet(folder / (folder / "CURRENT").read_text().strip() / "forecasts.parquet")
    found: np.ndarray = table.sort_values(["unique_id", "step"])["y_pred"].to_numpy()
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    given = parser.parse_args()
    as_of = (pd.Timestamp("2024-01-01") + pd.Timedelta(hours=ROWS - 1)).isoformat()
    found: dict[str, dict[str, float | bool]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_a_process("prepare", name, given.series, module="engines")
        for number, engine in enumerate(ENGINES):
            if engine.startswith("ray") and find_spec("ray") is None:
                continue  # an extra that is not for every Python
            measured = measure(folder / f"{number}.yaml", as_of)
            same = np.array_equal(forecasts(folder / f"out{number}"), forecasts(folder / "out0"))
            found[engine] = {**measured, "equal": same}
    first = found["inline"]["seconds"]
    table = [
        [engine, f"{one['seconds'] / first:.2f}", f"{one['seconds']:.1f}", f"{one['memory_gb']:.2f}", one["equal"]]
        for engine, one in found.items()
    ]
    report(["engine", "over inline", "seconds", "memory, GB", "equal to the bit"], table, found, given.json)


if __name__ == "__main__":
    main()
