"""What unpickling the weights in an archive would import: the verdict of `picklescan`, and nothing is unpickled.

`picklescan` alone reads a .pt in a .mar as one opaque pickle, keeps every opcode in memory and trusts sizes.
So archives in archives are opened here, and it is handed single pickles through a reader with a budget.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, Self, cast

import msgspec

from asteria_tui.archive.budget import Budget, BudgetError, DirectoryGuard
from asteria_tui.archive.files import Progress, reading
from asteria_tui.archive.inspect import BOMB_RATIO, READ_LIMIT, UNREADABLE, manifest_model, refuse_other_formats
from asteria_tui.bounds import open_regular
from asteria_tui.errors import ArchiveError, shortened
from asteria_tui.wording import escaped

# The suffixes that picklescan 1.0 knows; other members are recognised by their first bytes.
SUFFIXES = {
    ".bin", ".ckpt", ".dat", ".data", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".zip",
}  # fmt: skip
ZIP_MAGIC = b"PK\x03\x04"
SEVEN_ZIP_MAGIC = b"7z\xbc\xaf\x27\x1c"
PICKLE_MAGIC = tuple(bytes([0x80, protocol]) for protocol in range(6))
DEPTH = 3
"""Archives in archives: a .pt in a .zip in a .mar."""

BLOB = 64 * 1024
"""Longer strings in a pickle are weights, not names: they are skipped unread."""
PICKLE_BYTES = 64 * 1024 * 1024
"""Of one pickle: picklescan keeps what is in it."""
SETTLE_EVERY = 4096
"""Opcodes between two looks at the budget."""
IMPORT_BY_NAME = b"\x93"
MAX_FINDINGS = 1000
MAX_NAME = 300
"""Of each kind that are kept, and characters of each."""


class DangerousGlobal(msgspec.Struct, frozen=True, kw_only=True):
    member: str
    """`weights.pt/archive/data.pkl`."""
    name: str
    """`os.system`."""


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    scanned: int
    """Pickles looked at."""
    issues: int
    dangerous: tuple[DangerousGlobal, ...]
    suspicious: tuple[DangerousGlobal, ...]
    """Neither known as harmless nor as harmful: classes of your own, for example."""
    errors: tuple[str, ...]
    """Members that could not be looked at, or not to their end: nothing is known about them."""

    @property
    def is_clean(self) -> bool:
        return not self.issues and not self.errors


def scan(path: Path, progress: Progress | None = None) -> ScanReport:
    """Scans every member of the archive that may hold pickles.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    refuse_other_formats(path)
    logger = logging.getLogger("picklescan")
    if not logger.handlers:
        # It would print its findings to stderr; they are in the report.
        logger.addHandler(logging.NullHandler())
    with reading(path), open_regular(path) as file:
        scanner = _Scanner(Budget(os.fstat(file.fileno()).st_size))
        try:
            with zipfile.ZipFile(cast("IO[bytes]", DirectoryGuard(file))) as archive:
                weights = str(manifest_model(archive).get("serializedFile"))
        except UNREADABLE as error:
            raise ArchiveError(f"{path} is truncated or damaged", detail=str(error)) from error
        try:
            scanner.scan_zip(file, "", {weights}, progress)
        except BudgetError as error:
            scanner.fail(f"the rest was not looked at: {error}")
    return scanner.report(path)


class _Verdict(Protocol):
    """What picklescan gives for a global."""

    module: str
    name: str


class _Scanner:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.scanned = 0
        self.issues = 0
        self.found: dict[str, list[DangerousGlobal]] = {"dangerous": [], "suspicious": []}
        self.errors: list[str] = []

    def fail(self, error: str) -> None:
        """Nothing is known about a part."""
        if len(self.errors) < MAX_FINDINGS:
            self.errors.append(escaped(error, 2 * MAX_NAME))

    def report(self, path: Path) -> ScanReport:
        return ScanReport(
            path=path,
            scanned=self.scanned,
            issues=self.issues,
            dangerous=tuple(self.found["dangerous"]),
            suspicious=tuple(self.found["suspicious"]),
            errors=tuple(self.errors),
        )

    def scan_zip(
        self, file: IO[bytes], prefix: str, named: set[object], progress: Progress | None = None, depth: int = 0
    ) -> None:
        """`named` members are scanned whatever they look like."""
        # PyTorch forgives damage that zipfile does not; so does this reader, or damage would hide a pickle.
        from picklescan.relaxed_zipfile import RelaxedZipFile

        try:
            archive = RelaxedZipFile(DirectoryGuard(file))
        except (*UNREADABLE, ArchiveError) as error:
            self.fail(f"{prefix.rstrip('/')}: {error}")
            return
        with archive:
            infos = archive.infolist()
            self._budget.spend("members", len(infos))
            total, done = sum(info.file_size for info in infos), 0
            for info in infos:
                self._budget.check_time()
                try:
                    is_wanted = info.filename in named
                    with _content(archive, info, file, self._budget, is_wanted=is_wanted) as content:
                        if content is not None:
                            self._scan_content(content, prefix + info.filename, depth)
                except (*UNREADABLE, struct.error) as error:
                    self.fail(f"{prefix}{info.filename}: {error}")
                done += info.file_size
                if progress:
                    progress(done, total)

    def _scan_content(self, content: IO[bytes], label: str, depth: int) -> None:
        start = content.read(8)
        content.seek(0)
        if start.startswith(SEVEN_ZIP_MAGIC):
            raise ValueError("7z archives are not looked into")
        if not start.startswith(ZIP_MAGIC):
            self._scan_pickle(content, label, PurePosixPath(label).suffix.lower())
        elif depth < DEPTH:
            self.scan_zip(content, f"{label}/", set(), depth=depth + 1)
        else:
            raise ValueError("too many archives in archives")

    def _scan_pickle(self, content: IO[bytes], label: str, suffix: str) -> None:
        from picklescan import scanner, torch

        self.scanned += 1
        try:
            # Not its `scan_bytes`: a zip file appended to a pickle would make it overlook the pickle.
            is_legacy_torch = torch.get_magic_number(_Frugal(content, self._budget)) == torch.MAGIC_NUMBER
            content.seek(0)
            pickle = _Frugal(content, self._budget)
            if suffix == ".npy":
                look = scanner.scan_numpy
            else:
                look = scanner.scan_pytorch if is_legacy_torch else scanner.scan_pickle_bytes
            result = look(pickle, label)
            pickle.settle()
        # What pickletools and picklescan raise over bytes that are made to mislead them.
        except (scanner.GenOpsError, *UNREADABLE, LookupError, TypeError, AttributeError, ImportError) as error:
            self.fail(f"{label}: {error}")
            return
        if result.scan_err:
            self.fail(f"{label}: broken off in the middle of a pickle")
        self.issues += result.issues_count
        for verdict in sorted(result.globals, key=_full_name):
            known = self.found.get(verdict.safety.value)
            if known is not None and len(known) < MAX_FINDINGS:
                known.append(DangerousGlobal(member=label, name=shortened(_full_name(verdict), MAX_NAME)))


