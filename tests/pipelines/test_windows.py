"""Windows hold the rows they claim, and are never made of what is missing."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, SeriesTooShort
from pipelines.windows import WindowIndex, WindowSpec, gather, index_windows, make_windows

specs = st.builds(
    WindowSpec,
    lookback=st.integers(1, 7),
    horizon=st.integers(1, 5),
    gap=st.integers(0, 4),
    stride=st.integers(1, 6),
)


@given(spec=specs, spare_rows=st.integers(0, 40))
def test_each_window_holds_the_rows_it_claims(spec, spare_rows):
    rows = np.arange(spec.width + spare_rows)  # every value is its own row number
    x, y = make_windows(rows[:, None], spec)
    starts = rows[: len(rows) - spec.width + 1 : spec.stride]
    np.testing.assert_array_equal(x[..., 0], starts[:, None] + np.arange(spec.lookback))
    first_future = starts + spec.lookback + spec.gap
    np.testing.assert_array_equal(y[..., 0], first_future[:, None] + np.arange(spec.horizon))


@given(spec=specs, missing_rows=st.integers(1, 5))
def test_a_series_one_row_too_short_is_refused_and_the_advice_mends_it(spec, missing_rows):
    rows = spec.width - missing_rows
    if rows < 0:
        return
    with pytest.raises(SeriesTooShort, match=rf"Received: {rows} rows\. Give {missing_rows} more") as refusal:
        make_windows(np.zeros((rows, 1)), spec)
    assert f"needs {spec.width} rows (lookback {spec.lookback} + gap {spec.gap} + horizon {spec.horizon})" in str(
        refusal.value
    )
    x, _ = make_windows(np.zeros((rows + missing_rows, 1)), spec)
    assert len(x) == 1


def test_targets_choose_the_columns_of_the_future_only():
    values = np.arange(10)[:, None] * 10 + np.arange(3)  # row 4, column 2 is 42
    x, y = make_windows(values, WindowSpec(lookback=2, horizon=2), targets=(2, 0))
    assert x.shape == (7, 2, 3)
    assert y[0].tolist() == [[22, 20], [32, 30]]


def test_windows_are_views_of_the_rows_that_nobody_can_write_to():
    values = np.zeros((100, 2))
    x, _ = make_windows(values, WindowSpec(lookback=50))
    assert np.shares_memory(x, values)
    assert not x.flags.writeable


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lookback": 4, "horizon": 2, "gap": 1}, "rows 0..3 predict rows 5..6; next window starts 1 row later"),
        ({"lookback": 1, "horizon": 1, "stride": 3}, "row 0 predicts row 1; next window starts 3 rows later"),
    ],
)
def test_a_window_spec_explains_itself(settings, text):
    assert str(WindowSpec(**settings)) == text


@pytest.mark.parametrize("name", ["lookback", "horizon", "stride"])
def test_lengths_of_zero_are_refused(name):
    with pytest.raises(ConfigError, match=f"`{name}` must be an integer >= 1. Received: 0"):
        WindowSpec(**{name: 0})


@st.composite
def cut_series(draw):
    """Series of random lengths, a part of each, and rows that are missing."""
    counts = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
    offsets = np.cumsum([0, *counts])
    cuts = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in counts]
    firsts, ends = (offsets[:-1] + [cut[i] for cut in cuts] for i in (0, 1))
    flags = st.lists(st.integers(0, 9).map(lambda n: n == 0), min_size=int(offsets[-1]), max_size=int(offsets[-1]))
    return offsets, (firsts, ends), np.array(draw(flags), bool), np.array(draw(flags), bool)


def by_brute_force(offsets, spec, part, bad_past, bad_future, future):
    """The rule as a loop: tries every cutoff of every series."""
    found = []
    for s, (begin, end) in enumerate(itertools.pairwise(offsets)):
        possible = []
        for cutoff in range(begin, end):
            past = range(cutoff - spec.lookback + 1, cutoff + 1)
            ahead = range(cutoff + 1 + spec.gap, cutoff + 1 + spec.gap + spec.horizon)
            if past[0] >= begin and ahead[0] >= part[0][s] and ahead[-1] < part[1][s]:
                possible.append((cutoff, past, ahead))
        for cutoff, past, ahead in possible[:: spec.stride]:
            gone = sum(bool(bad_future[row]) for row in ahead)
            allowed = {"complete": 0, "any": spec.horizon - 1, "none": spec.horizon}[future]
            if not any(bad_past[row] for row in past) and gone <= allowed:
                found.append((cutoff, s))
    return found


@given(spec=specs, cut=cut_series(), future=st.sampled_from(["complete", "any", "none"]))
def test_the_index_finds_the_windows_that_trying_every_row_finds(spec, cut, future):
    offsets, part, bad_past, bad_future = cut
    index = index_windows(offsets, spec, part, bad_past, bad_future, future)
    found = list(zip(index.cutoffs.tolist(), index.series.tolist(), strict=True))
    assert found == by_brute_force(offsets, spec, part, bad_past, bad_future, future)


@given(spec=specs, spare_rows=st.integers(0, 40))
def test_a_batch_by_gather_is_what_make_windows_cuts(spec, spare_rows):
    R = spec.width + spare_rows
    values = np.arange(R * 2).reshape(R, 2)
    index = index_windows(np.array([0, R]), spec, (np.array([0]), np.array([R])))
    x, y = make_windows(values, spec, targets=(0, 1))
    np.testing.assert_array_equal(index.past(values), x)
    np.testing.assert_array_equal(index.future(values), y)
    np.testing.assert_array_equal(index.both(values), np.concatenate([x, y], axis=1))


def test_a_part_of_an_index_is_an_index():
    spec = WindowSpec(lookback=2)
    index = WindowIndex(np.array([3, 5, 7]), np.array([0, 0, 1]), spec)
    part = index[np.array([2, 0])]
    assert (len(part), part.cutoffs.tolist(), part.series.tolist(), part.spec) == (2, [7, 3], [1, 0], spec)
    assert part.past(np.arange(10)[:, None])[..., 0].tolist() == [[6, 7], [2, 3]]


def test_a_gather_reads_a_mapped_file_into_memory(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(20).reshape(10, 2))
    batch = gather(np.load(tmp_path / "rows.npy", mmap_mode="r"), np.array([0, 7]), 3)
    assert batch.tolist() == [[[0, 1], [2, 3], [4, 5]], [[14, 15], [16, 17], [18, 19]]]
