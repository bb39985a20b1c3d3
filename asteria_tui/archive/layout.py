"""The bytes of a stored zip file, known before anything is written (PKWARE APPNOTE 6.3.10).

Every size and CRC is known, so headers come complete: Java's ZipInputStream, with which TorchServe unpacks,
refuses stored members whose sizes follow in a data descriptor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import msgspec

from asteria_tui.errors import ArchiveError

# From these values on the ZIP64 fields hold the truth (APPNOTE 4.4.1.4).
MAX_16 = 0xFFFF
MAX_32 = 0xFFFFFFFF

STORED = 0
UTF8 = 0x800
DATE_1980_01_01 = 0x21
UNIX = 3
REGULAR_FILE_0644 = 0o100644 << 16
VERSION = 20
VERSION_ZIP64 = 45

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
CENTRAL_HEADER = struct.Struct("<4s2B5H3I5H2I")
END = struct.Struct("<4s4H2IH")
END_ZIP64 = struct.Struct("<4sQ2B H2I4Q")
END_ZIP64_LOCATOR = struct.Struct("<4sIQI")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One member: its name, its content and what the headers say about that."""

    name: str
    content: Path | bytes
    size: int
    crc: int


Piece = Path | bytes


def lay_out(entries: Iterable[Entry]) -> list[Piece]:
    """The whole archive in order: headers as bytes, contents as given, the central directory last.

    Raises:
        ArchiveError: a name is not valid UTF-8.
    """
    pieces: list[Piece] = []
    central: list[bytes] = []
    offset = 0
    for entry in entries:
        name = _encoded(entry.name)
        header = _local_header(entry, name)
        pieces += [header, entry.content]
        central.append(_central_header(entry, name, offset))
        offset += len(header) + entry.size
    directory = b"".join(central)
    pieces.append(directory + _end(len(central), len(directory), offset))
    return pieces


def _encoded(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise ArchiveError(f"the file name {name!r} is not valid UTF-8", hint="rename the file") from error


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else UTF8


def _zip64(*values: int) -> bytes:
    """The ZIP64 extra field for those values that do not fit, or nothing (APPNOTE 4.5.3)."""
    large = [value for value in values if value >= MAX_32]
    return struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""


def _fits(value: int) -> int:
    return value if value < MAX_32 else 0xFFFFFFFF


def _local_header(entry: Entry, name: bytes) -> bytes:
    extra = _zip64(entry.size, entry.size)
    size = _fits(entry.size)
    fixed = LOCAL_HEADER.pack(
        b"PK\x03\x04", VERSION_ZIP64 if extra else VERSION, _flags(name), STORED, 0, DATE_1980_01_01,
        entry.crc, size, size, len(name), len(extra),
    )  # fmt: skip
    return fixed + name + extra


def _central_header(entry: Entry, name: bytes, offset: int) -> bytes:
    extra = _zip64(entry.size, entry.size, offset)
    size = _fits(entry.size)
    version = VERSION_ZIP64 if extra else VERSION
    fixed = CENTRAL_HEADER.pack(
        b"PK\x01\x02", version, UNIX, version, _flags(name), STORED, 0, DATE_1980_01_01,
        entry.crc, size, size, len(name), len(extra), 0, 0, 0, REGULAR_FILE_0644, _fits(offset),
    )  # fmt: skip
    return fixed + name + extra


def _end(count: int, length: int, offset: int) -> bytes:
    end = END.pack(b"PK\x05\x06", 0, 0, *(count if count < MAX_16 else 0xFFFF,) * 2, _fits(length), _fits(offset), 0)
    if count < MAX_16 and length < MAX_32 and offset < MAX_32:
        return end
    record = END_ZIP64.pack(
        b"PK\x06\x06", END_ZIP64.size - 12, VERSION_ZIP64, UNIX, VERSION_ZIP64, 0, 0, count, count, length, offset
    )
    return record + END_ZIP64_LOCATOR.pack(b"PK\x06\x07", 0, offset + length, 1) + end
