"""Runs are kept, counted from the latest one, and never take more than their share of the disk."""

import pytest

from asteria_tui.errors import ConfigError
from asteria_tui.logs.history import CONSOLE_FILE, JSON_FILE, Log, prune, run_of, runs, start_run


def run_with(history, size, **files):
    run = start_run(history)
    (run.folder / JSON_FILE).write_bytes(b"x" * size)
    return run


def test_runs_are_counted_from_the_latest(tmp_path):
    first, second, third = (run_with(tmp_path, 10) for _ in range(3))
    assert runs(tmp_path) == [first, second, third]
    assert (run_of(tmp_path), run_of(tmp_path, -1), run_of(tmp_path, -2)) == (third, second, first)
    assert run_of(tmp_path, 1) == first
    for number in (-3, 4):
        with pytest.raises(ConfigError, match=str(number)):
            run_of(tmp_path, number)


def test_without_history_there_is_no_run(tmp_path):
    assert runs(tmp_path / "none") == []
    with pytest.raises(ConfigError):
        run_of(tmp_path / "none")


def test_the_oldest_runs_make_room(tmp_path):
    made = [run_with(tmp_path, 100) for _ in range(5)]
    prune(tmp_path, 250)
    assert runs(tmp_path) == made[3:]


def test_a_run_that_is_too_large_loses_its_oldest_parts(tmp_path):
    run = run_with(tmp_path, 100)
    for number in (1, 2):
        (run.folder / f"server.{number}.jsonl").write_bytes(b"x" * 100)
    (run.folder / CONSOLE_FILE).write_bytes(b"x" * 100)
    prune(tmp_path, 250)
    assert (run.folder / JSON_FILE).stat().st_size == 100
    assert run.size <= 250
    prune(tmp_path, 50)
    assert (run.folder / JSON_FILE).exists()
    assert (run.folder / CONSOLE_FILE).stat().st_size == 0


def test_the_logs_of_a_run_are_its_json_parts_and_what_only_the_console_has(tmp_path):
    run = start_run(tmp_path)
    assert run.logs == [Log(run.folder / CONSOLE_FILE)]
    (run.folder / "server.1.jsonl").write_bytes(b"")
    (run.folder / JSON_FILE).write_bytes(b"")
    names = [(log.path.name, log.only) for log in run.logs]
    assert sorted(names) == [(CONSOLE_FILE, "console"), ("server.1.jsonl", None), (JSON_FILE, None)]
    assert names[-1] == (CONSOLE_FILE, "console")
    assert run.folder.stat().st_mode & 0o777 == 0o700
