"""How often a series counts as drifted where nobody changed anything, and where somebody did.

    python benchmarks/drift.py [--json]

PSI: at the end of every tenth row the last lookback is compared with the eight before, as `forecast job run` does, of
random walks and of real series. CUSUM: standardised errors of a year of cutoffs, as `forecast job score` sums them up.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _report import arguments, data_folder, report, table

from forecast.jobs import drift

LOOKBACKS = (20, 60)
YEAR = 250  # cutoffs


def series() -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and values `(S, T)`."""
    yield "random walks", np.random.default_rng(0).normal(size=(100, 3000)).cumsum(axis=1)
    data = data_folder()
    rows = pd.read_csv(data / "stocks" / "us_daily_6tickers.csv.gz")
    for ticker, own in rows.groupby("Ticker"):
        yield str(ticker), own["Adj Close"].to_numpy()[None]
    yield "exchange rates", pd.read_csv(data / "bench" / "exchange_rate.csv.gz", header=None).to_numpy().T
    traffic = pd.read_csv(data / "sensor" / "traffic_volume.csv.gz").drop_duplicates("date_time")
    yield "traffic, hourly", traffic["traffic_volume"].to_numpy(float)[None]


def share(values: np.ndarray, lookback: int) -> float:
    """Returns the share of looks at which a series counts as drifted, in percent."""
    width = lookback * (1 + drift.REFERENCE)
    changes = np.diff(values, axis=1)
    looks = [
        drift.psi(changes[:, end - lookback : end], changes[:, end - width : end - lookback])
        for end in range(width, changes.shape[1] + 1, 10)
    ]
    return float(100 * (np.concatenate(looks) > drift.LIMIT).mean())


def found(factor: float, lookback: int) -> float:
    """Returns the share of walks found whose moves have been so many times larger for one lookback, in percent."""
    changes = np.random.default_rng(1).normal(size=(1000, lookback * (1 + drift.REFERENCE)))
    return float(100 * (drift.psi(factor * changes[:, -lookback:], changes[:, :-lookback]) > drift.LIMIT).mean())


def alarmed() -> Iterator[tuple[str, float, str]]:
    """Yields errors, the share of series with an alarm within a year of cutoffs in percent, and after how many."""
    random = np.random.default_rng(2)
    normal, wild = random.normal(size=(1000, YEAR)), random.standard_t(5, size=(1000, YEAR)) / np.sqrt(5 / 3)
    for name, z in (
        ("normal, as the interval says", normal),
        ("heavy tails (Student, 5)", wild),
        ("half a deviation too high", normal + 0.5),
        ("a deviation too high", normal + 1.0),
        ("twice as large", 2 * normal),
    ):
        alarms = np.any(list(drift.cusum(z).values()), axis=0)
        first = np.argmax(alarms, axis=1)[alarms.any(axis=1)] + 1
        yield name, float(100 * alarms.any(axis=1).mean()), f"{np.median(first):.0f}" if len(first) else "-"


def main() -> None:
    given = arguments(__doc__).parse_args()
    rows = [(name, [share(values, lookback) for lookback in LOOKBACKS]) for name, values in series()]
    rows += [(f"walks, moves {n} times as large", [found(n, lookback) for lookback in LOOKBACKS]) for n in (2, 3)]
    figures = {name: dict(zip(map(str, LOOKBACKS), shares, strict=True)) for name, shares in rows}
    errors = list(alarmed())
    if not given.json:
        cells = [[name, f"{share:.1f} %", after] for name, share, after in errors]
        table(["errors (CUSUM)", f"alarm within {YEAR} cutoffs", "after, median"], cells)
    figures |= {name: {"share": share, "after": after} for name, share, after in errors}
    cells = [[name, *(f"{one:.1f} %" for one in shares)] for name, shares in rows]
    report(["changes (PSI)", *(f"lookback {lookback}" for lookback in LOOKBACKS)], cells, figures, given.json)


if __name__ == "__main__":
    main()
