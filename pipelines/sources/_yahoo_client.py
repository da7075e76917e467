"""Asks Yahoo for one symbol through yfinance, and turns every way that can fail into one sentence.

    unknown symbol    404, or no time zone               NoData        "knows no symbol"
    empty range       400, or 200 without rows           NoData        "has no rows"
    rate limit        429, after all tries               RateLimited
    dead network      refused, no such host, too slow    SourceError   "could not be reached"
    anything else     a maintenance or a proxy's page    SourceError   "could not be read"
    a wrong clock     bars of days that have not begun   SourceError   "clock": each answer is filed under its time

yfinance keeps one session for the whole process, prints what it hides and remembers bad answers: all three are put
back as they were found. Nothing here stores or adjusts anything.
"""

import contextlib
import functools
import ipaddress
import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pandas as pd

from ..errors import ConfigError, NoData, RateLimited, SourceError
from ._snapshots import COLUMNS, EVER, PRICES, Answer

BACKOFF = (5.0, 20.0, 60.0)  # seconds before the second, third and fourth try when Yahoo says "too many requests"
TIMEOUT = 30  # seconds for one request
PERIODS: dict[str, dict[str, Any]] = {"1d": {"days": 1}, "1wk": {"weeks": 1}, "1mo": {"months": 1}}

# Yahoo's exchange codes and the calendar that knows their sessions; an exchange that is not here gets none.
CALENDARS = {
    **dict.fromkeys(["NMS", "NGM", "NCM", "NYQ", "ASE", "PCX", "BTS", "PNK", "OQB", "OQX", "NAS"], "XNYS"),
    **dict.fromkeys(["SNP", "DJI", "NIM", "NYS"], "XNYS"),  # indices
    **{"LSE": "XLON", "IOB": "XLON", "FGI": "XLON", "JPX": "XTKS", "OSA": "XTKS", "SHH": "XSHG", "SHZ": "XSHG"},
    **{"HKG": "XHKG", "GER": "XETR", "FRA": "XFRA", "PAR": "XPAR", "AMS": "XAMS", "BRU": "XBRU", "LIS": "XLIS"},
    **{"MIL": "XMIL", "MCE": "XMAD", "EBS": "XSWX", "VIE": "XWBO", "STO": "XSTO", "HEL": "XHEL", "CPH": "XCSE"},
    **{"OSL": "XOSL", "ISE": "XDUB", "WSE": "XWAR", "TOR": "XTSE", "VAN": "XTSE", "SAO": "BVMF", "MEX": "XMEX"},
    **{"JKT": "XIDX", "ASX": "XASX", "NZE": "XNZE", "SES": "XSES", "KSC": "XKRX", "KOE": "XKRX", "TAI": "XTAI"},
    **{"BSE": "XBOM", "NSI": "XBOM", "KLS": "XKLS", "SET": "XBKK", "JNB": "XJSE", "TLV": "XTAE", "IST": "XIST"},
    **{"CCC": "D", "CCY": "B"},  # crypto trades every day, currencies from Monday to Friday
}


def now() -> pd.Timestamp:
    """Returns the time in UTC."""
    return pd.Timestamp.now("UTC").as_unit("ns")


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


def fetch(symbol: str, start: pd.Timestamp, interval: str) -> Answer:
    """Returns Yahoo's answer from a day (`EVER` for all there is) until now, without bars that have not closed.

    Raises:
        RateLimited: Yahoo refused every try.
        SourceError: See the module.
        ConfigError: FORECAST_YAHOO_URL is wrong.
    """
    for wait in BACKOFF:
        try:
            return _ask(symbol, start, interval)
        except RateLimited:
            sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, keeps no secret
    return _ask(symbol, start, interval)


