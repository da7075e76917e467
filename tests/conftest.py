"""What all tests share: the folder of real data, hypothesis without a stopwatch, and no networks of other modules."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from forecast._keras import forgetting

# Two test processes share two cores: more threads in each only get in each other's way.
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# A busy machine is no failing test.
settings.register_profile("keras-forecast", deadline=None)
settings.load_profile("keras-forecast")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, which is not part of the project; without it the test is skipped."""
    folder = Path(os.environ.get("FORECAST_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip(
            "Tests find real data through the environment variable `FORECAST_DATA` (default `../shared/data` from the "
            f"project's root). Received: {folder}, which is no folder."
        )
    return folder


@pytest.fixture(autouse=True, scope="module")
def _forgetting() -> Iterator[None]:
    """Lets go of what a module trained: graphs of hundreds of networks make each collection of garbage slow."""
    if "tensorflow" not in sys.modules:
        yield
    else:
        with forgetting():
            yield
