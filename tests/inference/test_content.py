"""What a body is."""

from __future__ import annotations

import pytest

from asteria_tui.inference.content import hex_rows, kind_of, parsed, summary


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        ("é\n\t\x1b[0m".encode(), "é\n\t\x1b[0m"),
        (b"NaN", "NaN"),
        (b"", ""),
        ("é".encode("latin-1"), None),
        (b"\x08\x01\x12\x03abc", None),  # a protobuf that happens to be UTF-8
    ],
)
def test_a_body_is_json_text_or_bytes(content, value):
    assert parsed(content) == value


@pytest.mark.parametrize(
    ("content", "declared", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\x00", "text/plain", "PNG image"),
        (b"\xff\xd8\xff\xe0", "", "JPEG image"),
        (b"RIFF\x00\n\x00\x00WEBP", "", "WebP image"),
        (b"\x08\x01", "application/x-protobuf", "application/x-protobuf"),
        (b"\x08\x01", "", "binary"),
    ],
)
def test_its_kind(content, declared, kind):
    assert kind_of(content, declared) == kind


def test_its_head():
    assert summary(b"\x00\x01") == "binary, 2 B, 00 01"
    assert summary(bytes(20)).endswith(f"{'00 ' * 16}…")
    [first, second] = hex_rows(b"\x89PNG" + bytes(14))
    assert first.startswith("00000000  89 50 4e 47 00")
    assert first.endswith("  .PNG............")
    assert second.startswith("00000010  00 00 ")
