"""How good the forecasts of a job were, once the truth has come; and which series have drifted.

    runs/*, and scores/* of runs that are gone --truth--> a row for each series and cutoff
                                                              |
      +-------------------+------------------+----------------+--------------------+
    cutoffs             series             verdict                               alarms
    error, naive,       the same, worst    better than naive, worse, or not      CUSUM over the error of step 1
    coverage of each    first              shown to be either                    in units of the forecast's own spread

Of several runs of one as_of the last counts. Errors of several series are in units of each one's mean naive error over
all cutoffs, so that dear and cheap ones count the same. Series that fell back are counted, and scored by nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..evaluation.verdict import Verdict, against
from ..text import aligned, number
from . import drift, output, truth
from .clock import AsOf
from .config import Job
from .opened import Models, Opened
from .store import Store, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 25, 5, 10  # cutoffs, series and alarms that a page shows

_PAST = 8  # errors of a series that say how large they usually are, where there is no interval
_KEY = ["unique_id", "target"]
_RUN = ("as_of", "as_of_utc", "run_id")
_NAMES = ("error", "naive", "seasonal_naive")


@dataclass(frozen=True, eq=False)
class Accuracy:
    """What became of the forecasts of a job; prints as a page.

    Attributes:
        job: Its name.
        as_of: Up to when the truth was known.
        rows: Each series, target and cutoff: see `truth.scored`, and `as_of, as_of_utc, run_id, scale`.
        challenger: The same of the challenger's forecasts.
        cutoffs: Each as_of: `run_id, series, waiting, error, naive, seasonal_naive, ratio, held, fallback, drifted,
            alarms`; errors in units of each series' mean naive error.
        series: Each series and target: `cutoffs, error, naive, ratio, held`; the worst first.
        alarms: Where errors drifted: `as_of, unique_id, target, kind, z`; kind is "high" (the truth lies above the
            forecasts), "low" or "size".
        verdicts: One for each target.
        step: Cutoffs whose forecasts overlap.
    """

    job: str
    as_of: str
    rows: pd.DataFrame
    challenger: pd.DataFrame
    cutoffs: pd.DataFrame
    series: pd.DataFrame
    alarms: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    step: int

    def __str__(self) -> str:
        if not len(self.cutoffs):
            return f"{self.job} as of {self.as_of}: no run has been published yet, so nothing can be scored."
        if not self.cutoffs["series"].sum():
            return (
                f"{self.job} as of {self.as_of}: {len(self.cutoffs):,} runs wait for the truth of what they forecast."
            )
        return "\n".join(_page(self))

    def about(self) -> dict[str, Any]:
        """Returns the same as plain data."""
        return {
            "job": self.job,
            "as_of": self.as_of,
            "verdicts": [str(one) for one in self.verdicts],
            "cutoffs": _plain(self.cutoffs),
            "series": _plain(self.series),
            "alarms": _plain(self.alarms),
        }

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the realised error of each cutoff beside the naive forecast's."""
        from ..plotting import plot_realised

        return plot_realised(self, ax=ax)

    def save_plot(self, path: Path) -> None:
        """Draws it into a file, and shows it nowhere."""
        from ..plotting import _style as style

        style.save(self.plot(style.unseen_axes()), path)


