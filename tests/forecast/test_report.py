"""The report: one file that is whole in itself, says what the scores say, and takes no name of a series for HTML."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from forecast import report
from forecast.evaluation.backtest import Backtest
from forecast.evaluation.bands import Bands
from forecast.forecaster import Forecaster
from forecast.plotting import plot_history
from forecast.report import _charts as charts
from forecast.report import _facts as facts
from forecast.report import _origin as origin
from forecast.report import _sections as sections
from forecast.report._live import _thinned, plot
from forecast.report._reopened import read, reopen
from forecast.text import number
from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.stock_splits import find_split_cliffs
from pipelines.windows import WindowSpec, index_windows

EVIL = ["<script>alert(1)</script>", '" onmouseover="alert(2)" x="', "</script><img src=x onerror=alert(3)>"]
UNIT, MODEL = "<i>points</i>", "<i>lstm</i></script>"
NO_TRAINING = ["mase", "rmsse"]  # scores that need training rows, which a file does not hold


def a_backtest(
    series=1, rows=80, horizon=3, *, names=None, targets=1, dated=True, zone=None, gap=0, stride=1, missing=()
):
    """A random walk from each of many cutoffs, and a model that is naive with an error of its own."""
    rng = np.random.default_rng(0)
    ids = names or [f"s{i:04d}" for i in range(series)]
    values = 100 + np.cumsum(rng.normal(size=(len(ids), rows, targets)), axis=1)
    values[:, list(missing)] = np.nan
    stamps = pd.date_range("2024-03-01", periods=rows, freq="D", tz=zone) if dated else np.arange(rows)
    columns = {f"y{k}": values[:, :, k].ravel() for k in range(targets)}
    frame = pd.DataFrame({"unique_id": np.repeat(ids, rows), "ds": np.tile(stamps, len(ids)), **columns})
    panel = Panel.from_frame(frame, **({"freq": "D"} if dated else {}))
    spec = WindowSpec(lookback=5, horizon=horizon, gap=gap, stride=stride)
    index = index_windows(panel.offsets, spec, (panel.offsets[:-1] + rows // 2, panel.offsets[1:]))
    y_true = index.future(panel.values).astype(float)
    last = pd.DataFrame(panel.values.astype(float)).ffill().to_numpy()[index.cutoffs]
    naive = np.repeat(last[:, None], horizon, axis=1)
    model = naive + rng.normal(scale=0.5, size=naive.shape)
    y_pred = {"lstm": model, "naive": naive, "drift": naive + 0.1, "mean": naive - 20}
    training = {name: np.ones((len(index), targets)) for name in ("mase_scale", "rmsse_scale")}
    training |= {"low": np.full((len(index), targets), 80.0), "high": np.full((len(index), targets), 120.0)}
    wide = np.sqrt(np.arange(1.0, horizon + 1))[:, None]
    bands = Bands(
        None, None, {level: (model - z * wide, model + z * wide) for level, z in ((80.0, 1.28), (95.0, 1.96))}
    )
    names = tuple(columns)
    return Backtest(panel, index, names, y_true, y_pred, last, training, "test", "points", bands)


class Page(HTMLParser):
    """What is in a page; a tag that is not closed in order is an error."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


