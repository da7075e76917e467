"""Intervals on a device: learned from the errors of the file itself, and the same wherever the file runs.

    the table       what sorting the file's errors by hand gives; streams are fed as streams
    the device      the ends around a forecast are the network's own, where the file is as good as the network
    what is left    levels with too few windows, and why; forecasters without intervals
    several         targets, series, scalings

Errors and units are computed here in a few lines of numpy, from forecasts that `forecast.edge` gives window by window.
"""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast import edge
from forecast.export import _child, converter

L, H = 12, 3
AS_IT_IS = {"max_core_error": 1e9, "max_degradation": 1e9, "windows": 8, "quiet": True}  # however bad the network


@pytest.fixture(scope="module", autouse=True)
def converter_here():
    """Does the converter's work in this process: it saves the seconds that TensorFlow takes to start in another."""

    def convert_here(jobs, folder):
        (folder / "jobs.json").write_text(json.dumps(jobs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _child.main(str(folder / "jobs.json"))
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter, "_run_child", convert_here)
        yield


def waves(rows=400, columns=("y",), seed=0):
    """Hourly sines of a day in noise that grows and falls, around 100."""
    random, t = np.random.default_rng(seed), np.arange(rows)
    noise = random.normal(size=(rows, len(columns))) * (1 + np.sin(t / 60))[:, None]
    values = 100 + 10 * np.sin(2 * np.pi * t[:, None] / 24 + np.arange(len(columns))) + noise
    return pd.DataFrame(values, columns=list(columns), index=pd.date_range("2024-01-01", periods=rows, freq="h"))


def trained(frame, **options):
    split = {"validation": 0.1, "calibration": 0.2, "test": 0.2}
    options = {"target": "y", "split": split, **options}
    network = {"name": "lstm", "units": 8}
    model = forecast.Forecaster(network, lookback=L, horizon=H, training={"epochs": 2}, **options)
    return model.fit(frame, quiet=True)


@pytest.fixture(scope="module")
def one():
    return trained(waves())


@pytest.fixture(scope="module")
def stream():
    return trained(waves(), normalize="none")


@pytest.fixture(scope="module")
def two():
    """Two series of two targets, the second a thousand times as large."""
    columns = ("y", "z")
    parts = [waves(300, columns), 1000 * waves(300, columns, seed=1)]
    frames = [
        part.rename_axis("ds").reset_index().assign(unique_id=name) for part, name in zip(parts, "AB", strict=True)
    ]
    return lambda **options: trained(pd.concat(frames), target=columns, **options)


def part_of(model, part, series=0):
    """Returns the raw windows of a part `(N, L, F)`, what happened after each `(N, H, K)`, and their cutoffs."""
    tested = model.backtest(part=part, levels=())
    mine = tested.index.series == series
    index, raw = tested.index[mine], model.pipeline_.raw(model.panel_)
    windows = np.stack([raw[cutoff - L + 1 : cutoff + 1] for cutoff in index.cutoffs])
    return windows, tested.y_true[mine], index.cutoffs


def unit_of(window, usual):
    """How far the targets of a window moved from row to row; a tenth of what is usual at least."""
    moved = [
        abs(after - before) for before, after in zip(window[:-1, : len(usual)], window[1:, : len(usual)], strict=True)
    ]
    fading = [0.94**age for age in reversed(range(len(moved)))]
    return np.maximum(np.average(moved, axis=0, weights=fading), 0.1 * np.asarray(usual))


def by_hand(errors, level):
    """Returns both offsets of a level from errors in units `(N, H, K)`: the ranks of split conformal prediction."""
    ranked = np.sort(errors, axis=0)
    rank = int((len(ranked) + 1) * (100 - level) / 200 + 1e-9)
    return ranked[rank - 1], ranked[len(ranked) - rank]


def check_table(about, errors):
    table = about["intervals"]
    assert table["levels"] == [80, 95]
    for n, level in enumerate(table["levels"]):
        for side, wanted in zip(("low", "high"), by_hand(errors, level), strict=True):
            np.testing.assert_allclose(table[side][n], wanted, rtol=1e-5, atol=1e-6)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"layout": "fused"}, id="fused"),
        pytest.param({"layout": "step"}, id="step"),
        pytest.param({"layout": "fused", "io": "int8"}, id="io", marks=pytest.mark.slow),
        pytest.param({"layout": "fused", "quantize": "float32"}, id="floats", marks=pytest.mark.slow),
    ],
)
def test_offsets_are_what_sorting_the_errors_of_the_file_by_hand_gives(one, options, tmp_path):
    device = edge.load(one.export(tmp_path / "m.tflite", **options, **AS_IT_IS).path)
    windows, truth, _ = part_of(one, "calibration")
    errors = [
        (y - device.predict(window).values) / unit_of(window, one.intervals_.usual[0])
        for window, y in zip(windows, truth, strict=True)
    ]
    check_table(device.about, np.stack(errors))


