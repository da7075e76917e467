"""Stands in for Yahoo on 127.0.0.1: cookies, crumbs, and the chart API, as yfinance 1.7 asks for them.

    python tests/pipelines/yahoo_server.py --port 8123 --data ../shared/data
    FORECAST_YAHOO_URL=http://127.0.0.1:8123 forecast ...

A `Listing` is one symbol as it was traded. Seen on a day it is what Yahoo says on that day: rows until then, prices and
volumes divided by the splits until then, `adjclose` by the dividends too, everything rounded to float32. With a data
folder, recorded answers (yahoo/recorded/*.json) are given back where symbol and first day match, and listings are
made from stocks/*.csv.gz. A test can put scripted answers, such as errors, before all of that.

Only the standard library is used, so that this is another way to the numbers than the source it tests.
"""

import argparse
import csv
import gzip
import json
import struct
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

RANGES = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]
SPLITS_IN_FILES = {"AAPL": {date(2005, 2, 28): Fraction(2), date(2014, 6, 9): Fraction(7)}, "SPY": {}}
UNKNOWN = (404, {"code": "Not Found", "description": "No data found, symbol may be delisted"})


@dataclass
class Listing:
    """One symbol as it was traded: `rows` are (day, open, high, low, close, volume), None where Yahoo has null."""

    symbol: str
    rows: list[tuple]
    splits: dict[date, Fraction] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    exchange: str = "NMS"
    zone: str = "America/New_York"
    opens: time = time(9, 30)
    currency: str = "USD"
    kind: str = "EQUITY"

    def stamp(self, day: date) -> int:
        """Returns the epoch second at which the day's session opens."""
        return int(datetime.combine(day, self.opens, ZoneInfo(self.zone)).timestamp())

    def chart(self, begin: int, end: int, today: date) -> tuple[int, dict]:
        """Returns (status, body) of Yahoo's answer for epoch seconds, as given on a day."""
        splits = {day: ratio for day, ratio in self.splits.items() if day <= today}
        result = {"meta": self.meta(), "indicators": {"quote": [{}], "adjclose": [{}]}}
        known = [row for row in self.rows if row[0] <= today]
        if known and end <= self.stamp(known[0][0]):
            text = f"Data doesn't exist for startDate = {begin}, endDate = {end}"
            return 400, {"chart": {"result": None, "error": {"code": "Bad Request", "description": text}}}
        served, factor = [], 1.0
        later, paid_before = Fraction(1), None  # walk backwards: each split and dividend concerns the rows before it
        for day, *prices, volume in reversed(known):
            if paid_before is not None and prices[3] is not None:
                factor *= 1 - paid_before / float(prices[3] / later)
                paid_before = None
            shown = [None if price is None else single(price / float(later)) for price in prices]
            adjusted = None if prices[3] is None else single(prices[3] / float(later) * factor)
            served.append((day, *shown, None if volume is None else round(volume * later), adjusted))
            if day in self.dividends:
                paid_before = self.dividends[day] / float(later)
            later *= splits.get(day, 1)
        served = [row for row in reversed(served) if begin <= self.stamp(row[0]) < end]
        if served:
            names = ["open", "high", "low", "close", "volume"]
            result["timestamp"] = [self.stamp(row[0]) for row in served]
            columns = list(zip(*served, strict=True))
            result["indicators"] = {
                "quote": [dict(zip(names, map(list, columns[1:6]), strict=True))],
                "adjclose": [{"adjclose": list(columns[6])}],
            }
            events = self.events(splits, today, begin, end)
            if events:
                result["events"] = events
        return 200, {"chart": {"result": [result], "error": None}}

    def events(self, splits: dict[date, Fraction], today: date, begin: int, end: int) -> dict:
        """Returns dividends, adjusted for the splits after them, and splits inside a range."""
        events = defaultdict(dict)
        for day, amount in self.dividends.items():
            stamp = self.stamp(day)
            if begin <= stamp < end and day <= today:
                later = 1.0
                for other, ratio in splits.items():
                    later *= float(ratio) if other > day else 1.0
                events["dividends"][str(stamp)] = {"amount": round(amount / later, 6), "date": stamp}
        for day, ratio in splits.items():
            stamp = self.stamp(day)
            if begin <= stamp < end:
                parts = {"numerator": ratio.numerator, "denominator": ratio.denominator}
                text = f"{ratio.numerator}:{ratio.denominator}"
                events["splits"][str(stamp)] = {"date": stamp, **parts, "splitRatio": text}
        return dict(events)

    def meta(self) -> dict:
        """Returns what Yahoo says of the symbol itself."""
        period = {"timezone": "EST", "start": 0, "end": 0, "gmtoffset": -18000}
        return {
            "currency": self.currency,
            "symbol": self.symbol,
            "exchangeName": self.exchange,
            "instrumentType": self.kind,
            "firstTradeDate": self.stamp(self.rows[0][0]) if self.rows else None,
            "gmtoffset": -18000,
            "timezone": "EST",
            "exchangeTimezoneName": self.zone,
            "priceHint": 2,
            "currentTradingPeriod": {name: dict(period) for name in ("pre", "regular", "post")},
            "dataGranularity": "1d",
            "range": "",
            "validRanges": RANGES,
        }


