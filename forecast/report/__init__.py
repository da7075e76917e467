"""One HTML file that says what a forecaster is worth: for those who read no table, and for those who do.

    of_forecaster(model, "goog.html")      verdict, forecasts, scores, errors, intervals, worst series, data, training
    of_backtest(backtest, "goog.html")     the same without data and training; also of a file of forecasts

The file needs no other and asks no server: style, pictures and script are in it. Pictures are drawn once; where plotly
is installed (the extra `report`) they can be zoomed and read off as well, which adds plotly's 5 MB.
"""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError

from ..evaluation.backtest import Backtest
from . import _facts as facts
from . import _origin as origin
from . import _sections as sections
from ._figure import Picture, figure
from ._html import Html, tag
from ._reopened import read, reopen

if TYPE_CHECKING:
    from ..forecaster import Forecaster
    from ..prepare import Data

__all__ = ["of_backtest", "of_forecaster"]


def of_forecaster(
    forecaster: Forecaster,
    path: str | Path,
    data: Data | None = None,
    *,
    interactive: bool | None = None,
    **options: Any,
) -> Path:
    """Writes the report of a fitted forecaster and returns its path.

    Args:
        forecaster: A fitted one, or one of a bundle.
        path: Of the file, which ends in .html.
        data: Rows that hold the part to score, by default those of `fit`.
        interactive: With plotly's pictures; by default where plotly is installed.
        options: Of `Forecaster.backtest`, such as `part="validation"`, `stride=5`, `levels=(80, 95)`.

    Raises:
        NotFitted: There is no trained network yet, or there are no rows.
        DataError: The part holds no complete window.
        ConfigError: The path cannot be written, or plotly is asked for and not installed.
    """
    path, interactive = _checked(path, interactive)
    model = forecaster if data is None else forecaster.attach(data)
    backtest = model.backtest(**options)
    about = "" if model.intervals_ is None else str(model.intervals_)
    found = [
        *_of_forecasts(backtest, about),
        origin.data(model, backtest),
        origin.training(model),
        origin.settings(model),
    ]
    return _write(path, backtest, found, interactive)


def of_backtest(
    backtest: Backtest | pd.DataFrame | str | Path,
    path: str | Path,
    *,
    interactive: bool | None = None,
    model: str = "model",
    unit: str = "",
) -> Path:
    """Writes the report of a backtest and returns its path.

    Args:
        backtest: A backtest; its `frame()`; or a file that `forecast backtest --out` wrote.
        path: Of the report, which ends in .html.
        interactive: With plotly's pictures; by default where plotly is installed.
        model: What to call the model, which a frame does not tell.
        unit: What its values are counted in, which a frame does not tell.

    Raises:
        DataError: The file or frame does not hold forecasts with their truth.
        ConfigError: The path cannot be written, or plotly is asked for and not installed.
    """
    path, interactive = _checked(path, interactive)
    if not isinstance(backtest, Backtest):
        frame = backtest if isinstance(backtest, pd.DataFrame) else read(backtest)
        backtest = reopen(frame, model, unit)
    return _write(path, backtest, _of_forecasts(backtest), interactive)


def _of_forecasts(backtest: Backtest, about: str = "") -> list[sections.Section | None]:
    makers: list[Callable[[Backtest], sections.Section | None]] = [
        sections.forecasts,
        sections.scores,
        sections.steps,
        sections.time,
        partial(sections.intervals, about=about),
        sections.series,
    ]
    return [make(backtest) for make in makers]


def _checked(path: str | Path, interactive: bool | None) -> tuple[Path, bool]:
    """Returns where to write and whether with plotly: asked before anything is computed."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"A report must be a file that ends in .html. Received: {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"A report must lie in a folder that exists. Received: {path}")
    there = importlib.util.find_spec("plotly") is not None
    if interactive and not there:
        raise ConfigError(
            "An interactive report needs plotly, which is not installed. Install it: pip install "
            "'keras-forecast[report]'; or make a static one."
        )
    return path, there if interactive is None else interactive


def _write(path: Path, backtest: Backtest, found: Iterable[sections.Section | None], interactive: bool) -> Path:
    page = _page(backtest, [section for section in found if section], interactive)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(
            f"A report must be a file that can be written. Received: {path} ({error.strerror or error})."
        ) from None
    return path


def _page(backtest: Backtest, found: list[sections.Section], interactive: bool) -> str:
    numbers = iter(range(1, 10_000))

    def shown(section: sections.Section) -> Html:
        parts: list[Html] = []
        grid: list[Html] = []
        for part in [*section.parts, Html("")]:
            if isinstance(part, Picture) and part.heading:
                grid.append(figure(part, next(numbers), interactive))
                continue
            if grid:  # small pictures stand beside each other
                parts.append(tag("div", *grid, class_="grid"))
                grid = []
            parts.append(figure(part, next(numbers), interactive) if isinstance(part, Picture) else part)
        return tag("section", tag("h2", section.title), *parts, id=section.name)

    title, lead = _title(backtest)
    links = [tag("li", tag("a", section.title, href=f"#{section.name}")) for section in found]
    body = [
        tag("header", tag("h1", title), tag("p", lead, class_="lead")),
        tag(
            "main",
            tag("section", sections.verdict(backtest), class_="verdict", aria_label="Verdict"),
            tag("nav", tag("ul", *links), aria_label="Sections"),
            *map(shown, found),
        ),
        tag(
            "footer",
            f"keras-forecast {_version()}. Errors are beside the naive forecast's, which repeats the last value.",
        ),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} - {lead}"),
        Html(f"<style>\n{_asset('page.css')}</style>"),
    ]
    if interactive:
        from plotly.offline import get_plotlyjs

        body.append(Html(f"<script>{get_plotlyjs()}</script>\n<script>\n{_asset('page.js')}</script>"))
    return f"<!DOCTYPE html>\n{tag('html', tag('head', *head), tag('body', *body), lang='en')}\n"


def _title(backtest: Backtest) -> tuple[str, str]:
    """Returns the heading, and the line below it."""
    panel, index = backtest.panel, backtest.index
    series = np.unique(index.series)
    one = panel.ids[series[0]]
    of = f" of {len(series):,} series" if len(series) > 1 else "" if one == "series" else f" of {one}"
    targets = ", ".join(backtest.targets[:4]) + (", ..." if len(backtest.targets) > 4 else "")
    H = index.spec.horizon
    first, last = facts.span(backtest)
    ahead = f"{H} steps ahead" if H > 1 else "one step ahead"
    parts = [
        backtest.model,
        f"in {backtest.unit}" if backtest.unit else "",
        f"{backtest.part} {first} to {last}",
        backtest.how,
    ]
    return f"{targets}{of}, {ahead}", " · ".join(part for part in parts if part)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("keras-forecast")
    except PackageNotFoundError:
        return ""
