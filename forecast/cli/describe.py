"""`forecast describe`: what the data are, and what cleaning would do."""

from typing import Annotated, Any

import typer

from ._shared import DataArgument, Json, say, show_json


def describe(
    data: DataArgument,
    calendar: Annotated[str | None, typer.Option(help="An exchange's code, such as XNYS.")] = None,
    freq: Annotated[str | None, typer.Option(help="A pandas frequency. [default: inferred]")] = None,
    id_col: Annotated[str | None, typer.Option(help="Column that names the series.")] = None,
    time_col: Annotated[str | None, typer.Option(help="Column of stamps.")] = None,
    as_json: Json = False,
) -> None:
    """Say what the data are: rows, series, freq, gaps, and what cleaning would do.

    Example: forecast describe prices.csv
    """
    from ..describe import describe as look

    given: dict[str, Any] = {"calendar": calendar, "freq": freq, "id_col": id_col, "time_col": time_col}
    description = look(data, **{key: value for key, value in given.items() if value})
    if as_json:
        show_json(description.to_dict())
    else:
        say(description)
