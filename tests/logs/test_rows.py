"""Whatever happens to the files, the rows are the lines of all parts in order, and a row keeps its number and place."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.logs import index, search
from asteria_tui.logs import rows as module
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.rows import LogRows

LINE = '{{"t":1790000000000,"l":"INFO","th":"W-9000-sample_1.0-stdout","lg":"MODEL_LOG","m":"{}","x":""}}\n'
KEPT = 3
STEPS = st.lists(
    st.integers(1, 40) | st.sampled_from(["roll", "roll", "truncate", "delete", "look", "look", "half a line"]),
    max_size=30,
)


class Writer:
    """What log4j does to its files, and what people and `prune` do to them."""

    def __init__(self, folder):
        self.file = folder / "records.jsonl"
        self.count = 0
        self.parts = [[]]
        self.append(0)

    def named(self, number):
        return self.file.with_name(f"{self.file.name}.{number}") if number else self.file

    def append(self, count):
        with self.file.open("a") as file:
            for _ in range(count):
                self.count += 1
                self.parts[0].append(f"line {self.count} {'x' * (self.count % 90)}")
                file.write(LINE.format(self.parts[0][-1]))

    def half_a_line(self):
        """A line in two writes: a look may come in between, but no roll."""
        self.append(1)
        size = self.file.stat().st_size
        end = self.file.read_bytes()[size - 20 :]
        os.truncate(self.file, size - 20)
        yield
        with self.file.open("ab") as file:
            file.write(end)

    def roll(self):
        for number in range(min(KEPT, len(self.parts)) - 1, -1, -1):
            self.named(number).replace(self.named(number + 1))
        self.parts = [[], *self.parts][: KEPT + 1]
        self.append(0)

    def delete(self):
        if len(self.parts) > 1:
            self.named(len(self.parts) - 1).unlink()
            self.parts.pop()

    def truncate(self):
        os.truncate(self.file, 0)
        self.parts[0] = []

    @property
    def lines(self):
        return [line for part in reversed(self.parts) for line in part]


class Reader:
    """Looks, and checks what each look says of itself."""

    def __init__(self, file, filter_):
        self.rows = LogRows(file, filter_)
        self.count, self.keys = 0, {}

    def look(self):
        kept = {row: self.rows.key(row) for row in {0, self.count // 2, self.count - 1} if 0 <= row < self.count}
        change = self.rows.refresh()
        self.count = change.before + change.after + (0 if change.is_new else self.count)
        assert len(self.rows) == self.count
        if not change.is_new:
            for row, key in kept.items():
                assert row + change.before < 0 or self.rows.key(row + change.before) == key
        return bool(change) or not self.rows.is_complete

    def texts(self):
        while self.look():
            pass
        assert self.rows.is_complete
        keys = [self.rows.key(row) for row in range(len(self.rows))]
        assert keys == sorted(set(keys))
        return [self.rows.record(row).text for row in range(len(self.rows))]


@pytest.mark.parametrize(
    "filter_", [Filter(), Filter(sources=frozenset({"worker"})), Filter(grep="[02468] ")], ids=repr
)
@given(before=STEPS, after=STEPS)
@settings(deadline=None)
def test_rows_are_the_lines_of_all_parts(tmp_path_factory, filter_, before, after):
    writer = Writer(tmp_path_factory.mktemp("log"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "CHUNK", 1000)
        patch.setattr(index, "PIECE", 500)
        patch.setattr(search, "PIECE", 500)
        patch.setattr(module, "STEP", 300)
        reader = None
        for step in [*before, None, *after]:
            if isinstance(step, int):
                writer.append(step)
            elif step is None:
                reader = Reader(writer.file, filter_)
            elif step == "half a line":
                for _ in writer.half_a_line():
                    if reader:
                        reader.look()
            elif step != "look":
                getattr(writer, step)()
            # A file that grew again until the next look cannot be told from one that was never cut.
            if reader and step in {"look", "truncate"}:
                reader.look()
        wanted = [line for line in writer.lines if not filter_.grep or int(line.split()[1]) % 2 == 0]
        assert reader.texts() == wanted
        reader.rows.close()


def test_the_space_of_a_deleted_part_is_given_back(tmp_path):
    writer = Writer(tmp_path)
    reader = Reader(writer.file, Filter())
    open_before = len([*Path("/dev/fd").iterdir()])
    for _ in range(20):
        writer.append(10)
        reader.look()
        writer.roll()
    assert reader.texts() == writer.lines
    assert len([*Path("/dev/fd").iterdir()]) == open_before + KEPT


def test_another_run_is_another_log(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    current = tmp_path / "logs"
    current.symlink_to(tmp_path / "first")
    first = Writer(tmp_path / "first")
    first.append(5)
    first.roll()
    reader = Reader(current / "records.jsonl", Filter())
    assert reader.texts() == first.lines
    second = Writer(tmp_path / "second")
    second.append(3)
    second.roll()
    current.unlink()
    current.symlink_to(tmp_path / "second")
    assert reader.texts() == second.lines


def test_each_line_of_a_record_is_a_row_of_its_own(tmp_path):
    file = tmp_path / "console.log"
    lines = [
        "2026-01-02T03:04:05,678 [ERROR] main org.pytorch.serve.ModelServer - boom",
        "java.lang.IllegalStateException: boom",
        "\tat a.b.C(C.java:1)",
        "2026-01-02T03:04:06,678 [INFO ] main org.pytorch.serve.ModelServer - after",
    ]
    file.write_text("".join(f"{line}\n" for line in lines))
    rows = LogRows(file, Filter())
    while not rows.is_complete:
        rows.refresh()
    assert [rows.record(row).text for row in range(len(rows))] == ["boom", *lines[1:3], "after"]
    assert {rows.record(row).level for row in range(3)} == {"ERROR"}
    assert {rows.full_record(row).text for row in range(3)} == {"\n".join(["boom", *lines[1:3]])}
    rows.close()