def score(job: Job | str | Path, as_of: str | None = None, *, folder: Path | None = None) -> Accuracy:
    """Scores all stored forecasts of a job whose truth is known.

    Args:
        job: A job, or the path of a job file.
        as_of: Up to when the truth is known, as for `run`; runs as of later are left out.
        folder: Where bundles lie.

    Raises:
        SourceError: The source failed.
        ConfigError: The output folder cannot be written.
        UnknownName: There is no such bundle.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    store, models = Store(job.output), Models.open(job, folder)
    moment = AsOf.of(as_of, models.first.codes, job.spec.timezone)
    runs = _runs(store, moment)
    rows, challenger = _scored(job, store, models.first, moment, runs)
    return _summary(job.spec.name, str(moment), runs, rows, challenger)


def _runs(store: Store, as_of: AsOf) -> list[dict[str, Any]]:
    """Returns what is known of the run that counts of each as_of, by time: those that are there, and those scored."""
    found = [one for one in store.all() if one["status"] == "published"]
    there = {one["run_id"] for one in found}
    for path in sorted((store.folder / truth.SCORES).glob(f"*.{output.FORECASTS}")):
        about = truth.about(path)
        if about is not None and about["run_id"] not in there:
            found.append({**about, "folder": ""})
    latest: dict[str, dict[str, Any]] = {}
    for one in sorted(found, key=lambda run: (run["folder"] != "", run["finished"])):
        if pd.Timestamp(one["as_of_utc"]).value <= as_of.utc:
            latest[one["as_of_utc"]] = one
    return [latest[key] for key in sorted(latest)]


def _scored(
    job: Job, store: Store, opened: Opened, as_of: AsOf, runs: list[dict[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the scores of all runs, and of their challengers; those in which nothing waits are taken as kept."""
    found, new = dict[tuple[str, str], pd.DataFrame](), dict[tuple[str, str], pd.DataFrame]()
    place = store.folder / truth.SCORES
    for run in runs:
        for file in (output.FORECASTS, output.CHALLENGER):
            key = run["run_id"], file
            path = place / ".".join(key)
            about = truth.about(path)
            complete = about is not None and not about["waiting"] and about["truth_until"] <= as_of.utc
            if complete or (about is not None and not run["folder"]):
                found[key] = pd.read_parquet(path)
            elif run["folder"] and (made := Path(run["folder"]) / file).is_file():
                new[key] = truth.forecasts(made)
    if new:
        with writing(store.folder):
            place.mkdir(exist_ok=True)
        known = truth.truths(job, opened, as_of, min(int(table["cutoff"].min()) for table in new.values()))
    by_id = {run["run_id"]: run for run in runs}
    for key, table in new.items():
        found[key] = one = truth.scored(table, known, truth.is_restated(job))
        about = {name: by_id[key[0]][name] for name in ("run_id", "as_of", "as_of_utc", "finished", "drift")}
        about |= {"waiting": int((one["steps"] - one["known"]).sum()), "truth_until": as_of.utc}
        with writing(store.folder):
            truth.keep(place / ".".join(key), one, about)
    return _joined(runs, found, output.FORECASTS), _joined(runs, found, output.CHALLENGER)


def _joined(runs: list[dict[str, Any]], found: dict[tuple[str, str], pd.DataFrame], file: str) -> pd.DataFrame:
    """Returns the scores of one table of each run as one, by time."""
    parts = [
        found[run["run_id"], file].assign(**{name: run[name] for name in _RUN})
        for run in runs
        if (run["run_id"], file) in found
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*truth.COLUMNS, *_RUN])


def _summary(
    job: str, as_of: str, runs: list[dict[str, Any]], rows: pd.DataFrame, challenger: pd.DataFrame
) -> Accuracy:
    """Returns what scored rows amount to."""
    rows = rows.merge(_scales(rows), on=_KEY, how="left")
    alarms, step = _alarms(rows), _overlap(rows)
    good = rows[(rows["source"] == "model") & (rows["known"] > 0)]
    in_units = good.assign(**{kind: good[kind] / good["scale"] for kind in _NAMES})
    cutoffs = pd.DataFrame({"as_of": [run["as_of"] for run in runs], "run_id": [run["run_id"] for run in runs]})
    by = in_units.groupby("as_of")
    facts = {
        "series": by.size(),
        "waiting": (rows["steps"] - rows["known"]).groupby(rows["as_of"]).sum(),
        **{kind: by[kind].mean() for kind in (*_NAMES, "held")},
        "fallback": (rows["source"] == "fallback").groupby(rows["as_of"]).sum(),
        "drifted": pd.Series({run["as_of"]: run["drift"].get("over", 0) for run in runs}, dtype=float),
        "alarms": alarms.groupby("as_of").size(),
    }
    for fact, values in facts.items():
        cutoffs[fact] = cutoffs["as_of"].map(values)
    counts = ["series", "waiting", "fallback", "drifted", "alarms"]
    cutoffs[counts] = cutoffs[counts].fillna(0).astype(int)
    cutoffs["ratio"] = cutoffs["error"] / cutoffs["naive"]
    series = good.groupby(_KEY).agg(
        cutoffs=("as_of", "size"), error=("error", "mean"), naive=("naive", "mean"), held=("held", "mean")
    )
    series["ratio"] = series["error"] / series["naive"].where(series["naive"] > 0)
    series = series.sort_values("ratio", ascending=False).reset_index()
    verdicts = tuple(_verdict(str(target), part, step) for target, part in good.groupby("target"))
    return Accuracy(job, as_of, rows, challenger, cutoffs, series, alarms, verdicts, step)


