"""What is done about duplicate stamps, jitter, gaps and values that are no numbers, and a report that says so.

    stamps     09:00  10:00  10:00  11:01         14:00
    becomes    09:00  10:00         11:00  12:00  13:00  14:00
    value      .      last          .      NaN    NaN    .

A gap becomes rows of NaN on the calendar's own stamps: the panel stays truthful. What a network sees in their place
(`fill`: the last value, or a line between neighbours) is put in later, for inputs only, at most `fill_limit` rows far;
windows that still hold a NaN are left out, and nobody is scored on a value that was made up.

Policies are the same for training and prediction; their outcome is printed and kept in the manifest.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from .calendars import DAY, Calendar
from .errors import DataError
from .freq import suggest
from .jitter import unjittered
from .panel import Panel
from .spec import Spec


class CleaningSpec(Spec):
    """What to do about faults.

    Attributes:
        duplicates: Rows of one series with the same stamp: refuse, or keep the first, the last, or their mean.
        gaps: Stamps that are due and missing: refuse, leave the rows adjacent ("keep"), or put in rows of NaN that
            inputs fill forward ("ffill") or along a line ("interpolate", which looks ahead of a gap: for analysis, not
            for a fair backtest). "auto" keeps weekday rows without an exchange calendar adjacent, because their
            missing days are mostly holidays, and fills all else forward.
        fill_limit: How many rows of one gap may be filled; "ffill" leaves a longer gap NaN beyond it, "interpolate"
            all of it.
        outliers: Report values far outside the training rows' usual range, or clip inputs to it.
        outlier_factor: How many times the range between the quartiles counts as far.
    """

    duplicates: Literal["error", "first", "last", "mean"] = "last"
    gaps: Literal["auto", "error", "keep", "ffill", "interpolate"] = "auto"
    fill_limit: int = Field(default=24, ge=0)
    outliers: Literal["report", "clip"] = "report"
    outlier_factor: float = Field(default=10.0, gt=0)

    def gap_policy(self, calendar: Calendar) -> str:
        """Returns what "auto" means for a calendar."""
        if self.gaps != "auto":
            return self.gaps
        return "keep" if calendar.code in ("", "B") else "ffill"


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one series."""

    unique_id: str
    kind: str
    count: int
    detail: str
    action: str