def _full_name(verdict: _Verdict) -> str:
    return f"{verdict.module}.{verdict.name}"


@contextmanager
def _content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: IO[bytes], budget: Budget, *, is_wanted: bool
) -> Iterator[IO[bytes] | None]:
    """What a member holds, in a form that can seek; None where it cannot be a pickle and is not `is_wanted`."""
    # Not is_dir(): it fails on an empty name.
    if info.filename.endswith("/") or not info.file_size:
        yield None
        return
    with archive.open(info) as member:
        start = member.read(8)
        suffix = PurePosixPath(info.filename).suffix.lower()
        if not (is_wanted or suffix in SUFFIXES or start.startswith((ZIP_MAGIC, SEVEN_ZIP_MAGIC, *PICKLE_MAGIC))):
            yield None
        elif info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            yield io.BufferedReader(_Window(file, _start_of(info, file), info.file_size))
        elif info.file_size > max(READ_LIMIT, BOMB_RATIO * info.compress_size):
            raise ValueError(f"unpacks to {info.file_size:,} bytes from {info.compress_size:,}: not unpacked")
        else:
            with tempfile.TemporaryFile(prefix="asteria-") as unpacked:
                unpacked.write(start)
                while block := member.read(READ_LIMIT):
                    budget.spend("bytes when unpacked", len(block))
                    unpacked.write(block)
                unpacked.seek(0)
                yield unpacked


def _start_of(info: zipfile.ZipInfo, file: IO[bytes]) -> int:
    """Where the content begins: behind the local header, which has its own lengths of name and extra field."""
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<2H", file.read(4))
    return info.header_offset + 30 + int(name) + int(extra)


class _Window(io.RawIOBase):
    """A stretch of a file as a file of its own: seeking costs nothing, as it would within a zip member."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # any writable buffer is a memoryview here
        self._file.seek(self._start + self._at)
        data = self._file.read(min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Skipped(bytes):
    """Stands for bytes that were not read: has their length for `pickletools`, which checks it, and no content."""

    def __new__(cls, _length: int) -> Self:
        return super().__new__(cls)

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


class _Frugal:
    """A file for `pickletools` that keeps long strings out of memory and ends a flood of opcodes."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self._opcodes = self._bytes = 0
        self._settled = (0, 0)
        at = file.tell()
        self._size = file.seek(0, io.SEEK_END)
        file.seek(at)

    def read(self, size: int = -1) -> bytes:
        at = self._file.tell()
        if size > BLOB and at + size <= self._size:
            self._count(0)
            self._file.seek(size, io.SEEK_CUR)
            return _Skipped(size)
        return self._count_read(self._file.read(min(size, BLOB) if size >= 0 else BLOB))

    def readline(self) -> bytes:
        return self._count_read(self._file.readline(BLOB))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def settle(self) -> None:
        """Spends what was read since it was last asked to."""
        opcodes, bytes_ = self._settled
        self._settled = (self._opcodes, self._bytes)
        self._budget.spend("opcodes", self._opcodes - opcodes)
        self._budget.spend("bytes of pickles", self._bytes - bytes_)
        self._budget.check_time()

    def _count_read(self, data: bytes) -> bytes:
        self._count(len(data))
        if data == IMPORT_BY_NAME:
            self._budget.spend("imports behind so many opcodes", self._opcodes)
        return data

    def _count(self, size: int) -> None:
        self._opcodes += 1
        self._bytes += size
        if self._bytes > PICKLE_BYTES:
            raise ValueError("more bytes than the names in a pickle have: not looked at to the end")
        if self._budget.error is not None or self._opcodes % SETTLE_EVERY == 0:
            self.settle()
