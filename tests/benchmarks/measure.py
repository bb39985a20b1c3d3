"""Medians of things done side by side, printed as ratios: those of one table compare, those of two do not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Sample:
    """The times that one thing took."""

    label: str
    seconds: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(label: str, call: Callable[[], object], repeats: int = 3) -> Sample:
    """The wall time of each of `repeats` calls."""
    sample = Sample(label)
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        sample.seconds.append(time.perf_counter() - start)
    return sample


def interleaved(calls: dict[str, Callable[[], object]], repeats: int = 3) -> list[Sample]:
    """Each in turn, `repeats` times over, so that a slow moment of the machine hits all alike."""
    samples = {label: Sample(label) for label in calls}
    for _ in range(repeats):
        for label, call in calls.items():
            samples[label].seconds += measure(label, call, 1).seconds
    return list(samples.values())


def print_table(title: str, rows: Sequence[Sample], peer: str) -> None:
    """One line for each row: median, range, count, and how many times `peer` it took."""
    base = next(row.median for row in rows if row.label == peer)
    width = max(len(row.label) for row in rows)
    print(f"\n{title}")
    print(f"  {'':<{width}}  {'median':>10}  {'range':>21}   n  {'x ' + peer:>8}")
    for row in rows:
        low, high = _time(min(row.seconds)), _time(max(row.seconds))
        ratio = f"{row.median / base:.2f}"
        print(
            f"  {row.label:<{width}}  {_time(row.median):>10}  {low:>9} - {high:>9}  {len(row.seconds):>2}"
            f"  {ratio:>8}  {row.note}".rstrip()
        )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
