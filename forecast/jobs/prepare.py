"""One part of the rows, from the source to the shards: read, cut after as_of, checked by the gates, written as a panel.

    part 3 --> read each file --> cut, count --> gates --> .work/rows-KEY/part-00003/    cleaned rows of every series
                                                  |                                      (as they came, where they
                                                  `-> failures                            cannot be cleaned)

Memory holds one part at a time. What is known of it goes back to the run, rows do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.panel import Panel

from . import gates
from .parts import Part
from .rows import Read, by_name, read
from .store import writing
from .work import Work, held


@dataclass(frozen=True)
class Prepared:
    """What is known of a part.

    Attributes:
        folder: The panel of its rows.
        ids: Names of the series in it, in order.
        all: These, and the names of series that have no row.
        failures: Series that may not be forecast by the network, and why.
        digests: Of each source, of all that decides the forecasts.
        rows: How many there are up to as_of.
        cut: How many came after it.
        first, last: Stamps; "" where there is no row.
        zone: Time zone of the stamps.
        drifted: PSI of the series whose latest rows are unlike those before.
    """

    folder: Path
    ids: tuple[str, ...]
    all: tuple[str, ...]
    failures: tuple[gates.Failure, ...]
    digests: tuple[str, ...]
    rows: int
    cut: int
    first: str
    last: str
    zone: str
    drifted: dict[str, float]


def prepare(work: Work, part: Part) -> Prepared:
    """Reads a part, checks it, and writes its rows for the shards.

    Raises:
        SourceError: The source failed.
        UnknownName: A column is missing.
        DataError: The rows are no panel.
        ConfigError: There is no room for the rows.
    """
    opened, found = held(work.version).opened, list[Read]()
    panels, failures, drifted = list[Panel](), list[gates.Failure](), dict[str, float]()
    for source, called in part.named():
        one = read(work.job, opened, work.as_of, source, called)
        cleaned, failed, unlike = gates.check(one, opened, work.job.spec.gates, work.as_of)
        found.append(one)
        panels.append(_all(cleaned, one.panel))
        failures += failed
        drifted |= unlike
    panel = by_name(gates.joined(panels, panels[0]))
    folder = work.place / f"part-{part.number:05d}"
    with writing(work.place):
        panel.save(folder)
    stamps = [str(panel.stamp(int(end))) for end in (panel.ds.min(), panel.ds.max())] if len(panel) else ["", ""]
    return Prepared(
        folder=folder,
        ids=panel.ids,
        all=tuple(name for one in found for name in one.ids),
        failures=tuple(failures),
        digests=tuple(one.digest() for one in found),
        rows=sum(len(one.panel) for one in found),
        cut=sum(one.cut for one in found),
        first=stamps[0],
        last=stamps[1],
        zone=panel.calendars[0].zone if panel.ids else "",
        drifted=drifted,
    )


def _all(cleaned: Panel, raw: Panel) -> Panel:
    """Returns the rows of every series: cleaned, or as they came where they cannot be."""
    clean = set(cleaned.ids)
    unclean = [s for s, name in enumerate(raw.ids) if name not in clean]
    return gates.joined([cleaned, raw.take(unclean)], raw) if unclean else cleaned


def twice(found: Sequence[Prepared]) -> str:
    """Returns a series that several parts hold; "" where there is none."""
    seen = set[str]()
    for one in found:
        for name in one.all:
            if name in seen:
                return name
            seen.add(name)
    return ""
