"""Engines: the same answers to the bit, the same errors, and a worker that dies costs its task another try."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml

from forecast.jobs import engines, run
from forecast.jobs.settings import Engine
from pipelines.errors import ConfigError, DataError, WorkerLost

LAST = "2024-03-03T23:00"
ROOT = Path(__file__).parents[3]
RAY = pytest.param("ray", marks=pytest.mark.slow)  # its package is large: `make test-all` installs it
POOLS = ["spawn", "joblib", "dask", RAY]


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Functions in a module that workers can import; returns that module."""
    (tmp_path / "tasks_of_a_test.py").write_text(
        "import os, signal, pathlib\n"
        "from pipelines.errors import DataError\n"
        "def pid(task):\n"
        "    return task, os.getpid()\n"
        "def refuse(task):\n"
        "    if task == 2:\n"
        "        raise DataError('the third task is refused')\n"
        "    return task\n"
        "def die_once(folder, task):\n"
        "    mark = pathlib.Path(folder, str(task))\n"
        "    if task == 1 and not mark.exists():\n"
        "        mark.touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return task\n"
        "def die(task):\n"
        "    if task == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return task\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    import tasks_of_a_test

    yield tasks_of_a_test
    del sys.modules["tasks_of_a_test"]


@pytest.mark.parametrize("name", POOLS)
def test_an_engine_does_each_task_once_and_elsewhere(name, tasks):
    answers = list(engines.each(tasks.pid, range(6), Engine(name=name, workers=2)))
    assert sorted(task for task, _ in answers) == list(range(6))
    assert os.getpid() not in {pid for _, pid in answers}


@pytest.mark.parametrize("name", ["inline", *POOLS])
def test_an_error_of_a_task_comes_out_as_it_was_raised(name, tasks):
    with pytest.raises(DataError, match=r"^the third task is refused$") as caught:
        list(engines.each(tasks.refuse, range(4), Engine(name=name, workers=2)))
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("name", POOLS)
def test_a_worker_that_dies_costs_its_task_another_try(name, tasks, tmp_path):
    function = partial(tasks.die_once, str(tmp_path))
    assert sorted(engines.each(function, range(5), Engine(name=name, workers=2))) == list(range(5))


@pytest.mark.parametrize("name", POOLS)
def test_workers_that_die_again_and_again_end_the_run(name, tasks):
    with pytest.raises(WorkerLost, match="A worker must live") as caught:
        list(engines.each(tasks.die, range(3), Engine(name=name, workers=2, retries=1)))
    assert caught.value.exit_code == 75


def test_no_tasks_start_no_workers():
    assert list(engines.each(abs, [], Engine(name="spawn"))) == []


def test_an_address_where_nobody_answers_is_named(monkeypatch):
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        engine = Engine(name="dask", address="tcp://127.0.0.1:1")
        with pytest.raises(ConfigError, match=r"`engine.address` must be .* Received: tcp://127.0.0.1:1"):
            list(engines.each(abs, [1], engine))


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_whose_package_is_missing_names_its_extra(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"keras-forecast\[{name}\]"):
        list(engines.each(abs, [1], Engine(name=name)))


def test_an_unknown_engine_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match=r"`name` must be one of .* Did you mean 'spawn'\?"):
        Engine(name="spwan")


@pytest.fixture(scope="session")
def broken_rows(rows):
    """Rows with a series that is constant and one that holds too few, so that every path is compared."""
    frame = rows()
    frame.loc[frame["unique_id"] == "s04", "y"] = 7.0
    return frame[(frame["unique_id"] != "s31") | (frame["ds"] >= "2024-03-03 20:00")]


def results(job, broken_rows, engine):
    outcome = run(job(broken_rows, name=f"by_{engine}", output=f"out_{engine}", engine=engine), LAST)
    tables = [pd.read_parquet(outcome.folder / f"{name}.parquet") for name in ("forecasts", "quarantine")]
    return outcome.about, tables


@pytest.fixture
def inline(job, broken_rows):
    return results(job, broken_rows, "inline")