def single(value: float) -> float:
    """Returns the nearest float32: Yahoo's prices carry that noise."""
    return struct.unpack("f", struct.pack("f", value))[0]


class YahooServer:
    """A server on 127.0.0.1, used as `with YahooServer() as server`.

    Attributes:
        listings: By symbol.
        script: Answers (status, content type, text) for a symbol's charts, given first; the last of them for ever
            where `sticky` holds the symbol.
        today: The day on which Yahoo is asked; None is the real one.
        requests: (host that was meant, path, query) of every request.
    """

    def __init__(self, data: Path | None = None, port: int = 0) -> None:
        self.listings: dict[str, Listing] = {}
        self.script: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        self.sticky: set[str] = set()
        self.today: date | None = None
        self.requests: list[tuple[str, str, dict]] = []
        self.recorded: dict[str, list[dict]] = defaultdict(list)
        if data is not None:
            self.listings = read_listings(data / "stocks")
            for path in sorted((data / "yahoo" / "recorded").glob("*.json")):
                body = json.loads(path.read_text(encoding="utf-8"))["response"].get("bodyJson") or {}
                for result in (body.get("chart") or {}).get("result") or []:
                    if result["meta"]["dataGranularity"] == "1d" and "timestamp" in result:
                        self.recorded[result["meta"]["symbol"]].append(body)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # header and body in one packet: two would wait 40 ms for each other

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                host = self.headers.get("X-Orig-Host", "")
                status, kind, text = outer.answer(host, unquote(parts.path), query)
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                """Says nothing: `requests` keeps what was asked."""

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "YahooServer":
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def charts(self, symbol: str) -> list[dict]:
        """Returns the queries for prices of a symbol, without the questions for its time zone."""
        wanted = f"/v8/finance/chart/{symbol}"
        return [query for _, path, query in self.requests if path == wanted and "range" not in query]

    def answer(self, host: str, path: str, query: dict) -> tuple[int, str, str]:
        """Returns (status, content type, text) for one request."""
        self.requests.append((host, path, query))
        if path.endswith("/getcrumb"):
            return 200, "text/plain", "crumb"
        if not path.startswith("/v8/finance/chart/"):
            status = 200 if host in ("fc.yahoo.com", "guce.yahoo.com") else 404
            return status, "text/html", "<html><body>nothing here</body></html>"
        symbol = path.removeprefix("/v8/finance/chart/")
        if self.script[symbol]:
            script = self.script[symbol]
            return script[0] if symbol in self.sticky and len(script) == 1 else script.pop(0)
        status, body = self.chart(symbol, query)
        return status, "application/json;charset=utf-8", json.dumps(body)

    def chart(self, symbol: str, query: dict) -> tuple[int, dict]:
        """Returns (status, body): a recording that begins on the day asked for, or a listing's answer."""
        now = datetime.now(UTC)
        end = int(float(query.get("period2", now.timestamp())))
        begin = int(float(query.get("period1", end - 30 * 86400)))
        for body in self.recorded.get(symbol, []):
            first = body["chart"]["result"][0]["timestamp"][0]
            if "range" in query or -86400 < first - begin < 4 * 86400:
                return 200, body
        if symbol not in self.listings:
            return UNKNOWN[0], {"chart": {"result": None, "error": UNKNOWN[1]}}
        listing = self.listings[symbol]
        if "range" in query and listing.rows:  # asked for the time zone, which every listing has
            begin, end = listing.stamp(listing.rows[-1][0]), listing.stamp(listing.rows[-1][0] + timedelta(days=1))
        return listing.chart(begin, end, self.today or now.date())


