"""The state of a training on disk: whoever takes it up again ends with the same weights, to the bit.

    state-0.npz    weights, seeds of dropout, moments of the optimizer, best weights so far, losses, and how far the
    state-1.npz    epoch is; written in turn, each as a whole, so that one is always good

A state is written when enough time has passed that writing costs a twentieth of it, and when training is asked to stop.
Nothing in it is pickled, and nothing is put into a network before its shape is compared.
"""

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import BundleError

from ..bundle import sync

COSTS = 20  # writing takes at most one part in so many of the time

State = dict[str, np.ndarray]


class Checkpoint:
    """Where one network's training is kept.

    Args:
        folder: A folder of its own; it is made.

    Attributes:
        stop: Set where training should stop: it writes its state at the next chance, and raises `Stopped`.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.stop = folder, False
        self._number, self._next = 0, 0.0

    def due(self) -> bool:
        """Returns whether it is time to write again."""
        return time.monotonic() >= self._next

    def save(self, state: State) -> None:
        """Writes a state as a whole; the one before it stays until then, and after."""
        started = time.monotonic()
        self._number += 1
        temporary = self.folder / ".state.tmp"
        with open(temporary, "wb") as file:
            np.savez(file, number=np.array(self._number), **state)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / f"state-{self._number % 2}.npz")
        sync(self.folder)
        now = time.monotonic()
        self._next = now + COSTS * (now - started)

    def load(self) -> State | None:
        """Returns the last good state; None where there is none."""
        found = [state for name in ("state-0.npz", "state-1.npz") if (state := _read(self.folder / name)) is not None]
        if not found:
            return None
        last = max(found, key=lambda state: int(state["number"]))
        self._number = int(last["number"])
        return last


def _read(path: Path) -> State | None:
    """Returns what is in a file; None where it is not there, or damaged."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}  # reading compares checksums
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def taken(name: str, variables: list[Any]) -> State:
    """Returns the values of Keras variables by name and number.

    Example: `taken("model", model.variables)` has "model/0", "model/1", ...
    """
    import keras

    return {f"{name}/{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(variables)}


def put(state: State, name: str, variables: list[Any]) -> None:
    """Puts values back into Keras variables.

    Raises:
        BundleError: They are of another network.
    """
    values = arrays(state, name)
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise BundleError(
            f"A training goes on with the network it began with. Received: a state of another one, {len(values)} "
            f"arrays called {name}, not {len(variables)} of the same shapes. Start anew, without `resume`."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def arrays(state: State, name: str) -> list[np.ndarray]:
    """Returns the arrays of a name, in order."""
    return [state[f"{name}/{i}"] for i in range(sum(key.startswith(f"{name}/") for key in state))]
