"""What every task of a run has to know, small enough to travel; and the bundle as a process holds it.

Work(job, bundle, as_of, place)  -- pickled, a few hundred bytes -->  worker
                                                                     held(bundle): opened and loaded there, once
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import BundleError

from .clock import AsOf
from .config import Job
from .opened import Opened

if TYPE_CHECKING:
    from ..forecaster import Forecaster

KEPT = 64  # bundles that a process holds, where there is one for each group of series


@dataclass(frozen=True)
class Version:
    """A version of a bundle, as it was when the run began.

    Attributes:
        path: Its folder.
        digest: Of all its files.
        steps, levels: What it is asked for.
    """

    path: Path
    digest: str
    steps: int
    levels: tuple[float, ...]

    @classmethod
    def of(cls, opened: Opened) -> "Version":
        """Returns the version that was opened."""
        return cls(opened.path.absolute(), opened.manifest["digest"], opened.steps, opened.levels)


@dataclass(frozen=True)
class Work:
    """What every task of a run has to know.

    Attributes:
        job: The job, without its secrets.
        version: The bundle.
        as_of: When.
        place: Where tasks write; workers on other machines see the same folder.
    """

    job: Job
    version: Version
    as_of: AsOf
    place: Path


class Held:
    """A bundle as a process holds it: opened once, its network loaded once, when it is first asked for."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    @functools.cached_property
    def model(self) -> "Forecaster":
        """The forecaster, with its network."""
        from ..forecaster import Forecaster

        return Forecaster.load(self.opened.path)


_HELD: dict[Version, Held] = {}


def hold(opened: Opened) -> Version:
    """Keeps a bundle that was opened, and checked, just now; what this process holds of the same one stays."""
    version = Version.of(opened)
    _HELD.setdefault(version, Held(opened))
    while len(_HELD) > KEPT:
        del _HELD[next(iter(_HELD))]
    return version


def held(version: Version) -> Held:
    """Returns a bundle of this process.

    Raises:
        BundleError: It was changed since the run began.
    """
    if version not in _HELD:
        opened = Opened.at(version.path, version.steps, version.levels)
        if hold(opened) != version:
            raise BundleError(
                f"A bundle must not change while it is used. Received: another {version.path} than when the run began. "
                "Save changes as a new version."
            )
    return _HELD[version]
