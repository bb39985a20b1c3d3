"""A writer that rotates as log4j does: `records.jsonl` becomes `.1`, that becomes `.2`, and the oldest is deleted."""

from __future__ import annotations

from pathlib import Path

LINE = '{{"t":1790000000000,"l":"INFO","th":"W-9000-sample_1.0-stdout","lg":"MODEL_LOG","m":"line {}","x":""}}\n'


class Writer:
    def __init__(self, folder: Path, kept: int = 3) -> None:
        self.file = folder / "records.jsonl"
        self.kept = kept
        self.count = 0
        self.append(0)

    def named(self, number: int) -> Path:
        return self.file.with_name(f"{self.file.name}.{number}") if number else self.file

    def append(self, count: int) -> None:
        with self.file.open("a") as file:
            for _ in range(count):
                file.write(LINE.format(self.count))
                self.count += 1

    def roll(self) -> None:
        for number in range(self.kept - 1, -1, -1):
            if self.named(number).exists():
                self.named(number).replace(self.named(number + 1))
        self.append(0)


def numbers(data: bytes) -> list[int]:
    """Which of the writer's lines they are."""
    return [int(line.split(b'"m":"line ')[1].split(b'"')[0]) for line in data.splitlines()]