def _ask(symbol: str, start: pd.Timestamp, interval: str) -> Answer:
    span = {"period": "max"} if start == EVER else {"start": f"{start:%Y-%m-%d}"}
    meta: dict[str, Any] = {}
    with _yfinance() as (yf, session):
        try:
            ticker = yf.Ticker(symbol, session=session)
            try:
                rows = ticker.history(
                    interval=interval, auto_adjust=False, actions=True, keepna=True, timeout=TIMEOUT, **span
                )
            finally:
                # Read also after a failure: an answer without rows says which symbol it is, a proxy's page does not.
                meta = getattr(getattr(ticker, "_price_history", None), "_history_metadata", None) or {}
        except Exception as error:
            with contextlib.suppress(AttributeError):  # yfinance remembers bad answers for the life of the process
                yf.data.YfData.cache_get.cache_clear()
            raise _explained(error, symbol, start, meta) from error
    came = now()
    said = {
        "exchange": str(meta.get("exchangeName") or ""),
        "timezone": str(meta.get("exchangeTimezoneName") or "UTC"),
        "currency": str(meta.get("currency") or ""),
        "kind": str(meta.get("instrumentType") or ""),
    }
    rows.index = rows.index.tz_localize(None).normalize().as_unit("ns").rename("Date")
    rows.index.freq = None  # pandas may have guessed "B", which the next holiday would break
    rows = rows.reindex(columns=COLUMNS).astype("float64")
    acts = (rows[["Dividends", "Stock Splits"]].fillna(0) != 0).any(axis=1)
    settled = came.tz_localize(None) - pd.DateOffset(**PERIODS[interval]) - pd.Timedelta(days=3)
    has_sessions = len(CALENDARS.get(said["exchange"], "")) == 4  # others trade before their day begins
    if has_sessions and len(rows) and _begins(rows.index[-1], said) > came:
        raise SourceError(
            f"Yahoo's bars must be of days that have begun. Received for {symbol}: one of {rows.index[-1]:%Y-%m-%d}, "
            f"when the clock of this machine says {came:%Y-%m-%d %H:%M} UTC. Set the clock; nothing was kept."
        )
    is_open = np.asarray(rows.index >= settled)  # at most these: to ask for every row is slow
    is_open[is_open] = [closes(day, said, interval) > came for day in rows.index[is_open]]
    rows.loc[is_open, PRICES] = float("nan")  # a split of today already holds for all rows before
    rows = rows[~is_open | acts]
    if rows[PRICES].isna().all(axis=None):
        raise NoData(_no_rows(symbol, start, "no closed bar"))
    return Answer(symbol, interval, start, came, said, rows)


def closes(day: pd.Timestamp, meta: dict[str, str], interval: str) -> pd.Timestamp:
    """Returns when a bar is complete: the exchange's close, or midnight after its last day where none is known.

    Args:
        day: The bar's label.
        meta: `exchange` and `timezone` of the symbol.
    """
    midnight = _begins(day + pd.DateOffset(**PERIODS[interval]), meta)
    code = CALENDARS.get(meta["exchange"], "")
    if interval != "1d" or len(code) < 4:
        return midnight
    close = _session_close(code, day)
    return midnight if close is None else close


def _begins(day: pd.Timestamp, meta: dict[str, str]) -> pd.Timestamp:
    """Returns midnight in the exchange's time zone."""
    return day.tz_localize(meta["timezone"], ambiguous=True, nonexistent="shift_forward")


@functools.lru_cache(maxsize=256)
def _session_close(code: str, day: pd.Timestamp) -> pd.Timestamp | None:
    import exchange_calendars

    month, span = day.replace(day=1), pd.Timedelta(days=35)  # the same for all days of a month: calendars are cached
    last = min(month + span, month.replace(month=12, day=31))  # some exchanges are known until a year's end
    with warnings.catch_warnings():
        # exchange_calendars 4.13 calls what pandas 3.1 deprecates.
        warnings.filterwarnings("ignore", "Series.values returning", DeprecationWarning)
        try:
            calendar = exchange_calendars.get_calendar(code, start=month - span, end=last)
            return calendar.session_close(day) if calendar.is_session(day) else None
        except ValueError:  # beyond the years that are known
            return None