@pytest.mark.parametrize("name", POOLS)
def test_every_engine_gives_the_forecasts_of_one_process_to_the_bit(name, job, inline, broken_rows):
    about, tables = results(job, broken_rows, name)
    expected_about, expected = inline
    assert about["counts"] == expected_about["counts"] == {**about["counts"], "in": 40, "ok": 38, "quarantined": 2}
    for got, wanted in zip(tables, expected, strict=True):
        columns = [name for name in wanted.columns if name not in ("run_id",)]
        pd.testing.assert_frame_equal(got[columns], wanted[columns], check_exact=True)


@pytest.fixture
def folder(job, broken_rows, tmp_path):
    """A job on a folder of files that hold whole series; returns the path of its file and the folder."""
    path = job()
    parts = tmp_path / "parts"
    for number, ids in enumerate([("s0", "s1"), ("s2",), ("s3",)]):
        (parts / f"bucket={number}").mkdir(parents=True)
        part = broken_rows[broken_rows["unique_id"].str.startswith(ids)]
        part.to_parquet(parts / f"bucket={number}" / "part.parquet", index=False)
    settings = yaml.safe_load(path.read_text())

    def write(**more):
        text = {**settings, "source": "parts/*/part.parquet", "partitioned": True, "output": "parted", **more}
        path.write_text(yaml.safe_dump(text))
        return path

    return write


@pytest.mark.parametrize("engine", ["inline", "spawn"])
def test_a_source_read_in_parts_gives_the_same(engine, folder, inline, monkeypatch):
    monkeypatch.setattr("forecast.jobs.parts.PART_BYTES", 1)
    outcome = run(folder(engine=engine), LAST)
    assert outcome.about["data"]["parts"] == 3
    got, wanted = pd.read_parquet(outcome.folder / "forecasts.parquet"), inline[1][0]
    key = ["unique_id", "step"]
    got, wanted = (table.drop(columns="run_id").sort_values(key, ignore_index=True) for table in (got, wanted))
    pd.testing.assert_frame_equal(got, wanted, rtol=1e-5)  # other shards, so other batches
    assert run(folder(engine=engine), LAST).status == "unchanged"


def test_a_series_in_two_parts_is_refused_by_name(folder, broken_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("forecast.jobs.parts.PART_BYTES", 1)
    path = folder()
    broken_rows[broken_rows["unique_id"] == "s05"].to_parquet(tmp_path / "parts" / "bucket=2" / "part.parquet")
    with pytest.raises(DataError, match=r"whole series where `partitioned` is true. Received: 's05' in several"):
        run(path, LAST)


def test_a_source_that_is_no_folder_cannot_be_read_in_parts(folder):
    with pytest.raises(ConfigError, match="`partitioned` must be left out"):
        run(folder(source="sample:goog"), LAST)


def test_files_without_a_column_of_ids_are_named_by_their_files(folder, broken_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("forecast.jobs.parts.PART_BYTES", 1)
    (tmp_path / "singles").mkdir()
    for name, rows in broken_rows[broken_rows["unique_id"].isin(["s00", "s01"])].groupby("unique_id"):
        rows.drop(columns="unique_id").to_csv(tmp_path / "singles" / f"{name}.csv", index=False)
    outcome = run(folder(source="singles"), LAST)
    assert pd.read_parquet(outcome.folder / "forecasts.parquet")["unique_id"].unique().tolist() == ["s00", "s01"]


def children(pid):
    text = ""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def workers(pid):
    """Returns the processes of a pool below a process."""
    found = []
    for child in children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


@pytest.fixture
def command(job):
    path = job(engine={"name": "spawn", "workers": 2}, shard_size=4)
    process = subprocess.Popen(
        [sys.executable, "-m", "forecast", "job", "run", str(path), "--as-of", LAST],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.communicate()


def wait_for_workers(process):
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if found := workers(process.pid):
            return found
        time.sleep(0.01)
    raise AssertionError("no worker was started")


def test_a_worker_killed_in_the_middle_costs_its_shard_a_retry_not_the_run(command, tmp_path):
    os.kill(wait_for_workers(command)[0], signal.SIGKILL)
    out, error = command.communicate(timeout=120)
    assert command.returncode == 0, error.decode()
    assert b"published nightly" in out
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    assert pd.read_parquet(folder / "forecasts.parquet")["unique_id"].nunique() == 40


def test_workers_end_with_a_run_that_is_killed(command):
    found = wait_for_workers(command)
    command.kill()
    command.wait()
    until = time.monotonic() + 30
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in found):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)
