"""A bundle of one epoch, forty series of hours, and job files on them."""

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast import Forecaster
from forecast.jobs import run

SERIES = [f"s{n:02d}" for n in range(40)]
HOURS = pd.date_range("2024-03-01", periods=72, freq="h")
LAST = "2024-03-03T23:00"  # the last of these hours
LOOKBACK, HORIZON = 6, 3


def walks(ids=SERIES, stamps=HOURS, seed=0):
    """Returns long rows of random walks about 100, one series after the other."""
    values = 100 + np.random.default_rng(seed).normal(size=(len(ids), len(stamps))).cumsum(axis=1)
    return pd.DataFrame(
        {"unique_id": np.repeat(ids, len(stamps)), "ds": np.tile(stamps, len(ids)), "y": values.ravel()}
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The folder of bundles: `hours`, trained on all series but the last two; `returns`, on all, with a gap."""
    folder = tmp_path_factory.mktemp("models")
    model = Forecaster(
        model={"name": "lstm", "units": 2},
        lookback=LOOKBACK,
        horizon=HORIZON,
        stride=3,
        split={"calibration": 0.15, "test": 0.15},
        training={"epochs": 1},
    )
    model.fit(walks(SERIES[:-2]), quiet=True).save("hours", folder)
    config = model.config.replace(predict="return", gap=1, split={"calibration": 0})
    Forecaster(config=config).fit(walks(), quiet=True).save("returns", folder)
    return folder


@pytest.fixture
def job(tmp_path, models):
    """Writes rows and a job file on them; returns its path."""

    def write(frame=None, name="nightly", **settings):
        frame = walks() if frame is None else frame
        if frame["y"].dtype == object:  # a column of texts, as in a file where somebody typed one
            frame = frame.assign(y=frame["y"].map(str))
        frame.to_parquet(tmp_path / "rows.parquet", index=False)
        about = {"name": name, "source": "rows.parquet", "bundle": str(models / "hours" / "1"), "output": "out"}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**about, "shard_size": 15, **settings}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def published(job):
    """Runs a job on some rows as of the last hour; returns the outcome, its forecasts and its quarantine table."""

    def publish(frame=None, as_of=LAST, **settings):
        outcome = run(job(frame, **settings), as_of)
        return outcome, forecasts(outcome.folder), pd.read_parquet(outcome.folder / "quarantine.parquet")

    return publish


def forecasts(folder):
    return pd.read_parquet(folder / "forecasts.parquet")


@pytest.fixture(scope="session")
def rows():
    """The functions above, for tests that need them."""
    return walks