def endpoint() -> str:
    """Returns FORECAST_YAHOO_URL checked, or "" where it is not set.

    Prices steer decisions: only https, or http on this machine itself, may stand in for Yahoo.
    """
    url = os.environ.get("FORECAST_YAHOO_URL", "").strip()
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    else:
        plain = not (parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment)
        if host and plain and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
            return f"{parts.scheme}://{parts.netloc}"
    shown = f"host {host!r}" if "@" in url else repr(url)
    raise ConfigError(
        "FORECAST_YAHOO_URL must be https://host or https://host:port, or http://127.0.0.1:port on this machine, "
        f"without a path or a password. Received: {shown}"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def import_curl() -> None:
    """Imports curl_cffi so that it finds its own libcurl even where TensorFlow, which carries another, came first.

    Without this, yfinance in a process that has imported TensorFlow fails with "Impersonating chrome... is not
    supported": the symbols of TensorFlow's libcurl are found before those of curl_cffi.
    """
    deep = getattr(os, "RTLD_DEEPBIND", 0)  # where there is no such flag, libraries keep their symbols apart anyway
    flags = sys.getdlopenflags() if deep else 0
    with contextlib.suppress(ImportError):  # yfinance then falls back on requests
        try:
            if deep:
                sys.setdlopenflags(os.RTLD_NOW | deep)
            import curl_cffi  # noqa: F401
        finally:
            if deep:
                sys.setdlopenflags(flags)


@contextlib.contextmanager
def _yfinance() -> Iterator[tuple[Any, Any]]:
    """Gives yfinance and the session to use (None: its own), and puts its settings back afterwards."""
    base = endpoint()
    with warnings.catch_warnings(), contextlib.ExitStack() as undo:
        # yfinance 1.7 calls what pandas 3 deprecates, at import and later; its import puts a filter before the first.
        warnings.filterwarnings("ignore", module=r"yfinance(\.|$)")
        import_curl()
        import yfinance as yf

        warnings.filterwarnings("ignore", module=r"yfinance(\.|$)")
        log = logging.getLogger("yfinance")
        undo.callback(log.setLevel, log.level)
        if log.level == logging.NOTSET:
            log.setLevel(logging.CRITICAL)  # what it logs, it also raises here
        undo.callback(setattr, yf.config.debug, "hide_exceptions", yf.config.debug.hide_exceptions)
        yf.config.debug.hide_exceptions = False
        session = None
        if base:
            session = _redirected(base)
            undo.callback(session.close)
            data = yf.data.YfData()  # one for the process: without this, later calls would keep our session
            undo.callback(data._set_session, data._session)
        yield yf, session


def _redirected(base: str) -> Any:
    """Returns a session that asks `base` in place of every host; yfinance accepts only its own session classes."""
    try:
        from curl_cffi.requests import Session

        settings = {"impersonate": "chrome"}
    except ImportError:
        from requests import Session

        settings = {}

    class Redirected(Session):
        def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
            asked = urlsplit(url)
            options["headers"] = {**(options.get("headers") or {}), "X-Orig-Host": asked.netloc}
            return super().request(method, base + urlunsplit(("", "", *asked[2:])), *args, **options)

    return Redirected(**settings)


def _explained(error: Exception, symbol: str, start: pd.Timestamp, meta: dict[str, Any]) -> SourceError:
    """Returns the error to raise for what yfinance or its HTTP client raised; names are compared because both vary."""
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    text = str(error).strip() or type(error).__name__
    reason = getattr(error, "yahoo_reason", None)
    where = endpoint() or "Yahoo"
    if "YFRateLimitError" in names or status == 429:
        return RateLimited(
            f"Yahoo must accept the request for {symbol}. Received: HTTP 429, too many requests, in all "
            f"{len(BACKOFF) + 1} tries. Ask again in an hour, for fewer symbols, or with offline=true."
        )
    if "YFTzMissingError" in names or status == 404 or "delisted" in (reason or ""):
        return NoData(
            f"Yahoo knows no symbol {symbol!r}, or has delisted it. "
            "Write it as finance.yahoo.com does, such as OCDO.L, 600519.SS, ^GSPC, BTC-USD or EURUSD=X."
        )
    if "YFPricesMissingError" in names and (reason or "symbol" in meta):
        return NoData(_no_rows(symbol, start, reason or "an answer without rows"))
    if "ImpersonateError" in names:
        return SourceError(
            f"curl_cffi must be imported before TensorFlow, or by this source: else it finds TensorFlow's libcurl, not "
            f"its own. Received for {symbol}: {text}. Start again, and import yfinance or load these rows first."
        )
    # Without curl_cffi, yfinance 1.7 stumbles over its own `except` clause while it handles a dead network.
    cause = error.__context__ if isinstance(error, AttributeError) else error
    if isinstance(cause, OSError) and not isinstance(cause, ValueError) and "HTTPError" not in names:
        return SourceError(
            f"{where} could not be reached for {symbol}. Received: {str(cause)[:300]}. "
            "Check the network, the proxy and FORECAST_YAHOO_URL, or read the store with offline=true."
        )
    return SourceError(
        f"The answer of {where} for {symbol} could not be read. Received: {type(error).__name__}: {text[:300]}. "
        "It may be a maintenance or a proxy's page: try again later; if it stays, update yfinance."
    )


def _no_rows(symbol: str, start: pd.Timestamp, received: str) -> str:
    since = "" if start == EVER else f" from {start:%Y-%m-%d} on"
    return f"Yahoo has no rows of {symbol}{since}. Received: {received}. Choose an earlier start, or none."