def _scales(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the mean naive error of each series and target, over all that is known; NaN where it is 0."""
    found = rows.groupby(_KEY, as_index=False).agg(scale=("naive", "mean"))
    return found.assign(scale=found["scale"].where(found["scale"] > 0))


def _overlap(rows: pd.DataFrame) -> int:
    """Returns how many successive cutoffs have forecasts that overlap, at most."""
    spans = rows.groupby("as_of_utc").agg(cutoff=("cutoff", "max"), last=("last", "max")).sort_index()
    cutoffs = np.sort(spans["cutoff"].to_numpy())
    later = np.searchsorted(cutoffs, spans["last"]) - np.searchsorted(cutoffs, spans["cutoff"])
    return max(1, int(later.max(initial=1)))


def _verdict(target: str, good: pd.DataFrame, step: int) -> Verdict:
    """Returns whether the forecasts of a target are better than naive, by what is known in full where there is such."""
    complete = good[good["known"] == good["steps"]]
    good = complete if len(complete) else good
    losses = ((good["error"] / good["scale"]).to_numpy(), (good["naive"] / good["scale"]).to_numpy())
    sizes = good["error"].to_numpy(), good["naive"].to_numpy()
    series, order = pd.factorize(good["unique_id"])[0], pd.factorize(good["as_of_utc"], sort=True)[0]
    count = series.max(initial=-1) + 1
    maes = tuple(float(np.nanmean(one)) for one in (sizes if count == 1 else losses))
    cutoffs = int(order.max(initial=-1)) + 1
    many = f"{cutoffs:,} cutoff{'' if cutoffs == 1 else 's'}" + (f" of {count:,} series" if count > 1 else "")
    unit = "" if count == 1 else "of each series' naive error"
    beside = against("naive", (maes[0], maes[1]), losses, series, order, True, step)
    return Verdict(target, many, unit, beside, of=f" for {target}")


def _alarms(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns where the errors of a series have drifted."""
    z = rows.pivot(index=_KEY, columns="as_of_utc", values="z")  # (S, T)
    miss = rows.pivot(index=_KEY, columns="as_of_utc", values="miss")
    usual = miss.abs().T.expanding(min_periods=_PAST).median().shift(1).T / 0.6745
    z = z.where(z.notna(), miss / usual.where(usual > 0))
    names = dict(zip(rows["as_of_utc"], rows["as_of"], strict=True))
    found = [
        {"as_of": names[z.columns[t]], **dict(zip(_KEY, z.index[s], strict=True)), "kind": kind, "z": z.iat[s, t]}
        for kind, alarm in drift.cusum(z.to_numpy(float)).items()
        for s, t in np.argwhere(alarm)
    ]
    table = pd.DataFrame(found, columns=["as_of", *_KEY, "kind", "z"])
    return table.sort_values(["as_of", *_KEY, "kind"], ignore_index=True)


def _page(accuracy: Accuracy) -> Iterator[str]:
    cutoffs, alarms = accuracy.cutoffs, accuracy.alarms
    head = ["as of", "run", "series", "waiting", "error", "naive", "ratio", "held %", "fallback", "drifted", "alarms"]
    rows = [
        [
            *(row["as_of"], row["run_id"], f"{row['series']:,}", f"{row['waiting']:,}"),
            *(number(row[name]) for name in ("error", "naive", "ratio")),
            number(100 * row["held"]),
            *(f"{row[name]:,}" for name in ("fallback", "drifted", "alarms")),
        ]
        for row in cutoffs.tail(SHOWN[0]).to_dict("records")
    ]
    yield aligned([head, *rows], numbers=True)
    if len(cutoffs) > SHOWN[0]:
        yield f"The last {SHOWN[0]} of {len(cutoffs):,} cutoffs."
    yield (
        f"error, naive: mean absolute error over each series' mean naive error, of what is known by {accuracy.as_of}. "
        "held: truths in the interval of 80 %, or the nearest."
    )
    yield from map(str, accuracy.verdicts)
    if len(accuracy.series) > 1:
        worst = accuracy.series.head(SHOWN[1]).to_dict("records")
        table = [
            [
                *(one["unique_id"], one["target"], f"{one['cutoffs']:,}"),
                *(number(one[name]) for name in ("error", "naive", "ratio")),
            ]
            for one in worst
        ]
        yield f"\nWorst {len(worst)} of {len(accuracy.series):,} series, MAE:"
        yield aligned([["series", "target", "cutoffs", "error", "naive", "ratio"], *table], indent="  ")
    if len(alarms):
        last = alarms.tail(SHOWN[2]).to_dict("records")
        table = [[one["as_of"], one["unique_id"], one["target"], one["kind"], f"{one['z']:+.1f}"] for one in last]
        yield f"\nDrift of errors (CUSUM), {len(alarms):,} alarm{'' if len(alarms) == 1 else 's'}:"
        yield aligned([["as of", "series", "target", "kind", "z"], *table], indent="  ")


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns rows as plain data, None where nothing is known."""
    kinds = table.astype(object)
    return [{str(k): v for k, v in row.items()} for row in kinds.where(kinds.notna(), None).to_dict("records")]
