"""The log on the screen: followed, filtered, searched, scrolled, copied."""

from __future__ import annotations

from textual.geometry import Region
from textual.selection import Offset, Selection
from textual.theme import BUILTIN_THEMES
from textual.widgets import Input

from asteria_tui.tui.widgets.link import Link
from asteria_tui.tui.widgets.log_line import GLYPH_AT
from tests.logs.rotating import Writer
from tests.tui.conftest import NOW, RECORD, RUNNING, settle, write_log

LOG_LINE = RECORD.format(
    at=int(NOW * 1000), level="INFO", thread="W-9000-sample_1.0-stdout", logger="MODEL_LOG", text="TEXT"
)


def _texts(pilot):
    view = pilot.app.workbench.logs.view
    return [view.render_line(y).text for y in range(view.scrollable_content_region.height)]


async def test_it_follows_and_stops_when_the_reader_leaves_the_end(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", "up", "up")
        await pilot.pause()
        assert not panel.view.is_following
        write_log(session.project, 7)
        await settle(pilot)
        assert "+7 new" in str(panel.border_subtitle)
        assert panel.view.current.text.startswith("request 00057")
        await pilot.press("f")
        await settle(pilot)
        assert panel.view.is_following
        assert panel.view.current.text.startswith("request 00006")
        assert "new" not in str(panel.border_subtitle)


async def test_the_wheel_stops_following_too(opened, session):
    write_log(session.project, 200)
    async with opened() as pilot:
        view = pilot.app.workbench.logs.view
        view.scroll_relative(y=-5, animate=False, immediate=True)
        await pilot.pause()
        assert not view.is_following
        view.scroll_end(animate=False, immediate=True)
        await pilot.pause()
        assert view.is_following


async def test_a_filter_shows_what_matches_and_escape_everything(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("slash", *"0003")
        await settle(pilot)
        assert len(panel.rows) == 11
        assert "11 of 60" in str(panel.border_subtitle)
        pilot.app.screen.query_one(Input).value = "!0003"
        await settle(pilot)
        assert len(panel.rows) == 49
        await pilot.press("escape")
        await settle(pilot)
        assert len(panel.rows) == 60


async def test_a_pattern_that_is_none_is_marked_and_changes_nothing(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("slash")
        pilot.app.screen.query_one(Input).value = "request ["
        await settle(pilot)
        assert pilot.app.screen.query_one(Input).has_class("-wrong")
        assert len(panel.rows) == 60


async def test_find_leaves_the_other_records_in_sight_and_counts(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", "ctrl+f", *"0003")
        await settle(pilot)
        assert len(panel.rows) == 60
        assert panel.view.current.text.startswith("request 00039")
        assert "11 of 11 found" in str(panel.border_subtitle)
        assert not panel.view.is_following
        marked = [segment.text for segment in panel.view._strip(39) if segment.style.bold]
        assert marked == ["0003"]
        await pilot.press("enter", "N", "N")
        assert panel.view.current.text.startswith("request 00037")
        assert "9 of 11 found" in str(panel.border_subtitle)
        await pilot.press("n", "n", "n")
        assert panel.view.current.text.startswith("request 00003")
        assert "1 of 11 found, wrapped around" in str(panel.border_subtitle)
        await pilot.press("N")
        assert "11 of 11 found, wrapped around" in str(panel.border_subtitle)
        await pilot.press("N")
        assert "10 of 11 found ·" in f"{panel.border_subtitle} ·"
        await pilot.press("escape")
        await settle(pilot)
        assert "found" not in str(panel.border_subtitle)
        assert panel.view.pattern == ""


async def test_find_begins_where_the_reader_is_for_each_letter(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", *["up"] * 20, "ctrl+f", *"000")
        await settle(pilot)
        assert panel.view.cursor == 39
        await pilot.press("2")
        await settle(pilot)
        assert panel.view.cursor == 29
        await pilot.press("backspace")
        await settle(pilot)
        assert panel.view.cursor == 39
        await pilot.press(*"59")
        await settle(pilot)
        assert panel.view.cursor == 59
        await pilot.press("x")
        await settle(pilot)
        assert "no match" in str(panel.border_subtitle)


async def test_tab_turns_a_filter_into_find_and_back(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("slash", *"00042")
        await settle(pilot)
        assert len(panel.rows) == 1
        await pilot.press("tab")
        await settle(pilot)
        assert len(panel.rows) == 60
        assert panel.view.cursor == 42
        assert str(panel.query_one("#chip-find").content) == "find 00042"
        await pilot.press("tab")
        await settle(pilot)
        assert len(panel.rows) == 1
        assert panel.rows.found is None


async def test_find_works_behind_a_filter_and_takes_what_is_no_pattern_as_text(opened, session):
    extra = RECORD.format(at=int(NOW * 1000), level="ERROR", thread="main", logger="x", text="a [b of 0005")
    write_log(session.project, extra=extra)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", "l", "l", "ctrl+f", *"[b")
        await settle(pilot)
        assert len(panel.rows) == 7
        assert "1 of 1 found" in str(panel.border_subtitle)
        assert panel.view.cursor == 6
        write_log(session.project, 0, extra=extra)
        await settle(pilot)
        assert "2 of 2 found" in str(panel.border_subtitle)
        await pilot.press("enter", "l")
        await settle(pilot)
        assert len(panel.rows) == 5
        assert "2 found" in str(panel.border_subtitle)


async def test_a_match_that_is_not_known_yet_is_gone_to_when_it_is(opened, session, monkeypatch):
    write_log(session.project, 500)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        with monkeypatch.context() as patch:
            patch.setattr("asteria_tui.logs.rows.BUDGET", 0)
            await pilot.press("3", "ctrl+f", *"00007")
            assert "searching…" in str(panel.border_subtitle)
            assert panel.view.cursor == 499
        await settle(pilot)
        assert panel.view.cursor == 7
        assert "1 of 1 found" in str(panel.border_subtitle)


async def test_levels_go_round(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        counts = []
        for _ in range(4):
            await pilot.press("l")
            await settle(pilot)
            counts.append(len(pilot.app.workbench.logs.rows))
        assert counts == [60, 6, 3, 60]


async def test_models_and_workers_go_round(opened, session):
    write_log(session.project)
    of_none = RECORD.format(at=int(NOW * 1000), level="INFO", thread="main", logger="x", text="started")
    write_log(session.project, 0, extra=of_none)
    session.replay(*RUNNING)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        for key, chip, name in (("M", "#chip-model", "sample"), ("W", "#chip-worker", "W-9000")):
            counts = []
            for _ in range(2):
                await pilot.press(key)
                await settle(pilot)
                counts.append((len(panel.rows), str(panel.query_one(chip).content)))
            assert counts == [(60, name), (61, chip.removeprefix("#chip-"))]


async def test_long_lines_wrap_and_the_end_stays_in_sight(opened, session):
    write_log(session.project, 50)
    long = '{{"t":1790000000000,"l":"INFO","th":"main","lg":"x","m":"{}END","x":""}}\n'.format("a" * 500)
    write_log(session.project, 0, extra=long)
    async with opened() as pilot:
        assert "END" not in "".join(_texts(pilot))
        await pilot.press("w")
        await settle(pilot)
        assert "END" in "".join(_texts(pilot))


async def test_a_new_server_begins_a_new_log(opened, session):
    file = write_log(session.project)
    async with opened() as pilot:
        file.unlink()
        write_log(session.project, 3)
        await settle(pilot)
        await settle(pilot)
        assert len(pilot.app.workbench.logs.rows) == 3


def _roll(file, kept=3):
    """As log4j does it: the oldest part goes, each other one gets the next number."""
    for number in range(kept - 1, -1, -1):
        part = file.with_name(f"{file.name}.{number}") if number else file
        if part.exists():
            part.replace(file.with_name(f"{file.name}.{number + 1}"))


async def test_a_log_that_is_rolled_stays_one_log(opened, session):
    file = write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", "up", "up")
        await pilot.pause()
        write_log(session.project, 2)
        _roll(file)
        write_log(session.project, 3)
        await settle(pilot)
        await settle(pilot)
        assert len(panel.rows) == 65
        assert panel.view.cursor == 57
        assert panel.view.current.text.startswith("request 00057")
        assert not panel.view.is_following
        assert "+5 new" in str(panel.border_subtitle)
        for _ in range(3):
            _roll(file)
            write_log(session.project, 1)
            await settle(pilot)
            await settle(pilot)
        # The first part is gone, and the record that the cursor stood on with it.
        assert len(panel.rows) == 6
        assert panel.view.current is not None
        assert panel.view.cursor == 0
        await pilot.press("f")
        assert panel.view.cursor == 5


async def test_the_parts_of_a_rolled_log_are_there_at_the_start(opened, session):
    file = write_log(session.project, 20)
    for count in (30, 40):
        _roll(file)
        write_log(session.project, count)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        assert len(panel.rows) == 90
        assert panel.rows.is_complete
        assert [panel.rows.record(row).text[:13] for row in (0, 19, 20, 49, 50)] == [
            f"request {number:05}" for number in (0, 19, 0, 29, 0)
        ]


async def test_a_server_that_ended_before_its_first_record_shows_its_console(opened, session):
    file = write_log(session.project, 0)
    file.with_name("console.log").write_text("Invalid configuration: no such port\n")
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        assert panel.view.current.text == "Invalid configuration: no such port"
        write_log(session.project, 3)
        await settle(pilot)
        assert len(panel.rows) == 3


def write_tracebacks(project):
    """Two workers, whose lines are mixed: a traceback in the project's handler, and one of a framework only."""
    at = f'File "{project.root}/handler.py", line 2, in handle'
    own = ["Traceback (most recent call last):", f"  {at}", "    return data", "KeyError: 'threshold'"]
    theirs = ["Traceback (most recent call last):", '  File "/usr/lib/x.py", line 9, in x', "OSError: gone"]
    lines = [("W-9000", text) for text in own]
    for place, text in zip((1, 3, 4), theirs, strict=True):
        lines.insert(place, ("W-9001", text))
    return write_log(
        project,
        0,
        extra="".join(
            RECORD.format(
                at=int(NOW * 1000), level="INFO", thread=f"{worker}-sample_1.0-stdout", logger="MODEL_LOG",
                text=text.replace('"', '\\"'),
            )
            for worker, text in [*lines, ("W-9000", "after"), ("W-9001", "after")]
        ),
    )  # fmt: skip


async def test_tracebacks_are_folded_and_unfolded(opened, session):
    write_log(session.project, 3)
    write_tracebacks(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        shown = [panel.rows.record(row).text for row in range(len(panel.rows))]
        assert shown[3:] == ["KeyError: 'threshold'", "OSError: gone", "after", "after"]
        assert "W-9000  ▸ KeyError: 'threshold'  4 lines" in "".join(_texts(pilot))
        await pilot.press("3", "up", "up", "up", "right")
        assert len(panel.rows) == 10
        assert panel.view.cursor == 3
        assert "▾ Traceback" in panel.view._strip(3).text
        assert panel.view._strip(4).text.endswith("▸ OSError: gone  3 lines")
        await pilot.press("right")
        assert len(panel.rows) == 10
        await pilot.press("down", "down", "left")
        assert len(panel.rows) == 7
        assert panel.view.cursor == 3
        await pilot.press("space")
        assert len(panel.rows) == 10
        await pilot.press("space")
        place = 3 - round(panel.view.scroll_y)
        await pilot.click(panel.view, offset=(27, place))
        assert len(panel.rows) == 10


async def test_a_traceback_that_grows_at_the_end_stays_one_row(opened, session):
    file = write_tracebacks(session.project)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("")
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        counts = []
        for line in lines:
            with file.open("a") as log:
                log.write(line)
            await settle(pilot)
            counts.append(len(panel.rows))
        assert counts == [1, 2, 2, 2, 2, 2, 2, 3, 4]
        assert "▸ KeyError: 'threshold'  4 lines" in "".join(_texts(pilot))


async def test_enter_on_a_traceback_opens_the_line_of_the_project(opened, session, monkeypatch):
    write_tracebacks(session.project)
    asked = []
    async with opened() as pilot:
        monkeypatch.setattr(pilot.app, "edit", lambda *where: asked.append(where))
        await pilot.press("3", *["up"] * 3, "enter")
        assert asked == [("handler.py", 2)]
        await pilot.press("right", "down", "down", "enter")
        await pilot.pause()
        assert pilot.app.screen.source == ("handler.py", 2)
        await pilot.press("enter")
        await pilot.pause()
        assert asked == [("handler.py", 2)] * 2
        await pilot.press("up", "enter")
        await pilot.pause()
        assert pilot.app.screen.source is None
        await pilot.press("escape")


async def test_text_inside_of_a_traceback_is_filtered_found_and_copied(opened, session):
    write_tracebacks(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", *["up"] * 3)
        assert panel.view.current.text.splitlines()[2:] == ["    return data", "KeyError: 'threshold'"]
        text, _ = panel.view.get_selection(Selection(Offset(0, 0), Offset(40, 1)))
        assert text.splitlines()[3] == "KeyError: 'threshold'"
        assert text.splitlines()[-1] == "OSError: gone"
        await pilot.press("ctrl+f", *"return")
        await settle(pilot)
        assert panel.view.current.text == "    return data"
        assert len(panel.rows) == 7
        await pilot.press("tab")
        await settle(pilot)
        assert [panel.rows.record(row).text for row in range(len(panel.rows))] == ["    return data"]


async def test_the_mouse_selects_rows(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        view = pilot.app.workbench.logs.view
        text, _ = view.get_selection(Selection(Offset(13, 0), Offset(18, 2)))
        lines = text.splitlines()
        assert len(lines) == 3
        assert lines[0].startswith("INFO  W-9000")
        assert lines[2].endswith("INFO ")


async def test_an_empty_log_names_the_key_that_fills_it(opened):
    async with opened() as pilot:
        assert "u starts the server" in str(pilot.app.workbench.logs._empty.content)


async def test_a_pattern_that_takes_for_ever_is_given_up_and_the_screen_goes_on(opened, session):
    write_log(session.project, extra=LOG_LINE.replace("TEXT", "a" * 40 + "b"))
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        for key in ("slash", "ctrl+f"):
            await pilot.press(key)
            pilot.app.screen.query_one(Input).value = "(a|a)*$"
            await settle(pilot)
            assert len(panel.rows) == 61
            assert panel.view.pattern == ""
            assert panel.rows.is_complete
            await pilot.press("escape")
            await settle(pilot)
        await pilot.press("slash", *"b$")
        await settle(pilot)
        assert len(panel.rows) == 1


async def test_a_click_on_a_further_piece_of_a_wrapped_row_folds_nothing(opened, session):
    write_tracebacks(session.project)
    async with opened(size=(60, 20)) as pilot:
        panel = pilot.app.workbench.logs
        await pilot.press("3", "w", "home", "right")
        await settle(pilot)
        assert len(panel.rows) > 4
        view = panel.view
        line = next(y for y, (row, piece) in view._places().items() if piece and view.rows.fold(row))
        count = len(panel.rows)
        await pilot.click(view, offset=(GLYPH_AT, line))
        assert len(panel.rows) == count


async def test_the_head_of_an_unfolded_traceback_is_copied_whole(opened, session):
    write_tracebacks(session.project)
    async with opened() as pilot:
        view = pilot.app.workbench.logs.view
        await pilot.press("3", *["up"] * 3, "right")
        await settle(pilot)
        row = view.cursor
        text, _ = view.get_selection(Selection(Offset(GLYPH_AT + 2, row), Offset(GLYPH_AT + 6, row)))
        assert text.endswith("Traceback (most recent call last):")


def _backgrounds(view, y: int) -> dict[str, object]:
    """The background of each piece of text on a line of the log, as it is rendered."""
    view.render_lines(Region(0, 0, *view.size))
    return {segment.text.strip(): segment.style.bgcolor for segment in view.render_line(y) if segment.text.strip()}


THEMES = ["asteria", "asteria-light", *BUILTIN_THEMES]
SOME = ("asteria", "asteria-light", "textual-dark", "nord", "solarized-light", "ansi-dark")


async def test_cursor_and_match_are_seen_in_every_theme(opened, session):
    write_log(session.project, 12)
    async with opened() as pilot:
        await pilot.press("3", "up")
        logs = pilot.app.workbench.logs
        logs.set_find("request")
        await settle(pilot)
        view = logs.view
        cursor = view.cursor - round(view.scroll_y)
        for theme in THEMES:
            pilot.app.theme = theme
            await pilot.pause()
            here, there = _backgrounds(view, cursor), _backgrounds(view, cursor - 1)
            told = (there["INFO"], there["request"], next(iter(here.values())), here["request"])
            assert len({str(colour) for colour in told}) == len(told), theme


async def test_a_link_under_the_mouse_is_seen(opened):
    async with opened() as pilot:
        link = pilot.app.workbench.query_one("#chips Link", Link)
        for theme in SOME:
            pilot.app.theme = theme
            await pilot.hover("#status")
            await pilot.pause()
            before = link.rich_style
            await pilot.hover("#chips Link")
            await pilot.pause()
            assert link.rich_style.bgcolor != before.bgcolor or link.rich_style.underline, theme


async def test_it_says_when_parts_of_the_log_were_deleted_before_they_were_read(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        panel = pilot.app.workbench.logs
        await settle(pilot)
        assert "lost" not in str(panel.border_subtitle)
        writer = Writer(session.project.logs_dir, kept=2)
        for _ in range(4):  # in one go: nobody reads in between
            write_log(session.project, 5)
            writer.roll()
        write_log(session.project, 5)
        await settle(pilot)
        assert len(panel.rows) == 15
        assert "lines may be lost to rotation" in str(panel.border_subtitle)
