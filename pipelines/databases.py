"""Databases by SQLAlchemy's URLs, whose passwords stand in the environment and nowhere else.

    postgresql+psycopg://ada:${PGPASSWORD}@db.example/prices     the password is filled in when a connection is made
    ${DATABASE_URL}                                              or the whole URL

A job file, a bundle, `run.json` and every message hold the text as it was written, so that they never hold a secret; a
password that is written out is refused.

Needs the extra `sql`.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .environment import filled, variables
from .errors import ConfigError, ForecastError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

CONNECT_SECONDS = 10  # a server that does not answer is away
PAUSES = (0.5, 2.0)  # seconds before another try to connect

_PASSWORD = re.compile(r"([\w+.-]+://[^:/@?]*):([^@/]*)@")


def check_secret(url: str) -> str:
    """Returns a URL that holds no password, or a variable in its place.

    Raises:
        ConfigError: A password is written out.

    Example:
        >>> check_secret("postgresql+psycopg://ada:${PGPASSWORD}@db/prices")
        'postgresql+psycopg://ada:${PGPASSWORD}@db/prices'
    """
    found = _PASSWORD.match(url)
    if found and found[2] and not variables(found[2]):
        raise ConfigError(
            "The password of a database must stand in the environment, because run.json and bundles keep where rows "
            f"came from. Received: one that is written out, for {found[1]}:***@{url[found.end() :].partition('?')[0]}. "
            "Write ${PGPASSWORD} in its place, and set the variable."
        )
    return url


def _made(url: str) -> URL:
    """Returns a URL with its variables filled in.

    Raises:
        ConfigError: It is no URL, a variable is missing, or a password is written out.
    """
    sqlalchemy = _sqlalchemy()
    whole = [f"${{{name}}}" for name in variables(url)] == [url]
    try:
        made: URL = sqlalchemy.make_url(filled(url) if whole else url)
    except sqlalchemy.exc.ArgumentError:
        raise ConfigError(
            "A database must be named by a URL, such as postgresql+psycopg://user:${PGPASSWORD}@host/name. Received: "
            f"{url!r}"
        ) from None
    if whole:
        return made
    check_secret(url)
    parts = {name: getattr(made, name) for name in ("username", "password", "host", "database")}
    found: dict[str, Any] = {name: filled(text) for name, text in parts.items() if text}
    return made.set(**found)


@contextlib.contextmanager
def connect(url: str, away: type[ForecastError]) -> Iterator[Connection]:
    """Connects to a database, trying again while it is away; closes the connection, and undoes what is not committed.

    Args:
        url: See the module.
        away: The error where it stays away.

    Raises:
        ConfigError: The URL is wrong, or SQLAlchemy or the database's driver is not installed.
        ForecastError: `away`.
    """
    with _connection(_engine(url), url, away) as connection:
        yield connection


def _connection(engine: Engine, url: str, away: type[ForecastError]) -> Connection:
    exc = _sqlalchemy().exc
    for pause in PAUSES:
        with contextlib.suppress(exc.DBAPIError):
            return engine.connect()
        time.sleep(pause)
    try:
        return engine.connect()
    except exc.DBAPIError as error:
        raise away(
            f"A database must answer within {CONNECT_SECONDS} seconds. Received: {reason(error)}, from {url}. Start "
            "it, or repair the URL or the account."
        ) from None


def _engine(url: str) -> Engine:
    sqlalchemy, made = _sqlalchemy(), _made(url)
    options: dict[str, Any] = {}
    if made.get_backend_name() in ("postgresql", "mysql", "mariadb"):
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    try:
        engine: Engine = sqlalchemy.create_engine(made, poolclass=sqlalchemy.pool.NullPool, **options)
    except (ModuleNotFoundError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise ConfigError(
            f"The driver of a database must be installed. Received: {error}, for {url}. For PostgreSQL: pip install "
            "'keras-forecast[sql]', and a URL that begins with postgresql+psycopg://."
        ) from None
    return engine


def reason(error: Exception) -> str:
    """Returns what a database said, in one line, without the statement and its values."""
    said = getattr(error, "orig", None) or error
    return " ".join(str(said).split()) or type(said).__name__


def _sqlalchemy() -> Any:
    try:
        import sqlalchemy
        import sqlalchemy.exc
        import sqlalchemy.pool
    except ModuleNotFoundError:
        raise ConfigError(
            "Databases other than SQLite need SQLAlchemy, which is not installed. Install it: pip install "
            "'keras-forecast[sql]'. For a SQLite file there is sqlite:prices.db?table=prices."
        ) from None
    return sqlalchemy
