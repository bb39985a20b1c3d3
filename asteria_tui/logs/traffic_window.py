"""What the last minute of requests was like, second by second, in figures as people read them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import msgspec

from asteria_tui.events import ModelTraffic, TrafficChanged
from asteria_tui.logs.traffic import MODELS_KEPT, Request

SECONDS = 60
RATE_SECONDS = 5
"""Seconds that the rate is the mean of: long enough to be read, short enough to be now."""
METRICS_SHOWN = 5
_PER_E = 100
"""Latencies are counted by steps of one part in a hundred: a window has the same size however many requests come."""
_EXACT_BELOW = 10
_NANOSECONDS = 1_000_000


class _Second(msgspec.Struct, gc=False):
    number: int
    """Seconds since the epoch."""
    count: int = 0
    failures: int = 0
    latencies: Counter[int] = msgspec.field(default_factory=Counter)


class TrafficWindow:
    """Counts the requests to each model by whole seconds, of which the current one is not shown yet."""

    def __init__(self) -> None:
        self._models: dict[str, deque[_Second]] = {}

    def add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            if not request.model:
                continue
            seconds = self._models.get(request.model)
            if seconds is None:
                if len(self._models) >= MODELS_KEPT:
                    continue
                seconds = self._models[request.model] = deque(maxlen=SECONDS + 1)
            number = int(request.at)
            if not seconds or number > seconds[-1].number:
                seconds.append(_Second(number))
            # Lines are only roughly in order: one that is late counts to the second that is open.
            second = seconds[-1]
            second.count += 1
            second.failures += not request.is_good
            second.latencies[_step(request.total_ns)] += 1

    def shown(self, now: float, waiting: Mapping[str, int], metrics: Mapping[str, tuple[float, str]]) -> TrafficChanged:
        """The minute before the second that `now` lies in; models without a request in it are left out."""
        end = int(now)
        models = []
        for name, seconds in self._models.items():
            while seconds and seconds[0].number < end - SECONDS:
                seconds.popleft()
            of_model = {second.number: second for second in seconds if second.number < end}
            if of_model:
                models.append(_model(name, of_model, end, waiting.get(name, 0)))
        named = tuple((name, *metrics[name]) for name in list(metrics)[:METRICS_SHOWN])
        return TrafficChanged(
            at=now, models=tuple(models), metrics=tuple((name, rounded(value), unit) for name, value, unit in named)
        )


def _model(name: str, seconds: Mapping[int, _Second], end: int, waiting: int) -> ModelTraffic:
    minute = [seconds.get(number) for number in range(end - SECONDS, end)]
    steps: Counter[int] = Counter()
    for second in seconds.values():
        steps.update(second.latencies)
    return ModelTraffic(
        model=name,
        per_second=rounded(sum(second.count for second in minute[-RATE_SECONDS:] if second) / RATE_SECONDS),
        p50=_percentile(steps, 0.5),
        p95=_percentile(steps, 0.95),
        requests=steps.total(),
        failures=sum(second.failures for second in seconds.values()),
        waiting=waiting,
        counts=tuple(second.count if second else 0 for second in minute),
        latencies=tuple(_percentile(second.latencies, 0.5) if second else 0.0 for second in minute),
        failed=tuple(second.failures if second else 0 for second in minute),
    )


def rounded(value: float) -> float:
    """As exact as it is shown: whole from 10 on, else one digit behind the point, of less than 1 two."""
    if not math.isfinite(value) or abs(value) >= _EXACT_BELOW:
        return round(value) if math.isfinite(value) else value
    return round(value, 1 if abs(value) >= 1 else 2)


def _step(nanoseconds: int) -> int:
    return round(math.log(max(1, nanoseconds)) * _PER_E)


def _percentile(steps: Counter[int], share: float) -> float:
    """In milliseconds, to half of a hundredth."""
    wanted = max(1, math.ceil(steps.total() * share))
    for step in sorted(steps):
        wanted -= steps[step]
        if wanted <= 0:
            return rounded(math.exp(step / _PER_E) / _NANOSECONDS)
    return 0.0