def read_listings(folder: Path) -> dict[str, Listing]:
    """Returns listings made from CSV files with `Close` and `Adj Close`.

    Args:
        folder: Holds AAPL.csv.gz and SPY.csv.gz, adjusted for the splits up to their last row, and
            us_daily_6tickers.csv.gz, as traded, which is taken for all other tickers.
    """
    groups: dict[str, list[dict]] = defaultdict(list)
    path = folder / "us_daily_6tickers.csv.gz"
    for row in read_table(path) if path.is_file() else []:
        groups[row["Ticker"]].append(row)
    listings = {symbol: listing_of(symbol, rows) for symbol, rows in groups.items()}
    for symbol, splits in SPLITS_IN_FILES.items():
        path = folder / f"{symbol}.csv.gz"
        if path.is_file():
            listings[symbol] = listing_of(symbol, read_table(path), splits)
    return listings


def listing_of(symbol: str, table: list[dict], splits: dict[date, Fraction] | None = None) -> Listing:
    """Returns a listing of rows with `Adj Close`, whose jumps against `Close` are the splits and dividends.

    Args:
        symbol: The ticker.
        table: Rows of text: Date, Open, High, Low, Close, Adj Close, Volume; as traded, or with `splits` given as
            adjusted for these.
        splits: Splits to undo first.
    """
    later, raw = Fraction(1), []
    for row in reversed(table):  # each split concerns the rows before it
        day = date.fromisoformat(row["Date"])
        prices = [float(row[name]) * float(later) for name in ("Open", "High", "Low", "Close")]
        raw.append((day, *prices, round(float(row["Volume"]) / later)))
        later *= (splits or {}).get(day, 1)
    raw.reverse()
    listing = Listing(symbol, raw, dict(splits or {}))
    factors = [float(row["Adj Close"]) / traded[4] for row, traded in zip(table, raw, strict=True)]
    for before, after, now, then in zip(raw, raw[1:], factors, factors[1:], strict=False):
        day, jump = after[0], then / now
        if splits is None and not 0.7 < jump < 1.3:
            listing.splits[day] = Fraction(jump).limit_denominator(20)
        jump /= float(listing.splits.get(day, 1))
        if jump > 1.0003:
            listing.dividends[day] = round(before[4] / float(listing.splits.get(day, 1)) * (1 - 1 / jump), 6)
    return listing


def read_table(path: Path) -> list[dict]:
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description="Stands in for Yahoo on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, default=None, help="folder with stocks/ and yahoo/recorded/")
    parser.add_argument("--today", type=date.fromisoformat, default=None, help="answer as on this day")
    given = parser.parse_args()
    server = YahooServer(given.data, given.port)
    server.today = given.today
    sys.stdout.write(f"FORECAST_YAHOO_URL={server.url}\n")
    sys.stdout.flush()
    try:
        server.http.serve_forever()
    except KeyboardInterrupt:
        server.http.server_close()


if __name__ == "__main__":
    main()
