"""What `inspect` shows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from asteria_tui.archive.inspect import ArchiveReport, Member, inspect
from asteria_tui.archive.scan import ScanReport, scan
from asteria_tui.cli.options import Options
from asteria_tui.cli.render import print_text, print_value
from asteria_tui.errors import ExitCode, shortened
from asteria_tui.events import encode
from asteria_tui.wording import escaped

MAX_SHOWN = 500
"""Members, and findings of each kind, that are listed for people; --json has all."""
MAX_MANIFEST = 10_000
"""Characters."""


def show(archive: Path, options: Options) -> int:
    """Prints both reports; FAILED when the scan found something dangerous."""
    report = inspect(archive)
    found = scan(archive)
    if options.json:
        print_value({**_plain(report), "scan": _plain(found)})
    else:
        print_text("\n".join(_lines(report, found)))
    return ExitCode.FAILED if found.dangerous else ExitCode.DONE


def _plain(report: ArchiveReport | ScanReport) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in msgspec.structs.asdict(report).items()
    }


def _lines(report: ArchiveReport, found: ScanReport) -> list[str]:
    """Each name of others in one line of its own."""
    facts = {
        "archive": escaped(str(report.path), MAX_MANIFEST),
        "model": f"{escaped(report.model_name or '?')} {escaped(report.version or '')}".strip(),
        "entry point": escaped(report.entry_point) or "?",
        "size": f"{report.size:,} bytes",
        "SHA-256": report.sha256,
    }
    return [
        *(f"{name:<12} {value}" for name, value in facts.items()),
        *_some(list(map(_member, report.members))),
        "manifest     " + shortened(encode(report.manifest).decode(), MAX_MANIFEST),
        f"pickle scan  {found.scanned} scanned, {found.issues} dangerous",
        *_some([f"  DANGEROUS {escaped(one.name)} in {escaped(one.member)}" for one in found.dangerous]),
        *_some([f"  unknown {escaped(one.name)} in {escaped(one.member)}" for one in found.suspicious]),
        *_some([f"  not read: {escaped(error)}" for error in found.errors]),
        *(f"warning      {warning}" for warning in report.warnings),
    ]


def _member(member: Member) -> str:
    packed = "stored" if member.is_stored else f"deflated to {member.compressed_size:,}"
    return f"  {member.size:>14,}  {member.crc:08x}  {packed:<9} {escaped(member.name)}"


def _some(lines: list[str]) -> list[str]:
    more = [f"  … and {len(lines) - MAX_SHOWN:,} more"] if len(lines) > MAX_SHOWN else []
    return lines[:MAX_SHOWN] + more
