"""Splits are cuts in time: nothing of a later part reaches into an earlier one."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.splits import PARTS, SplitSpec, split
from pipelines.windows import WindowSpec, index_windows

fractions = st.tuples(*[st.integers(0, 30)] * 3).map(lambda p: [n / 100 for n in p])


def dated(counts, firsts=None, freq="D"):
    """Series a, b, ... that start some rows after the first date."""
    firsts = firsts or [0] * len(counts)
    days = pd.date_range("2024-01-01", periods=500, freq=freq)
    frames = [
        pd.DataFrame({"unique_id": chr(97 + s), "ds": days[first : first + n], "y": 1.0})
        for s, (n, first) in enumerate(zip(counts, firsts, strict=True))
    ]
    return Panel.from_frame(pd.concat(frames, ignore_index=True), freq=freq)


def counted(counts):
    frame = pd.DataFrame({"unique_id": np.repeat(np.arange(len(counts)), counts), "y": 1.0})
    return Panel.from_frame(frame.assign(ds=frame.groupby("unique_id").cumcount()))


def spec_of(sizes):
    return SplitSpec(**dict(zip(PARTS[1:], sizes, strict=True)))


@given(rows=st.integers(20, 300), sizes=fractions)
def test_one_series_is_cut_into_the_fractions(rows, sizes):
    splits = split(dated([rows]), spec_of(sizes))
    assert splits.bounds[0, 0] == 0
    for part, size in zip(PARTS[1:], sizes, strict=True):
        assert splits.count(part) == pytest.approx(size * rows, abs=1)  # each cut is rounded to a row
    assert sum(splits.count(part) for part in PARTS) == rows


@given(
    counts=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    firsts=st.lists(st.integers(0, 60), min_size=4, max_size=4),
    sizes=fractions,
)
def test_many_series_are_cut_at_one_date(counts, firsts, sizes):
    panel = dated(counts, firsts[: len(counts)])
    cuts = [int(np.sort(panel.ds)[0])]
    try:
        splits = split(panel, spec_of(sizes))
    except DataError:
        assume(False)  # nothing is left for training: a test of its own
    cuts = [np.iinfo(np.int64).min, *(splits.starts[part] for part in PARTS[1:]), np.iinfo(np.int64).max]
    for p, part in enumerate(PARTS):
        first, end = splits.rows(part)
        for s in range(len(counts)):
            ds = panel.ds[panel.rows(s)]
            inside = (ds >= cuts[p]) & (ds < cuts[p + 1])
            assert (end[s] - first[s], first[s]) == (inside.sum(), panel.offsets[s] + (ds < cuts[p]).sum())
    tail = 0.0
    for part, size in reversed(list(zip(PARTS[1:], sizes, strict=True))):
        tail += size
        later = (panel.ds >= splits.starts[part]).sum()  # rows that share the date of the cut are all on one side
        shared = (panel.ds == splits.starts[part]).sum()
        assert tail * len(panel) - 1 <= later <= tail * len(panel) + 1 + shared


@given(counts=st.lists(st.integers(10, 200), min_size=1, max_size=4), sizes=fractions)
def test_integer_stamps_are_cut_at_each_series_own_tail(counts, sizes):
    panel = counted(counts)
    splits = split(panel, spec_of(sizes))
    assert splits.starts is None
    for s, rows in enumerate(counts):
        parts = np.diff(splits.bounds[s])
        assert (splits.bounds[s, 0], splits.bounds[s, 4]) == (panel.offsets[s], panel.offsets[s + 1])
        np.testing.assert_allclose(parts, [rows * (1 - sum(sizes)), *(rows * size for size in sizes)], atol=1)


@given(
    window=st.builds(
        WindowSpec,
        lookback=st.integers(1, 9),
        horizon=st.integers(1, 7),
        gap=st.integers(0, 5),
        stride=st.integers(1, 4),
    ),
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    firsts=st.lists(st.integers(0, 30), min_size=3, max_size=3),
    sizes=fractions,
    integers=st.booleans(),
)
def test_no_window_of_a_part_has_a_future_in_another(window, counts, firsts, sizes, integers):
    panel = counted(counts) if integers else dated(counts, firsts[: len(counts)])
    try:
        splits = split(panel, spec_of(sizes))
    except DataError:
        assume(False)
    seen = set()
    for p, part in enumerate(PARTS):
        index = index_windows(panel.offsets, window, splits.rows(part))
        future = index.future(np.arange(len(panel))[:, None])[..., 0]  # row numbers (N, H)
        for rows, s in zip(future, index.series, strict=True):
            assert (rows >= splits.bounds[s, p]).all()
            assert (rows < splits.bounds[s, p + 1]).all()
            assert not seen.intersection(rows.tolist())
        seen.update(future.ravel().tolist())
        if splits.starts and part == "train" and len(future):
            assert panel.ds[future].max() < splits.starts["validation"]


def test_dates_start_the_parts_and_what_is_not_given_is_empty():
    panel = dated([366, 100])
    splits = split(panel, SplitSpec(validation="2024-03-01", test="2024-04-01 00:00"))
    assert np.diff(splits.bounds).tolist() == [[60, 31, 0, 275], [60, 31, 0, 9]]
    about = splits.describe(panel)
    assert about["validation"] == {"rows": 62, "first": "2024-03-01", "last": "2024-03-31"}
    assert about["calibration"] == {"rows": 0}


def test_dates_are_those_of_the_wall_clock_unless_they_carry_a_zone():
    index = pd.date_range("2024-01-01", periods=10, tz="America/New_York")
    panel = Panel.from_frame(pd.DataFrame({"y": 1.0}, index=index))
    local = split(panel, SplitSpec(validation=0.0, test="2024-01-05"))
    utc = split(panel, SplitSpec(validation=0.0, test="2024-01-05T00:00Z"))
    assert local.starts["test"] == pd.Timestamp("2024-01-05", tz="America/New_York").value
    assert utc.starts["test"] == pd.Timestamp("2024-01-05", tz="UTC").value
    assert (local.count("train"), utc.count("train")) == (4, 4)


def test_a_date_that_yaml_has_read_is_a_date():
    assert SplitSpec(validation=datetime.date(2024, 1, 5), test=datetime.datetime(2024, 2, 1, 12)) == SplitSpec(
        validation="2024-01-05", test="2024-02-01T12:00:00"
    )


def test_integer_stamps_may_be_cut_at_a_stamp():
    splits = split(counted([100, 50]), SplitSpec(validation="40", test="60"))
    assert np.diff(splits.bounds).tolist() == [[40, 20, 0, 40], [40, 10, 0, 0]]


def test_numbers_of_rows_are_counted_from_the_end_of_each_series_that_counts_its_own():
    splits = split(counted([100, 50]), SplitSpec(validation=10, calibration=5, test=20))
    assert np.diff(splits.bounds).tolist() == [[65, 10, 5, 20], [15, 10, 5, 20]]
    short = split(counted([100, 12]), SplitSpec(validation=10, test=8))
    assert np.diff(short.bounds).tolist() == [[82, 10, 0, 8], [0, 4, 0, 8]]


def test_numbers_of_rows_are_dates_that_all_series_share_where_there_are_dates():
    panel = dated([100, 90], firsts=[0, 10])
    splits = split(panel, SplitSpec(validation=10, test=20))
    assert np.diff(splits.bounds).tolist() == [[70, 10, 0, 20], [60, 10, 0, 20]]
    ragged = split(dated([100, 60]), SplitSpec(validation=10, test=20))  # the second ends 40 days earlier
    assert np.diff(ragged.bounds).tolist() == [[70, 10, 0, 20], [60, 0, 0, 0]]
    later = split(dated([105, 90], firsts=[0, 10]), SplitSpec(validation=10, test=20), splits.starts)
    assert later.count("test") == splits.count("test") + 5


def test_nobody_calibrates_unasked_where_rows_are_counted():
    assert SplitSpec(validation=10, test=20).calibration == 0.0
    assert SplitSpec(validation=10, calibration=5, test=20).calibration == 5


@given(sizes=fractions, extra=st.integers(0, 60))
def test_other_rows_are_cut_at_the_stamps_of_the_first(sizes, extra):
    panel = dated([200, 150])
    splits = split(panel, spec_of(sizes))
    longer = split(dated([200 + extra, 150]), starts=splits.starts)
    assert longer.starts == splits.starts
    np.testing.assert_array_equal(np.diff(longer.bounds)[:, :3], np.diff(splits.bounds)[:, :3])
    assert longer.count("test") == splits.count("test") + extra


def test_rows_that_all_lie_after_the_given_starts_are_all_test():
    splits = split(dated([200]), SplitSpec())
    later = split(dated([20], [300]), starts=splits.starts)
    assert np.diff(later.bounds).tolist() == [[0, 0, 0, 20]]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"validation": 1.5}, "`validation` must be a fraction from 0 to below 1.*as text. Received: 1.5"),
        ({"test": -0.1}, "`test` must be a fraction from 0 to below 1.*Received: -0.1"),
        ({"test": -1}, "`test` must be a fraction from 0 to below 1, a whole number of rows.*Received: -1$"),
        ({"test": 1.5}, "`test` must be a fraction from 0 to below 1, a whole number of rows.*Received: 1.5$"),
        ({"validation": 24, "test": 0.2}, "all fractions, all numbers of rows, or all dates.*Received: 24, 0.0, 0.2"),
        ({"validation": 24, "test": "2024-01-01"}, "all fractions, all numbers of rows, or all dates"),
        ({"test": True}, "`test` must be a fraction.*Received: True"),
        ({"test": None}, "`test` must be a fraction.*Received: None"),
        ({"validation": 0.5, "test": 0.5}, "must leave rows for training. Received: 1 in all"),
        (
            {"validation": "2024-01-01"},
            "all fractions, all numbers of rows, or all dates.*Received: '2024-01-01', 0.0, 0.2",
        ),
        ({"tst": 0.1}, "no setting 'tst'. Did you mean 'test'"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        SplitSpec(**sizes)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("panel", "sizes", "message"),
    [
        (
            dated([9]),
            {"test": "soon"},
            "`split.test` must be a fraction, a number of rows, or a date. Received: 'soon'",
        ),
        (dated([9]), {"test": ""}, "`split.test` must be a fraction, a number of rows, or a date. Received: ''"),
        (
            dated([9]),
            {"test": "9999-01-01"},
            "`split.test` must be a fraction, a number of rows, or a date. Received: '9999-01-01'",
        ),
        (counted([9]), {"test": "2024-01-01"}, "an integer stamp, because the series have no dates"),
        (dated([9]), {"validation": "2024-01-05", "test": "2024-01-03"}, "Parts follow each other"),
    ],
)
def test_starts_that_cannot_be_are_refused(panel, sizes, message):
    with pytest.raises(ConfigError, match=message):
        split(panel, SplitSpec(**{"validation": 0.0, **sizes}))


def test_rows_must_be_left_for_training():
    with pytest.raises(DataError, match="Received: 9 rows, none before the first cut"):
        split(dated([9]), SplitSpec(validation="2023-01-01", test="2024-01-05"))


def test_an_unknown_part_is_refused():
    with pytest.raises(
        ConfigError, match=r"`part` must be one of train, validation, calibration, test. Received: 'dev'"
    ):
        split(dated([9])).rows("dev")