def a_page(tmp_path, backtest, **options):
    path = report.of_backtest(backtest, tmp_path / "report.html", **options)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model():
    """A fitted forecaster with intervals, of few weights."""
    settings = {"split": {"calibration": 0.1}, "training": {"epochs": 1}}
    model = Forecaster(model={"name": "lstm", "units": 4}, target="Close", lookback=8, horizon=3, **settings)
    return model.fit("sample:goog", quiet=True)


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A folder with `static.html` and `live.html`, of names and a unit that want to be HTML."""
    folder = tmp_path_factory.mktemp("evil")
    backtest = a_backtest(names=[*EVIL, "x" * 200], rows=40)
    forecasts = {
        MODEL: backtest.y_pred["lstm"],
        "naive": backtest.y_pred["naive"],
        "</script>": backtest.y_pred["drift"],
    }
    backtest = replace(backtest, unit=UNIT, y_pred=forecasts)
    for name, interactive in (("static", False), ("live", True)):
        report.of_backtest(backtest, folder / f"{name}.html", interactive=interactive)
    return folder


@pytest.fixture(scope="module")
def static(model, tmp_path_factory):
    """The text of its static report."""
    path = tmp_path_factory.mktemp("report") / "goog.html"
    return report.of_forecaster(model, path, interactive=False).read_text(encoding="utf-8")


# --- what it says ---------------------------------------------------------------------------------------------------


def test_it_says_what_the_scores_say(model, static):
    page, scores = Page(static), model.backtest().scores
    verdict = " ".join(scores.verdict.replace(": ", " ", 1).split())
    assert verdict in page.text
    for note in scores.notes:
        assert note in page.text
    table = scores.table.xs("Close", level="target")
    for values in table.to_numpy():
        assert " ".join(map(number, values[:5])) in page.text.replace(" ★", "")
    for share in scores.coverage["coverage"]:
        assert f"{share:.1f} %" in page.text
    assert number(table.loc["lstm", "mae"] / table.loc["naive", "mae"]) in page.text


def test_it_says_where_the_forecasts_come_from(model, static):
    page = Page(static)
    for fact in (
        "sample:goog",
        "1,047",
        "2004-08-19",
        "2008-10-14",
        "XNYS",
        "not saved",
        model.panel_.fingerprint()[:16],
    ):
        assert fact in page.text
    for about in model.splits_.describe(model.panel_).values():
        assert f"{about['rows']:,} {about['first']} {about['last']}" in page.text
    assert "training.epochs 1" in page.text
    assert str(model.report_) in page.text
    assert str(model.intervals_) in page.text


def test_a_bundle_tells_its_version_and_digest_and_whether_rows_are_those_of_the_training(model, tmp_path):
    model = Forecaster.load(model.save("small", tmp_path))
    text = {}
    for name, data in {"same": "sample:goog", "fewer": model.attach("sample:goog").panel_.tail(900)}.items():
        path = report.of_forecaster(model, tmp_path / f"{name}.html", data, interactive=False)
        text[name] = Page(path.read_text(encoding="utf-8")).text
    for one in text.values():
        assert "small, version 1" in one
        assert model.manifest_["digest"][:16] in one
    assert "same as in training yes" in text["same"]
    assert "same as in training no, others" in text["fewer"]


def test_split_cliffs_in_raw_prices_are_pointed_out(model):
    panel = model.panel_
    values = panel.values.copy()
    values[500:] /= 4
    split = model.attach(replace(panel, values=values))
    section = origin.data(split, split.backtest())
    (cliff,) = find_split_cliffs(split.panel_)
    assert html.escape(cliff) in "".join(part for part in section.parts if isinstance(part, str))


def test_options_of_the_backtest_are_passed_on(model, tmp_path):
    path = report.of_forecaster(model, tmp_path / "a.html", interactive=False, part="validation", cutoffs=7)
    assert "on 7 validation sessions" in Page(path.read_text(encoding="utf-8")).text


@pytest.mark.parametrize(
    "options", [{}, {"missing": (50, 51)}, {"dated": False, "rows": 400}, {"series": 3, "rows": 300}]
)
def test_means_over_time_weighted_by_their_counts_are_the_mae_of_the_table(options):
    backtest = a_backtest(**options)
    table = backtest.scores.table.xs("y0", level="target")["mae"]
    for found in (facts.by_time(backtest, 0)[0], facts.by_cutoff(backtest, 0)):
        for column, name in (("model", "lstm"), ("naive", "naive")):
            assert np.average(found[column], weights=found["values"]) == pytest.approx(table[name], rel=1e-12)
    assert len(facts.by_time(backtest, 0)[0]) <= facts.MOST


def test_coverage_over_time_weighted_by_its_counts_is_that_of_the_table():
    backtest = a_backtest(missing=(60,), rows=200)
    found, period = facts.coverage_by_time(backtest, 0)
    whole = backtest.coverage(None).xs("y0", level="target")["coverage"]
    assert period == "week"
    for level in (80.0, 95.0):
        assert np.average(found[level], weights=found["values"]) == pytest.approx(whole[level], rel=1e-12)


def test_series_are_scored_as_the_backtest_scores_them_and_the_worst_come_first():
    backtest = a_backtest(series=5)
    found = facts.by_series(backtest, 0)
    theirs = backtest.by("series").xs("y0", level="target")
    for s, row in found.iterrows():
        mine = theirs.loc[backtest.panel.ids[s]]
        assert row["mae"] == pytest.approx(mine.loc["lstm", "mae"], rel=1e-12)
        assert row["naive"] == pytest.approx(mine.loc["naive", "mae"], rel=1e-12)
        assert row["mase"] == pytest.approx(mine.loc["lstm", "mase"], rel=1e-12)
    assert (np.diff(found["ratio"]) <= 0).all()


def test_hundreds_of_series_make_a_small_report(tmp_path):
    path = report.of_backtest(a_backtest(series=400, rows=30), tmp_path / "many.html", interactive=False)
    text = path.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert "10 of 400 are shown" in Page(text).text


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"horizon": 1}, {"steps", "series"}),
        ({"rows": 10, "horizon": 5}, {"time", "series"}),  # one cutoff
        ({"series": 2}, set()),
    ],
)
def test_sections_with_nothing_to_show_are_left_out(options, gone):
    every = {"forecasts", "scores", "steps", "time", "intervals", "series"}
    backtest = a_backtest(**options)
    assert names_of_sections(backtest) == every - gone
    assert names_of_sections(replace(backtest, bands=None)) == every - gone - {"intervals"}


def names_of_sections(backtest):
    return {section.name for section in report._of_forecasts(backtest) if section}


def test_targets_beyond_those_with_pictures_have_scores(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "TARGETS", 1)
    page = a_page(tmp_path, a_backtest(targets=3, rows=40), interactive=False)
    headings = " ".join(page.values("aria-label"))
    assert "Error of y0" in headings
    assert "Error of y1" not in headings
    assert "Of y1, y2 there are scores below, and no pictures." in page.text
    assert "for y2 on" in page.text


# --- one file, whole in itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["static", "live"])
def test_it_is_one_file_that_asks_no_server(kind, evil):
    page = Page((evil / f"{kind}.html").read_text(encoding="utf-8"))
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert all(link.startswith("#") for link in [*page.values("href"), *page.values("src")])
    assert page.values("src") == []


def test_ids_are_unique_and_what_points_to_one_finds_it(static):
    page = Page(static)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    pointed = [link[1:] for link in page.values("href")]
    pointed += [name for _, _, value in page.attributes for name in re.findall(r"url\(#([^)]+)\)", value)]
    assert pointed
    assert set(pointed) <= set(ids)


def test_colours_of_pictures_are_those_of_the_style_sheet(static):
    page = Page(static)
    drawn = " ".join(value for _, name, value in page.attributes if name in ("style", "fill", "stroke"))
    assert re.findall(r"#[0-9a-f]{6}", drawn) == []
    named = set(re.findall(r"var\(--([\w-]+)\)", drawn))
    assert {"model", "naive", "truth", "part-test"} <= named
    assert all(f"--{name}:" in static for name in named)


@pytest.mark.parametrize("kind", ["model", "series"])
def test_it_can_be_read_without_seeing(kind, static, evil):
    page = Page(static if kind == "model" else (evil / "static.html").read_text(encoding="utf-8"))
    assert ("html", "lang", "en") in page.attributes
    assert page.tags.count("svg") == page.values("role").count("img")
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == page.tags.count("svg")
    assert all(labels)
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert max(np.diff(levels)) == 1  # no level of headings is skipped


def test_a_static_report_is_small_and_holds_no_script(static):
    assert len(static.encode()) < 1_000_000
    assert "<script" not in static


@pytest.mark.parametrize("kind", ["static", "live"])
def test_names_of_series_are_text(kind, evil):
    page = Page((evil / f"{kind}.html").read_text(encoding="utf-8"))
    assert not {"img", "i"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    kinds = [value for tag, name, value in page.attributes if (tag, name) == ("script", "type")]
    assert page.tags.count("script") == (2 + len(kinds) if kind == "live" else 0)
    assert set(kinds) <= {"application/json"}
    for name in (*EVIL, UNIT, MODEL):
        assert name in page.text
    if kind == "live":  # plotly takes some HTML in its texts
        plots = json.dumps([json.loads(script) for script in page.scripts[: len(kinds)]])
        assert all(html.escape(name) in plots for name in (UNIT, MODEL))
        assert "<" not in plots.replace("<extra></extra>", "")  # which is ours: no name beside a value


def test_an_interactive_report_holds_plotly_once_and_the_data_that_are_drawn(tmp_path):
    backtest = a_backtest(rows=60, horizon=3)
    page = a_page(tmp_path, backtest, interactive=True)
    *plots, plotly, script = page.scripts
    assert len(plotly) > 1_000_000
    assert "Plotly.react" in script
    first = json.loads(plots[0])
    traces = {trace["name"]: trace for trace in first["data"] if "name" in trace}
    assert set(traces) == {"truth", "naive", "lstm", "80 %", "95 %"}
    drawn = np.array([np.nan if y is None else y for y in traces["lstm"]["y"]]).reshape(-1, 4)
    np.testing.assert_allclose(drawn[-1], [*backtest.y_pred["lstm"][-1, :, 0], np.nan], rtol=1e-6)
    assert traces["lstm"]["x"][-2] == str(pd.Timestamp("2024-03-01") + pd.Timedelta(days=59))[:10]
    last = [trace for trace in first["data"] if trace.get("legendgroup") == "80 %"][-1]
    ends = np.array([end[-1, :, 0] for end in backtest.bands.ends[80.0]]).T
    np.testing.assert_allclose(last["customdata"], ends, rtol=1e-6)
    shapes = [shape for shape in first["layout"]["shapes"] if shape["type"] == "line"]
    assert len(shapes) == len(drawn)  # a cutoff each


def plotted(draw):
    """What plotly is given of a picture."""
    return plot(draw(Figure().add_subplot()), {}, html.escape)


def test_bars_and_shaded_parts_are_those_that_are_drawn(model):
    table = facts.by_series(a_backtest(series=25, rows=40), 0)
    (bars,) = plotted(lambda ax: charts.spread(table, ax))["data"]
    assert bars["type"] == "bar"
    assert sum(bars["y"]) == 25
    below = sum(y for x, y in zip(bars["x"], bars["y"], strict=True) if x < 1)
    assert below == (table["ratio"] < 1).sum()
    parts = plotted(lambda ax: model.plot("splits", ax=ax))["layout"]["shapes"]
    described = model.splits_.describe(model.panel_)
    assert [part["x0"] for part in parts] == [about["first"] for about in described.values()]
    assert [part["name"].split(",")[0] for part in parts] == list(described)


def test_losses_that_are_drawn_on_a_log_axis_are_plotted_on_one():
    history = pd.DataFrame({"epoch": [0, 1, 2], "loss": [np.nan, 1.0, 0.1], "val_loss": [50.0, 2.0, 0.2]})
    found = plotted(lambda ax: plot_history(history, best_epoch=2, ax=ax))
    assert found["layout"]["yaxis"]["type"] == "log"
    low, high = found["layout"]["yaxis"]["range"]
    assert low < np.log10(0.1) < np.log10(50) < high
    assert found["layout"]["xaxis"]["dtick"] == 1
    best = next(trace for trace in found["data"] if trace["name"] == "best epoch, 2")
    assert (best["mode"], best["x"], best["y"]) == ("markers", [2.0], [0.2])


def test_a_long_line_keeps_its_extremes():
    y = np.sin(np.arange(100_000) / 700)
    y[54_321], y[77_777] = 5.0, -7.0
    x, kept = _thinned(np.arange(100_000.0), y)
    assert len(kept) <= 3000
    assert (kept.max(), kept.min()) == (5.0, -7.0)
    assert (np.diff(x) > 0).all()


# --- without plotly, and where nothing can be written ---------------------------------------------------------------


@pytest.fixture
def no_plotly(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "plotly" else find(name, *more)
    )


def test_without_plotly_it_is_static(no_plotly, tmp_path):
    assert "script" not in a_page(tmp_path, a_backtest()).tags


def test_asked_for_plotly_that_is_not_there_it_names_the_extra(no_plotly, tmp_path):
    with pytest.raises(ConfigError, match=re.escape("pip install 'keras-forecast[report]'")):
        report.of_backtest(a_backtest(), tmp_path / "report.html", interactive=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"), [("report.txt", "ends in .html"), ("nowhere/report.html", "a folder that exists")]
)
def test_a_path_that_cannot_be_a_report_is_refused_before_anything_is_computed(name, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        report.of_backtest("no such file.csv", tmp_path / name)


def test_a_failed_write_leaves_the_old_report_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        report.of_backtest(a_backtest(rows=20), path, interactive=False)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "old")]


# --- a file of forecasts --------------------------------------------------------------------------------------------

BACKTESTS = {
    "one": {},
    "panel": {"series": 3},
    "integers": {"dated": False},
    "zone": {"zone": "Europe/Berlin", "rows": 60},  # the clock changes on 31 March
    "missing": {"missing": (45, 46, 70)},
    "targets": {"targets": 2},
    "gap": {"gap": 2},
    "stride": {"stride": 2},
    "far": {"stride": 7, "horizon": 2, "gap": 3},
    "step": {"horizon": 1},
}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("name", BACKTESTS)
def test_a_reopened_file_has_the_scores_of_the_backtest_that_wrote_it(name, suffix, tmp_path):
    backtest = a_backtest(**BACKTESTS[name])
    path = tmp_path / f"x{suffix}"
    frame = backtest.frame().sample(frac=1, random_state=0)  # in any order
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    again = reopen(read(path), "lstm", "points", "test")
    rest = backtest.scores.table.columns.difference(NO_TRAINING, sort=False)
    pd.testing.assert_frame_equal(*(one.scores.table[rest].sort_index() for one in (again, backtest)))
    assert again.scores.table[NO_TRAINING].isna().all(axis=None)
    held = ["coverage", "width", "values"]
    pd.testing.assert_frame_equal(*(one.coverage()[held].sort_index() for one in (again, backtest)))
    if name not in (
        "panel",
        "targets",
    ):  # targets come in the order of the rows; series are compared in units of training rows
        assert again.scores.verdict == backtest.scores.verdict
    mine = again.frame().sort_values(["unique_id", "target", "cutoff", "step"]).reset_index(drop=True)
    theirs = backtest.frame().sort_values(["unique_id", "target", "cutoff", "step"]).reset_index(drop=True)
    for column in theirs.columns:
        if column in ("ds", "cutoff") and suffix == ".csv" and name == "zone":
            assert (pd.to_datetime(mine[column], utc=True) == pd.to_datetime(theirs[column], utc=True)).all()
        else:
            pd.testing.assert_series_equal(mine[column], theirs[column], check_dtype=False, check_freq=False)


def test_a_report_of_a_file_is_that_of_its_backtest_without_training(tmp_path):
    backtest = a_backtest(rows=50)
    backtest.frame().to_parquet(tmp_path / "x.parquet")
    page = a_page(tmp_path, tmp_path / "x.parquet", interactive=False, unit="points")
    assert (
        f"MAE {number(backtest.scores['lstm']['mae'])} against {number(backtest.scores['naive']['mae'])}" in page.text
    )
    assert "Not defined here: mase, rmsse" in page.text
    assert not {"data", "training", "settings"} & set(page.values("id"))


def spoilt(**changes):
    def spoil(frame):
        return frame.assign(**changes)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f.drop(columns=["y_true", "naive"]), "Received: no y_true, naive, but unique_id, target"),
        (lambda f: f.iloc[:0], "Received: no row"),
        (spoilt(y_true=np.nan), "Some `y_true` must be known"),
        (spoilt(y_pred="a"), "y_pred must be numbers"),
        (spoilt(step=0), "`step` must be an integer from 1 on"),
        (spoilt(ds="yesterday"), "must be dates, or integers"),
        (lambda f: f.drop(columns="y_pred_hi_80"), "y_pred_lo_80 without y_pred_hi_80"),
        (lambda f: f.drop(index=7), "each of the steps 1 to 3"),
        (lambda f: pd.concat([f, f.iloc[:9]]), "each of the steps 1 to 3"),
    ],
)
def test_a_frame_that_holds_no_forecasts_with_their_truth_is_refused(spoil, words, tmp_path):
    with pytest.raises(DataError, match=re.escape(words)) as error:
        report.of_backtest(spoil(a_backtest().frame()), tmp_path / "report.html")
    assert "forecast backtest BUNDLE --out x.parquet" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_forecasts_that_lie_at_changing_distances_are_refused(tmp_path):
    with pytest.raises(DataError, match="--stride 1, or make the report of the bundle"):
        report.of_backtest(a_backtest(gap=3, stride=2, horizon=2).frame(), tmp_path / "report.html")


@pytest.mark.parametrize(
    ("name", "content"),
    [("gone.csv", None), ("text.parquet", "not parquet"), ("empty.csv", ""), ("latin.csv", b"\xff\xfe\x00")],
)
def test_a_file_that_cannot_be_read_is_refused(name, content, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match="Forecasts must lie in a Parquet or CSV file"):
        report.of_backtest(tmp_path / name, tmp_path / "report.html")


# --- in a browser ---------------------------------------------------------------------------------------------------

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WATCH = """<iframe id="frame" style="width: %dpx; height: 800px; border: 0"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("frame");
const wide = (svg) => svg.getBoundingClientRect().width > 200;
const shown = (figure) => [...figure.querySelectorAll("svg")].some(wide);
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument;
  const plots = [...page.querySelectorAll(".live")];
  document.getElementById("found").textContent = JSON.stringify({
    width: page.documentElement.clientWidth,
    needed: page.documentElement.scrollWidth,
    figures: page.querySelectorAll("figure").length,
    seen: [...page.querySelectorAll("figure")].filter(shown).length,
    plots: plots.filter((plot) => plot.querySelector(".main-svg")).length,
    cut: plots.filter((plot) => plot.scrollWidth > plot.clientWidth + 1).length,
  });
}, 500);
frame.src = "%s.html";
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or Chrome on the PATH")
@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("kind", ["static", "live"])
def test_a_browser_shows_every_picture_and_no_page_wider_than_the_screen(width, kind, evil, tmp_path):
    (evil / "watch.html").write_text(WATCH % (width, kind), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    options += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000"]
    command = [BROWSER, *options, "--dump-dom", (evil / "watch.html").as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', run.stdout)[1]))
    assert found["width"] == width
    assert found["needed"] <= width
    assert found["seen"] == found["figures"]
    assert found["plots"] == (found["figures"] if kind == "live" else 0)
    assert found["cut"] == 0
