"""The table of `accuracy.py`, for people: from its results to the section of `benchmarks/README.md`.

Rows of a task are sorted by its metric, ours, peers', published ones and the bars among each other: wins and losses.
"""

import statistics
from pathlib import Path
from typing import Any

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- accuracy: written by accuracy.py -->", "<!-- end of accuracy -->"
HEADS = ["entry", "", "seeds", "beside", "seconds", "parameters", "INT8", "INT8 bytes"]


def write_table(tasks: dict[str, Any], results: dict[str, Any], readme: Path) -> tuple[list[str], list[list[str]]]:
    """Writes the tables of all tasks that have results; returns heads and rows of all, for the terminal."""
    parts, every = [], []
    for name, task in tasks.items():
        found = results.get(name, {})
        if not found:
            continue
        rows = ordered(task, found)
        heads = [HEADS[0], task.metric.upper(), *HEADS[2:]]
        lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *(row[1:] for row in rows))]
        parts.append(f"### {task.about}\n\n{sentences(task, found)}\n\n" + "\n".join(lines))
        every += [[name, *row[1:]] for row in rows]
    text = readme.read_text(encoding="utf-8")
    if BEGIN in text and parts:
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        readme.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + after, encoding="utf-8")
    return ["task", *HEADS[:1], "metric", *HEADS[2:]], every


def ordered(task: Any, found: dict[str, Any]) -> list[list[Any]]:
    """Returns a row for each entry, the best first: its figure, then cells."""
    rows: list[list[Any]] = []
    for entry, seeds in found.items():
        runs = list(seeds.values())
        scores = [run["figures"][task.metric] for run in runs if run.get("figures")]
        ours = entry in task.entries
        label = f"**{entry}**" if ours else entry.replace("_", " ")
        if not scores:
            rows.append([float("inf"), label, f"none: {runs[0].get('why', '')}", *[""] * 6])
            continue
        middle = statistics.median(scores)
        run = runs[0]
        others = [f"{key} {run['figures'][key]:.3f}" for key in run["figures"] if key != task.metric]
        spread = " ".join(f"{score:.4f}" for score in scores) if len(scores) > 1 else str(len(scores))
        parameters = f"{run['parameters']:,}" if run.get("parameters") else ""
        seconds = f"{statistics.median(one['seconds'] for one in runs):.0f}"
        rows.append(
            [middle, label, f"{middle:.4f}", spread, ", ".join(others), seconds, parameters, *integers(task, run)]
        )
    bars = next((run["bars"] for seeds in found.values() for run in seeds.values() if run.get("bars")), {})
    for name, figures in bars.items():
        others = [f"{key} {value:.3f}" for key, value in figures.items() if key != task.metric]
        label = f"*{name.replace('_', ' ')}*"
        rows.append([figures[task.metric], label, f"{figures[task.metric]:.4f}", "", ", ".join(others), *[""] * 4])
    for name, figure in task.published.items():
        rows.append([figure, f"*published: {name}*", f"{figure:.3f}", *[""] * 6])
    return sorted(rows, key=lambda row: row[0])


def integers(task: Any, run: dict[str, Any]) -> list[str]:
    """Returns what the exported file scored beside the network on the same windows, and its size."""
    if run.get("int8") is None:
        return ["none", ""] if "int8_why" in run else ["", ""]
    ratio = run["int8"][task.metric] / run["float_there"][task.metric] - 1
    return [f"{100 * ratio:+.1f} %", f"{run['bytes']:,}"]


def sentences(task: Any, found: dict[str, Any]) -> str:
    """Returns how many windows there are, which rows choose, what auto chose, and the verdicts on ours."""
    runs = {entry: seeds["0"] for entry, seeds in found.items() if "0" in seeds}
    windows = next((run["windows"] for run in runs.values() if run.get("windows")), 0)
    lines = [f"{windows:,} test windows. {task.split}."]
    for entry, run in runs.items():
        if run.get("chosen"):
            lines.append(f"`{entry}`: {run['chosen']}")
    for entry, run in runs.items():
        if run.get("verdict"):
            lines.append(f"Verdict on `{entry}`: {run['verdict'].splitlines()[0]}")
    return "\n\n".join(lines)