@dataclass
class CleaningReport:
    """What was found and done; prints as lines, and goes into the manifest as plain data."""

    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, unique_id: str, kind: str, count: int, detail: str, action: str) -> None:
        """Adds a finding."""
        self.findings.append(Finding(unique_id, kind, int(count), detail, action))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data: notes, totals by kind, and the first 100 findings."""
        totals = Counter[str]()
        for finding in self.findings:
            totals[finding.kind] += finding.count
        return {"notes": self.notes, "totals": dict(totals), "findings": [vars(f) for f in self.findings[:100]]}

    def __str__(self) -> str:
        lines = list(self.notes)
        kinds = dict.fromkeys(finding.kind for finding in self.findings)
        for kind in kinds:
            of_kind = sorted((f for f in self.findings if f.kind == kind), key=lambda f: -f.count)
            for f in of_kind[:5]:
                noun = kind if f.count != 1 else _singular(kind)
                lines.append(f"{f.unique_id}: {f.count:,} {noun} ({f.detail}): {f.action}.")
            if len(of_kind) > 5:
                rest = of_kind[5:]
                lines.append(f"... and {sum(f.count for f in rest):,} {kind} in {len(rest):,} more series.")
        return "\n".join(lines) if lines else "Nothing to clean."


def _singular(kind: str) -> str:
    """Returns "duplicate stamp" for "duplicate stamps"."""
    return re.sub(r"\b(row|stamp|value|session|outlier)s\b", r"\1", kind, count=1).replace("that are", "that is")


def clean(panel: Panel, spec: CleaningSpec | None = None) -> tuple[Panel, CleaningReport]:
    """Returns the panel with every series on its calendar, and what was done.

    Raises:
        DataError: The policy is "error" and there is such a fault; or so many rows would be missing that `freq` must
            be wrong.

    Example:
        >>> import pandas as pd
        >>> hours = pd.to_datetime(["2024-01-01 09:00", "2024-01-01 10:00", "2024-01-01 10:00", "2024-01-01 13:00"])
        >>> panel = Panel.from_frame(pd.DataFrame({"y": [1.0, 2.0, 3.0, 4.0]}, index=hours), freq="h")
        >>> cleaned, report = clean(panel)
        >>> cleaned.values[:, 0]
        array([ 1.,  3., nan, nan,  4.], dtype=float32)
    """
    spec = spec or CleaningSpec()
    report = CleaningReport(notes=list(panel.notes))
    changed: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for s in np.flatnonzero(~_spotless(panel)).tolist():
        span = panel.rows(s)
        before = panel.ds[span], panel.values[span]
        after = _clean_one(panel, s, *before, spec, report)
        if after[0] is not before[0] or after[1] is not before[1]:
            changed[s] = after
    _suggest_calendar(panel, report)
    return (_rebuilt(panel, changed) if changed else panel), report


def _spotless(panel: Panel) -> np.ndarray:
    """Returns the series in which there is nothing to clean, all looked at together `(S,)`: most of thousands are such.

    Every value is finite, and every stamp one fixed step after the one before. Where a clock change may move the days
    of a series, it is left to a closer look.
    """
    fixed = {one: one.step or 0 for one in set(panel.calendars) if one.step and (one.step < DAY or not one.zone)}
    counts = np.diff(panel.offsets)
    steps = np.array([fixed.get(one, 0) for one in panel.calendars], np.int64)  # (S,)
    good = np.isfinite(panel.values).all(axis=1)
    good[1:] &= np.diff(panel.ds) == np.repeat(steps, counts)[1:]
    firsts = panel.offsets[:-1][counts > 0]
    good[firsts] = np.isfinite(panel.values[firsts]).all(axis=1)  # it follows another series' last
    spotless = np.zeros(len(counts), bool)
    spotless[counts > 0] = np.logical_and.reduceat(good, firsts) if len(firsts) else True
    return spotless & (steps > 0)


def _suggest_calendar(panel: Panel, report: CleaningReport) -> None:
    """Says which exchange weekday rows with holes fit; it is a suggestion, and nothing is assumed."""
    for f in report.findings:
        s = panel.ids.index(f.unique_id)
        if f.kind == "missing rows" and panel.calendars[s].code == "B":
            found = suggest(panel.calendars[s].local(panel.ds[panel.rows(s)]))
            if found:
                report.notes.append(
                    f"The days of {f.unique_id} fit the sessions of {found[0]} to {found[1]:.1%}: consider "
                    f"calendar={found[0]!r}, so that its holidays are known."
                )
            return  # one look: it costs seconds where no exchange fits


def fill(values: np.ndarray, policy: str, limit: int) -> np.ndarray:
    """Returns values with gaps filled as the inputs of a network see them.

    Args:
        values: One series `(T, C)`.
        policy: "ffill" takes the last value at most `limit` rows far; "interpolate" draws a line across gaps of at
            most `limit` rows, and leaves longer ones; anything else fills nothing.
        limit: In rows.
    """
    missing = np.isnan(values)
    if policy not in ("ffill", "interpolate") or not missing.any():
        return values
    T = len(values)
    rows = np.arange(T)[:, None]
    last = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
    after_gap = rows - last
    columns = np.arange(values.shape[1])[None, :]
    before_value = values[np.maximum(last, 0), columns]
    if policy == "ffill":
        return np.where(missing & (last >= 0) & (after_gap <= limit), before_value, values)
    next_ = np.minimum.accumulate(np.where(missing, T, rows)[::-1], axis=0)[::-1]
    gap = next_ - last
    inside = missing & (last >= 0) & (next_ < T) & (gap - 1 <= limit)
    share = after_gap / np.maximum(gap, 1)
    line = before_value * (1 - share) + values[np.minimum(next_, T - 1), columns] * share
    return np.where(inside, line, values).astype(values.dtype)


def _clean_one(
    panel: Panel, s: int, ds: np.ndarray, values: np.ndarray, spec: CleaningSpec, report: CleaningReport
) -> tuple[np.ndarray, np.ndarray]:
    calendar, name = panel.calendars[s], panel.ids[s]
    if np.isinf(values).any():
        infinite = np.isinf(values)
        columns = ", ".join(c for c, any_ in zip(panel.columns, infinite.any(axis=0), strict=True) if any_)
        report.add(name, "infinite values", infinite.sum(), f"in {columns}", "taken as missing")
        values = np.where(infinite, np.float32(np.nan), values)
    nan = int(np.isnan(values).sum())
    if nan:
        columns = ", ".join(c for c, any_ in zip(panel.columns, np.isnan(values).any(axis=0), strict=True) if any_)
        report.add(name, "missing values", nan, f"in {columns}", "left missing; windows use them only where filled")
    on_step = unjittered(ds, calendar)
    if on_step is not ds and (off := on_step != ds).any():
        worst = f"by up to {abs(on_step - ds).max() / 1e9:g} s"
        report.add(name, "stamps beside their step", off.sum(), worst, f"moved onto the {calendar.code} step")
        ds = on_step
    ds, values = _without_duplicates(panel, s, ds, values, spec, report)
    if len(ds) < 2 or not calendar.code:
        return ds, values
    return _on_grid(panel, s, ds, values, spec.gap_policy(calendar), report)


def _without_duplicates(
    panel: Panel, s: int, ds: np.ndarray, values: np.ndarray, spec: CleaningSpec, report: CleaningReport
) -> tuple[np.ndarray, np.ndarray]:
    same = ds[1:] == ds[:-1]
    if not same.any():
        return ds, values
    count, first = int(same.sum()), panel.stamp(int(ds[np.argmax(same)]), s)
    if spec.duplicates == "error":
        raise DataError(
            f"Stamps must differ within a series. Received: {count:,} duplicate stamps in series {panel.ids[s]!r}, the "
            f'first at {first}. Remove them, or choose cleaning.duplicates: "first", "last" or "mean".'
        )
    report.add(
        panel.ids[s],
        "duplicate stamps",
        count,
        f"first at {first}",
        f"kept {'the ' if spec.duplicates != 'mean' else 'their '}{spec.duplicates}",
    )
    if spec.duplicates == "mean":
        firsts = np.flatnonzero(np.concatenate([[True], ~same]))
        known = ~np.isnan(values)
        totals = np.add.reduceat(np.where(known, values, 0).astype(np.float64), firsts, axis=0)
        counts = np.add.reduceat(known.astype(np.int64), firsts, axis=0)
        means = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
        return ds[firsts], means.astype(np.float32)
    keep = np.concatenate([[True], ~same]) if spec.duplicates == "first" else np.concatenate([~same, [True]])
    return ds[keep], values[keep]


def _on_grid(
    panel: Panel, s: int, ds: np.ndarray, values: np.ndarray, policy: str, report: CleaningReport
) -> tuple[np.ndarray, np.ndarray]:
    calendar, name = panel.calendars[s], panel.ids[s]
    steps, step = np.diff(ds), calendar.step
    if step and (steps == step).all():
        return ds, values
    kind = "missing sessions" if calendar.is_exchange else "missing rows"
    if step and step < DAY and (ds[-1] - ds[0]) // step > 21 * len(ds) + 1000:  # counted before they are made
        missing = int((ds[-1] - ds[0]) // step + 1 - ((ds - ds[0]) % step == 0).sum())
        first = panel.stamp(int(ds[np.argmax(steps > step)]) + step, s)
        if policy != "keep":
            raise _too_many(name, len(ds), missing, calendar, first)
        report.add(
            name, kind, missing, f"first at {first}, longest gap {steps.max() // step - 1:,} rows", "rows stay adjacent"
        )
        return ds, values
    due = calendar.between(int(ds[0]), int(ds[-1]))
    at = np.searchsorted(due, ds)
    on = (at < len(due)) & (due[np.minimum(at, len(due) - 1)] == ds) if len(due) else np.zeros(len(ds), bool)
    gone = np.setdiff1d(due, ds, assume_unique=True)
    if not on.all():
        stray = ds[~on]
        what = f"no session of {calendar.code}" if calendar.is_exchange else f"not on the {calendar.code} step"
        report.add(name, f"rows that are {what}", len(stray), f"first at {panel.stamp(int(stray[0]), s)}", "kept")
    if not len(gone):
        return ds, values
    longest = (
        int(np.diff(np.flatnonzero(np.concatenate([[True], np.isin(due, ds), [True]]))).max() - 1) if len(due) else 0
    )
    first = panel.stamp(int(gone[0]), s)
    if policy == "error":
        raise DataError(
            f"Series {name!r} must have a row at every {calendar.code} stamp. Received: {len(gone):,} missing, the "
            f'first at {first}. Choose cleaning.gaps: "keep", "ffill" or "interpolate".'
        )
    if len(gone) > 20 * len(ds) + 1000 and policy != "keep":
        raise _too_many(name, len(ds), len(gone), calendar, first)
    detail = f"first at {first}, longest gap {longest:,} rows"
    if policy == "keep":
        report.add(name, kind, len(gone), detail, "rows stay adjacent")
        return ds, values
    report.add(
        name,
        kind,
        len(gone),
        detail,
        f"put in as missing; inputs take {'the last value' if policy == 'ffill' else 'a line'}",
    )
    all_ds = np.union1d(due, ds)
    wide = np.full((len(all_ds), values.shape[1]), np.nan, np.float32)
    wide[np.searchsorted(all_ds, ds)] = values
    return all_ds, wide


def _too_many(name: str, rows: int, missing: int, calendar: Calendar, first: Any) -> DataError:
    return DataError(
        f"Series {name!r} has {rows:,} rows, and {missing:,} more are due on freq {calendar.code!r} (the first at "
        f"{first}). "
        'Give the right `freq`, remove stamps that are wrong, or choose cleaning.gaps="keep".'
    )


def _rebuilt(panel: Panel, changed: dict[int, tuple[np.ndarray, np.ndarray]]) -> Panel:
    pieces = [changed.get(s, (panel.ds[panel.rows(s)], panel.values[panel.rows(s)])) for s in range(len(panel.ids))]
    return replace(
        panel,
        offsets=np.cumsum([0, *(len(ds) for ds, _ in pieces)]),
        ds=np.concatenate([ds for ds, _ in pieces]),
        values=np.concatenate([values for _, values in pieces]),
    )
