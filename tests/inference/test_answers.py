"""What is remembered of earlier answers."""

from __future__ import annotations

from asteria_tui.events import Predicted
from asteria_tui.inference import answers


def answer(number: int, **more) -> Predicted:
    return Predicted(model="m", status=200, milliseconds=number, **more)


def test_the_newest_answers_come_last_and_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "MAX_BYTES", 20_000)
    for number in range(300):
        answers.remember(tmp_path, answer(number, request_id=f"r{number}"))
    found = answers.recall(tmp_path)
    assert [one.request_id for one in found] == [f"r{number}" for number in range(300 - answers.KEPT, 300)]
    assert (tmp_path / answers.FILE).stat().st_size <= 20_000


def test_a_large_body_is_not_kept(tmp_path):
    answers.remember(tmp_path, answer(1, body="x" * 100_000, size=100_000))
    assert answers.recall(tmp_path)[0].body is None


def test_what_is_damaged_or_missing_is_passed_over(tmp_path):
    assert answers.recall(tmp_path) == []
    answers.remember(tmp_path, answer(1))
    with (tmp_path / answers.FILE).open("ab") as file:
        file.write(b'{"event":"predicted","mod')
    assert len(answers.recall(tmp_path)) == 1
    answers.remember(tmp_path / "nowhere", answer(2))
