"""Runs are kept, counted from the latest one, and never take more than their share of the disk."""

import pytest

from asteria_tui.errors import ConfigError
from asteria_tui.logs.history import CONSOLE_FILE, RECORDS_FILE, Log, prune, run_of, runs, shown_log, start_run


def run_with(history, size):
    run = start_run(history.parent)
    (run.folder / RECORDS_FILE).write_bytes(b"x" * size)
    return run


def test_runs_are_counted_from_the_latest(tmp_path):
    first, second, third = (run_with(tmp_path / "history", 10) for _ in range(3))
    assert runs(tmp_path / "history") == [first, second, third]
    assert (run_of(tmp_path / "history"), run_of(tmp_path / "history", -1), run_of(tmp_path / "history", -2)) == (
        third,
        second,
        first,
    )
    assert run_of(tmp_path / "history", 1) == first
    for number in (-3, 4):
        with pytest.raises(ConfigError, match=str(number)):
            run_of(tmp_path / "history", number)


def test_without_history_there_is_no_run(tmp_path):
    assert runs(tmp_path / "none") == []
    with pytest.raises(ConfigError):
        run_of(tmp_path / "none")


def test_the_oldest_runs_make_room(tmp_path):
    made = [run_with(tmp_path / "history", 100) for _ in range(5)]
    prune(tmp_path, made[-1], 250)
    assert runs(tmp_path / "history") == made[3:]


def test_a_run_that_is_too_large_loses_its_oldest_parts(tmp_path):
    run = run_with(tmp_path / "history", 100)
    for number in (1, 2):
        (run.folder / f"{RECORDS_FILE}.{number}").write_bytes(b"x" * 100)
    (run.folder / CONSOLE_FILE).write_bytes(b"x" * 100)
    prune(tmp_path, run, 250)
    assert (run.folder / RECORDS_FILE).stat().st_size == 100
    assert run.size <= 250
    prune(tmp_path, run, 50)
    assert (run.folder / RECORDS_FILE).exists()
    assert (run.folder / CONSOLE_FILE).stat().st_size == 0


def test_the_logs_of_a_run_are_its_json_parts_and_what_only_the_console_has(tmp_path):
    current = tmp_path / "server/logs"
    current.mkdir(parents=True)
    (current / "stale").touch()
    run = start_run(tmp_path)
    assert run.logs == [Log(run.folder / CONSOLE_FILE)]
    for name in (RECORDS_FILE, f"{RECORDS_FILE}.1", f"{RECORDS_FILE}.2", f"{RECORDS_FILE}.10"):
        (current / name).touch()
    names = [(log.path.name.removeprefix(RECORDS_FILE), log.only) for log in run.logs]
    assert names == [(".10", None), (".2", None), (".1", None), ("", None), (CONSOLE_FILE, "console")]
    assert run.folder.stat().st_mode & 0o777 == 0o700
    again = start_run(tmp_path)
    assert current.resolve() == again.folder
    assert runs(tmp_path / "history") == [run, again]


def test_the_console_is_shown_only_where_there_are_no_records(tmp_path):
    records, console = tmp_path / RECORDS_FILE, tmp_path / CONSOLE_FILE
    assert shown_log(tmp_path) == records
    console.write_bytes(b"java not found\n")
    assert shown_log(tmp_path) == console
    records.touch()
    assert shown_log(tmp_path) == console
    tmp_path.joinpath(f"{RECORDS_FILE}.1").touch()
    assert shown_log(tmp_path) == records
