"""The parts of a source that are read one at a time, so that memory grows with a part, not with all data.

source: prices.parquet                       one part: all of it
source: prices/                              one part: all of it; a series may lie in several files
source: prices/**/*.parquet                  with `partitioned: true`: some files a part, whole series in each file
                                             part 0: a.parquet b.parquet | part 1: c.parquet | ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from pipelines import sources
from pipelines.errors import ConfigError
from pipelines.sources.file import files

from .config import Job

PART_BYTES = 16_000_000  # files are read together up to this size


@dataclass(frozen=True)
class Part:
    """What is read at once.

    Attributes:
        number: Counted from 0.
        sources: Locators.
        names: What to call the series of each, where it holds one and does not name it; empty for the source's own.
    """

    number: int
    sources: tuple[str, ...]
    names: tuple[str, ...] = ()

    def named(self) -> Iterator[tuple[str, str]]:
        """Yields each locator, and what to call its only series; "" for the source's own name."""
        return zip(self.sources, self.names or ("",) * len(self.sources), strict=True)


def parts(job: Job) -> list[Part]:
    """Returns the parts of a job's source, by the names of their files.

    Raises:
        ConfigError: A source cannot be read in parts.
        SourceError: No file is there.
    """
    if not job.spec.partitioned:
        return [Part(0, (job.source,))]
    scheme, locator, options = sources.split_locator(job.source)
    if scheme != "file":
        raise ConfigError(
            "`partitioned` must be left out where the source is no folder or glob of files. Received: "
            f"{job.spec.source!r}"
        )
    query = f"?{urlencode(options)}" if options else ""
    found: list[Part] = []
    room = 0
    for path, name in files(locator):
        room -= path.stat().st_size
        if room < 0 or not found:
            found.append(Part(len(found), ()))
            room = PART_BYTES - path.stat().st_size
        last = found[-1]
        found[-1] = Part(last.number, (*last.sources, f"{path}{query}"), (*last.names, name))
    return found
