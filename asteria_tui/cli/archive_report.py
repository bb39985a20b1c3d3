"""What `inspect` shows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from asteria_tui.archive.inspect import ArchiveReport, inspect
from asteria_tui.archive.scan import ScanReport, scan
from asteria_tui.cli.options import Options
from asteria_tui.cli.render import print_text, print_value
from asteria_tui.errors import ExitCode


def show(archive: Path, options: Options) -> int:
    """Prints both reports; FAILED when the scan found something dangerous."""
    report = inspect(archive)
    found = scan(archive)
    if options.json:
        print_value({**_plain(report), "scan": _plain(found)})
    else:
        _print(report, found)
    return ExitCode.FAILED if found.dangerous else ExitCode.DONE


def _plain(report: ArchiveReport | ScanReport) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in msgspec.structs.asdict(report).items()
    }


def _print(report: ArchiveReport, found: ScanReport) -> None:
    facts = {
        "archive": report.path,
        "model": f"{report.model_name or '?'} {report.version or ''}".strip(),
        "entry point": report.entry_point or "?",
        "size": f"{report.size:,} bytes",
        "SHA-256": report.sha256,
    }
    for name, value in facts.items():
        print_text(f"{name:<12} {value}")
    for member in report.members:
        packed = "stored" if member.is_stored else f"deflated to {member.compressed_size:,}"
        print_text(f"  {member.size:>14,}  {member.crc:08x}  {packed:<9} {member.name}")
    print_text("manifest     " + msgspec.json.encode(report.manifest).decode())
    dangerous = "".join(f"\n  DANGEROUS {one.name} in {one.member}" for one in found.dangerous)
    suspicious = "".join(f"\n  unknown {one.name} in {one.member}" for one in found.suspicious)
    unread = "".join(f"\n  not read: {error}" for error in found.errors)
    print_text(f"pickle scan  {found.scanned} scanned, {found.issues} dangerous{dangerous}{suspicious}{unread}")
    for warning in report.warnings:
        print_text(f"warning      {warning}")
