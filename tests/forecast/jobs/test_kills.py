"""SIGKILL, for real: whenever it comes, the last output is there, and the next run completes.

The process that is killed reads, checks, writes, publishes and points as any run does. But for one test its shards come
from a run that was finished before, so that it need not load TensorFlow.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.jobs import current, run

ROOT = Path(__file__).parents[3]
BEFORE, LAST = "2024-03-03T22:00", "2024-03-03T23:00"

# Kills itself when a path that ends in a text is about to be put in its place, or is half written.
PROGRAM = """
import fnmatch, os, signal, sys
job, as_of, finished, ending, how = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def deadly(move):
    def moved(source, target, **options):
        meant = fnmatch.fnmatch(str(target), "*" + ending)
        if how == "before" and meant:
            die()
        move(source, target, **options)
        if how == "after" and meant:
            die()
    return moved

os.replace, os.rename = deadly(os.replace), deadly(os.rename)

from forecast.jobs import run
from forecast.jobs import output

if how == "inside":
    writer = output.pq.ParquetWriter
    class Half(writer):
        def write_table(self, table, *more, **options):
            super().write_table(table, *more, **options)
            if str(self.where).endswith(ending):
                die()
    output.pq.ParquetWriter = Half

if finished:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from forecast.jobs import scoring, work
    table = pq.read_table(finished)

    def forecasts(shard, bundle):
        part = table.filter(pc.is_in(table["unique_id"], pa.array(list(shard.ids))))
        part = part.set_column(part.schema.get_field_index("run_id"), "run_id", pa.array([shard.run_id] * len(part)))
        return part.replace_schema_metadata({b"failed": b"[]", b"series": scoring._names(shard.ids)})

    scoring.forecasts = forecasts
    work.Held.model = None
run(job, as_of)
"""


def start(job, finished="", ending="", how="never"):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", PROGRAM, str(job), LAST, str(finished), ending, how]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE)


def finish(process):
    error = process.communicate(timeout=120)[1]
    return process.returncode, error.decode()


@pytest.fixture
def night(job, tmp_path):
    """A job that published last night, and the forecasts of tonight by a run that nobody killed."""
    reference = run(job(name="reference", output="reference", levels=[80]), LAST)
    path = job(levels=[80], shard_size=10, sinks=[{"sqlite": "out.db"}])
    before = run(path, BEFORE)
    return (
        path,
        reference.folder / "forecasts.parquet",
        before.folder,
        pd.read_parquet(before.folder / "forecasts.parquet"),
    )


def check(night, out):
    """Looks what readers see now, then completes tonight's run and compares it with the one that nobody killed."""
    path, finished, before, table = night
    now = current(out)
    seen = pd.read_parquet(now / "forecasts.parquet")
    if now == before:
        pd.testing.assert_frame_equal(seen, table)
    else:
        same(seen, pd.read_parquet(finished))
    outcome = run(path, LAST)
    assert current(out) == outcome.folder
    same(pd.read_parquet(outcome.folder / "forecasts.parquet"), pd.read_parquet(finished))
    assert sorted(one.name for one in (out / "runs").iterdir()) == sorted([before.name, outcome.folder.name])
    assert not [one for one in (out / ".work").iterdir() if one.name.startswith("2024")]
    assert in_database(out.parent / "out.db") == {"20240303T22": 120, "20240303T23": 120}
    assert run(path, LAST).status == "unchanged"
    return outcome


def same(got, expected):
    key = ["unique_id", "target", "step"]
    assert not got.duplicated(key).any()
    pd.testing.assert_frame_equal(got.drop(columns="run_id"), expected.drop(columns="run_id"), rtol=1e-5)


def in_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT as_of, count(*) FROM forecasts GROUP BY 1").fetchall()
    return {as_of[:13].replace("-", ""): count for as_of, count in rows}


@pytest.mark.parametrize(
    ("ending", "how", "status", "reused"),
    [
        ("shard-00001.parquet", "before", "published", 1),
        ("shard-00002.parquet", "after", "published", 3),
        ("forecasts.parquet", "inside", "published", 4),
        ("run.json", "before", "published", 4),
        ("run.json", "after", "published", 4),  # before the rename
        ("/runs/20240303T230000Z-????????????????", "after", "unchanged", 0),  # the rename itself
        ("CURRENT", "before", "unchanged", 0),
        ("CURRENT", "after", "unchanged", 0),
    ],
)
def test_a_kill_leaves_the_last_output_and_the_next_run_goes_on(night, tmp_path, ending, how, status, reused):
    path, finished, before, _ = night
    code, error = finish(start(path, finished, ending, how))
    assert code == -signal.SIGKILL, error
    assert (current(tmp_path / "out") == before) == ((ending, how) != ("CURRENT", "after"))
    outcome = check(night, tmp_path / "out")
    assert outcome.status == status
    assert outcome.about["shards"]["reused"] == reused


def test_a_kill_of_a_real_run_between_two_shards_does_not_cost_the_first(night, tmp_path):
    path, _, before, _ = night
    code, error = finish(start(path, "", "shard-00001.parquet", "after"))
    assert code == -signal.SIGKILL, error
    assert current(tmp_path / "out") == before
    assert check(night, tmp_path / "out").about["shards"] == {"all": 4, "reused": 2}


def test_of_processes_that_start_at_once_one_publishes_and_no_other_disturbs_it(night, tmp_path):
    path, finished, _, _ = night
    ends = [finish(process) for process in [start(path, finished) for _ in range(3)]]
    assert any(code == 0 for code, _ in ends), ends
    assert all(code == 0 or "Locked: One run at a time" in error for code, error in ends), ends
    assert check(night, tmp_path / "out").status == "unchanged"


@pytest.mark.slow
def test_thirty_kills_at_random_moments(night, tmp_path):
    path, finished, _, _ = night
    out, random = tmp_path / "out", np.random.default_rng(0)
    shutil.copytree(out, tmp_path / "evening")
    begun = time.perf_counter()
    assert finish(start(path, finished))[0] == 0
    whole, killed = time.perf_counter() - begun, 0
    for share in random.uniform(0.2, 1.0, 30):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "evening", out)
        process = start(path, finished)
        time.sleep(share * whole)
        process.kill()
        killed += finish(process)[0] == -signal.SIGKILL
        check(night, out)
    assert killed > 10
