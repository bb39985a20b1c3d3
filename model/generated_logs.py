"""Generated log streams of a small service, with and without an incident: what the network learns from.

The classes overlap on purpose. Quiet streams hold harmless errors, bursts of a release and now and then a line
that also belongs to an incident; an incident goes on writing ordinary lines and may have begun only a line ago.
Traffic follows the day (UTC): least at midnight, most at noon.
"""

import math
import random
from typing import NamedTuple

from log_encoding import LEVELS, Line

DEBUG, INFO, WARNING, ERROR, FATAL = range(len(LEVELS))
CONTEXT_LINES = 32
"""Lines of a stream before the first step of a window: what the features look back on."""
FIRST_SECOND = 1_767_225_600.0
"""2026-01-01 00:00 UTC; streams begin within the 28 days after it."""
ANOMALOUS_SHARE = 0.25
"""Windows that end in an incident, as a share of all windows."""
HARMLESS_SHARE = 0.08
"""Lines from `HARMLESS`, as a share of the lines that belong to no incident and no release."""

ORDINARY = (
    (INFO, "GET /api/orders/{number} 200 in {small} ms"),
    (INFO, "GET /api/orders/{number} 200 in {small} ms"),
    (INFO, "POST /api/payments 201 in {small} ms user {user}"),
    (INFO, "session opened for user {user} from {address}"),
    (INFO, "session closed for user {user} after {small} s"),
    (INFO, "scheduled job cleanup finished in {small} s"),
    (DEBUG, "cache hit for key order:{number}"),
    (DEBUG, "connection pool has {small} idle connections"),
    (INFO, "message {number} consumed from queue orders"),
    (WARNING, "slow query took {number} ms on table orders"),
    (WARNING, "cache miss for key order:{number}, loading from database"),
)
HARMLESS = (
    (ERROR, "client {address} closed the connection before the response was sent"),
    (ERROR, "POST /api/payments 422 card of user {user} was declined"),
    (WARNING, "retry 1 of 5 for message {number}"),
    (WARNING, "password of user {user} expires in {small} days"),
    (ERROR, "GET /favicon.ico 404 not found"),
)
RELEASE = (
    (INFO, "release {number} rolling out to node {small}"),
    (INFO, "migration {number} applied to table orders in {small} ms"),
    (WARNING, "node {small} draining {small} connections before restart"),
    (INFO, "listening on {address} with {small} threads"),
    (WARNING, "configuration key cache.size is deprecated"),
)
INCIDENTS = (
    (
        (ERROR, "write to /var/lib/orders failed: no space left on device"),
        (FATAL, "database entered read only mode, checkpoint {number} not written"),
        (WARNING, "volume /var/lib is {percent} percent full"),
        (ERROR, "POST /api/payments 500 in {number} ms"),
    ),
    (
        (WARNING, "garbage collection paused all threads for {number} ms"),
        (ERROR, "allocation of {number} bytes failed: out of memory"),
        (FATAL, "worker process {number} killed by the kernel, signal 9"),
        (WARNING, "heap is {percent} percent full after collection"),
    ),
    (
        (ERROR, "connection to {address} timed out after {number} ms"),
        (ERROR, "circuit breaker opened for service inventory"),
        (WARNING, "retry 5 of 5 for message {number}"),
        (ERROR, "GET /api/orders/{number} 503 upstream unavailable"),
    ),
    (
        (WARNING, "authentication failed for user {user} from {address}"),
        (WARNING, "authentication failed for user admin from {address}"),
        (ERROR, "account {user} locked after {small} failed attempts"),
        (INFO, "session opened for user admin from {address}"),
    ),
    (
        (WARNING, "lock on table orders held for {number} s by transaction {number}"),
        (ERROR, "deadlock detected between transactions {number} and {small}"),
        (WARNING, "connection pool exhausted, {small} requests wait"),
        (ERROR, "GET /api/orders/{number} 504 in {number} ms"),
    ),
)
USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")


class Window(NamedTuple):
    """A stream of log lines, oldest first, and whether an incident is under way at its last line."""

    lines: list[Line]
    anomalous: bool


def windows(seed: int, count: int, steps: int) -> list[Window]:
    """Generate `count` windows of `CONTEXT_LINES` + `steps` lines; the same seed gives the same windows."""
    source = random.Random(seed)  # noqa: S311 - generated data, nothing secret
    return [_window(source, steps) for _ in range(count)]


def _window(source: random.Random, steps: int) -> Window:
    length = CONTEXT_LINES + steps
    anomalous = source.random() < ANOMALOUS_SHARE
    onset = length - source.randint(1, steps) if anomalous else length
    incident = source.choice(INCIDENTS)
    incident_share = source.uniform(0.4, 0.95)
    incident_pace = source.choice((0.2, 1.0, 1.0, 4.0))
    stray_share = source.choice((0.0, 0.0, 0.02, 0.1))
    release_share = source.choice((0.0, 0.0, 0.0, 0.6))
    days = source.uniform(0, 28)
    time = FIRST_SECOND + days * 86_400
    pace = 10 ** source.uniform(-1, 0.5) * (1.2 - math.cos(math.tau * days))
    lines = []
    for position in range(length):
        begun = position >= onset
        time += source.expovariate(pace * (incident_pace if begun else 1.0))
        kind = source.random()
        if kind < (incident_share if begun else stray_share):
            level, text = source.choice(incident)
        elif source.random() < release_share:
            level, text = source.choice(RELEASE)
        else:
            level, text = source.choice(HARMLESS if source.random() < HARMLESS_SHARE else ORDINARY)
        lines.append(Line(time, level, _filled(source, text)))
    return Window(lines, anomalous)


def _filled(source: random.Random, text: str) -> str:
    return text.format(
        number=source.randint(100, 99_999),
        small=source.randint(2, 99),
        percent=source.randint(90, 100),
        user=source.choice(USERS),
        address=f"10.0.{source.randint(0, 255)}.{source.randint(1, 254)}",
    )
