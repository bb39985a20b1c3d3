"""CRC-32 of many files and large files on all cores.

A stored zip member carries its CRC in front of its content, so the CRCs come first, in a pass of their own.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asteria_tui.archive.files import Progress, blocks

SEGMENT = 16 * 1024 * 1024
POLYNOMIAL = 0xEDB88320
"""Of CRC-32 in reflected order (ISO 3309, zlib)."""


def crc32_of(paths: Sequence[Path], sizes: Sequence[int], progress: Progress | None = None) -> list[int]:
    """The CRC-32 of each file, `sizes` bytes of it; raises ArchiveError where one cannot be read."""
    segments = [
        (index, start, min(SEGMENT, size - start))
        for index, size in enumerate(sizes)
        for start in range(0, size, SEGMENT)
    ]
    total, done = sum(sizes), 0
    checksums = [0] * len(paths)
    # zlib.crc32 lets go of the GIL, so threads do.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(lambda segment: _crc32_of_segment(paths[segment[0]], *segment[1:]), segments)
        try:
            for (index, _, length), checksum in zip(segments, parts, strict=True):
                checksums[index] = combine(checksums[index], checksum, length)
                done += length
                if progress:
                    progress(done, total)
        finally:
            pool.shutdown(cancel_futures=True)
    return checksums


def combine(first: int, second: int, second_length: int) -> int:
    """The CRC-32 of two pieces joined, from that of each and the length of the second.

    A CRC is a remainder of polynomials over GF(2): appending n bytes multiplies the first by x^(8n).
    The way of zlib's `crc32_combine`, which Python does not offer.
    """
    return _multiply(first, _power_of_x(8 * second_length)) ^ second


def _crc32_of_segment(path: Path, start: int, length: int) -> int:
    checksum = 0
    for block in blocks(path, start, length):
        checksum = zlib.crc32(block, checksum)
    return checksum


def _multiply(a: int, b: int) -> int:
    """The product modulo the polynomial; the highest bit stands for x^0."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product


@functools.lru_cache(maxsize=64)
def _power_of_x(exponent: int) -> int:
    power, square = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        exponent >>= 1
    return power