@pytest.mark.parametrize("layout", ["fused", pytest.param("step", marks=pytest.mark.slow)])
def test_a_stream_learns_from_a_stream_whose_state_knows_all_rows_before(stream, layout, tmp_path):
    device = edge.load(stream.export(tmp_path / "m.tflite", layout=layout, state="streaming", **AS_IT_IS).path)
    windows, truth, cutoffs = part_of(stream, "calibration")
    raw, answers, errors = stream.pipeline_.raw(stream.panel_), [], []
    for row in windows[0][:-1]:
        device.push(row)
    for cutoff, window, y in zip(cutoffs, windows, truth, strict=True):
        answers.append(device.push(raw[cutoff]))
        errors.append((y - answers[-1].values) / unit_of(window, stream.intervals_.usual[0]))
    assert not any(answer.fallback for answer in answers)
    check_table(device.about, np.stack(errors))
    alone = [device.predict(window).values for window in windows]
    assert np.abs(np.stack(answers) - alone).max() > 0.01  # a window knows less than a stream


def test_intervals_of_a_coarser_file_are_wider_than_those_of_the_network(one, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    real = edge.EdgeModel._run
    monkeypatch.setattr(edge.EdgeModel, "_run", lambda self, rows: real(self, rows) + 5 * random.normal(size=(H, 1)))
    report = one.export(tmp_path / "m.tflite", "float32", layout="fused", **AS_IT_IS).report
    for row in report["intervals"]["levels"]:
        assert row["file_width"] > 1.5 * row["network_width"]
        assert row["file"] > row["level"] - 10


# --- the device -------------------------------------------------------------------------------------------------------


def test_a_file_as_good_as_the_network_has_its_intervals(one, tmp_path):
    report = one.export(tmp_path / "m.tflite", "float32", layout="fused", **AS_IT_IS)
    device, frame = edge.load(report.path), one.predict()
    answer = device.predict(one.pipeline_.raw(one.panel_)[-L:])
    assert list(answer.intervals) == [name for name in frame.columns if name.startswith("y_pred_")]
    for name, ends in answer.intervals.items():
        np.testing.assert_allclose(ends[:, 0], frame[name], rtol=1e-5)
    tested = one.backtest(part="test")
    for row in report.report["intervals"]["levels"]:
        low, high = tested.bands.ends[row["level"]]
        held = 100 * ((low <= tested.y_true) & (tested.y_true <= high)).mean()
        assert row["file"] == pytest.approx(held, abs=0.5)
        assert row["network"] == pytest.approx(held)
        assert row["network_width"] == pytest.approx((high - low).mean())
        assert row["values"] == tested.y_true.size


def test_the_report_tells_how_often_intervals_held_the_truth(one, tmp_path):
    report = one.export(tmp_path / "m_edge", layout="fused", **AS_IT_IS)
    rows = {row["level"]: row for row in report.report["intervals"]["levels"]}
    assert f"80 % held {rows[80]['file']:.1f} % of {rows[80]['values']:,} true values of the test part" in str(report)
    text = (report.folder / "report.md").read_text()
    assert "## Intervals" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| 95 %")]
    shares = [f"{rows[95][who]:.1f} %" for who in ("file", "network")]
    assert [cell.strip() for cell in line.split("|")][2:4] == shares
    assert "kLevelPercent[2] = {80.0f, 95.0f}" in (report.folder / "metadata.h").read_text()


# --- what is left -----------------------------------------------------------------------------------------------------


def test_a_level_that_needs_more_windows_is_left_out_and_the_report_says_why(tmp_path):
    split = {"validation": 0.1, "calibration": 20 / 400, "test": 0.2}
    report = trained(waves(), split=split).export(tmp_path / "m.tflite", layout="fused", **AS_IT_IS)
    device = edge.load(report.path)
    assert device.levels == (80,)
    assert list(device.predict(waves()[-L:]).intervals) == ["y_pred_lo_80", "y_pred_hi_80"]
    (why,) = report.report["left_out"]
    assert why.startswith("intervals of 95 %: they need 39 windows of the calibration part, and there are 18")
    assert f"left out   {why}" in str(report)


def test_without_a_calibration_part_a_file_has_no_intervals_and_nobody_misses_them(tmp_path):
    model = trained(waves(), split={"validation": 0.1, "calibration": 0, "test": 0.2})
    report = model.export(tmp_path / "m.tflite", layout="fused", **AS_IT_IS)
    assert report.report["intervals"] == {}
    assert report.report["left_out"] == []
    answer = edge.load(report.path).predict(waves()[-L:])
    assert answer.intervals == {}
    assert "interval" not in str(report)


def test_rows_without_a_calibration_part_leave_intervals_out(one, tmp_path):
    before = waves().iloc[:240]  # of 400, where validation ends
    report = one.export(tmp_path / "m.tflite", layout="fused", data=before, **AS_IT_IS).report
    assert report["left_out"] == ["intervals: the rows hold no window of the calibration part"]
    assert report["intervals"] == {}


# --- several ----------------------------------------------------------------------------------------------------------


def test_each_series_has_its_own_usual_change_where_the_host_scales(two, tmp_path):
    model = two()
    path = model.export(tmp_path / "m.tflite", layout="fused", io="int8", **AS_IT_IS).path
    usual, errors = dict(zip(model.intervals_.ids, model.intervals_.usual, strict=True)), []
    for number, name in enumerate("AB"):
        device = edge.load(path, series=name)
        windows, truth, _ = part_of(model, "calibration", number)
        for window, y in zip(windows, truth, strict=True):
            errors.append((y - device.predict(window).values) / unit_of(window, usual[name]))
        still = np.tile(windows[0][-1:], (L, 1))  # a window that stands still is as unsure as a tenth of the usual
        answer = device.predict(still)
        offsets = np.array(device.about["intervals"]["low"][0])
        np.testing.assert_allclose(answer.intervals["y_pred_lo_80"], answer.values + 0.1 * usual[name] * offsets)
    check_table(device.about, np.stack(errors))


def test_a_series_that_began_after_training_teaches_nothing_where_each_has_a_scaling_of_its_own(tmp_path):
    frames = [waves(400).rename_axis("ds").reset_index().assign(unique_id=name) for name in "AB"]
    frames[1] = frames[1].iloc[280:]  # of 400, in the middle of calibration
    model = trained(pd.concat([*frames, frames[0].assign(unique_id="C")]))
    path, errors = model.export(tmp_path / "m.tflite", layout="fused", io="int8", **AS_IT_IS).path, []
    assert model.pipeline_.ids_ == ("A", "C")
    for number, name in ((0, "A"), (2, "C")):
        device = edge.load(path, series=name)
        windows, truth, _ = part_of(model, "calibration", number)
        usual = model.intervals_.usual[0]
        errors += [(y - device.predict(w).values) / unit_of(w, usual) for w, y in zip(windows, truth, strict=True)]
    check_table(device.about, np.stack(errors))


def test_one_series_of_several_has_intervals_of_its_own_windows(two, tmp_path):
    model = two()
    device = edge.load(model.export(tmp_path / "m.tflite", layout="fused", series="B", **AS_IT_IS).path)
    windows, truth, _ = part_of(model, "calibration", 1)
    usual = dict(zip(model.intervals_.ids, model.intervals_.usual, strict=True))["B"]
    errors = [(y - device.predict(w).values) / unit_of(w, usual) for w, y in zip(windows, truth, strict=True)]
    check_table(device.about, np.stack(errors))


def test_where_one_scaling_serves_all_the_calmest_series_says_what_is_still(two, tmp_path):
    model = two(scaling={"shared": True})
    device = edge.load(model.export(tmp_path / "m.tflite", layout="fused", **AS_IT_IS).path)
    assert device.about["scaling"]["usual"] == pytest.approx(model.intervals_.usual.min(axis=0))
    errors = []
    for number in range(2):
        windows, truth, _ = part_of(model, "calibration", number)
        usual = model.intervals_.usual.min(axis=0)
        errors += [(y - device.predict(w).values) / unit_of(w, usual) for w, y in zip(windows, truth, strict=True)]
    check_table(device.about, np.stack(errors))
