"""The loader of a dev archive: what it serves after every kind of edit, and what it says of it."""

from __future__ import annotations

import ast
import gc
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from asteria_tui.dev import loader
from asteria_tui.dev.loader import Worker, files

ONE = "def handle(data, context):\n    return data and [1] * len(data)\n"
TWO = ONE.replace("[1]", "[2]")
CLASS = """
class Handler:
    def initialize(self, context):
        self.value = {value}

    def handle(self, data, context):
        return [self.value for _ in data]
"""


@pytest.fixture
def served(made):
    made.write("handler.py", ONE)
    made.link("handler.py")
    made.start()
    return made


# -- what it is made of ---------------------------------------------------------------------------------------------


def sources():
    return sorted(Path(loader.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", sources(), ids=lambda file: file.name)
def test_it_is_of_the_standard_library_and_of_python_3_8(file):
    tree = ast.parse(file.read_text(), feature_version=(3, 8))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    # yaml is what every worker has (docs/torchserve.md section 6), and only read where a model has such a file.
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"yaml"}


# -- swapping -------------------------------------------------------------------------------------------------------


def test_an_edit_is_in_the_next_answer(served):
    assert served.ask() == 1
    before = served.sources
    served.write("handler.py", TWO)
    assert served.ask() == 2
    assert served.sources != before
    served.write("handler.py", ONE)
    assert served.ask() == 1
    assert served.sources == before


def test_what_is_only_touched_is_not_loaded_again(served):
    served.ask()
    os.utime(served.project / "handler.py")
    served.ask()
    assert served.worker.loads == 1


def test_same_size_in_the_same_moment(served):
    at = time.time_ns()
    served.write("handler.py", TWO, at=at)
    assert served.ask() == 2
    inode = (served.project / "handler.py").stat().st_ino
    with (served.project / "handler.py").open("r+") as file:
        file.write(ONE)
    os.utime(served.project / "handler.py", ns=(at, at))
    assert (served.project / "handler.py").stat().st_ino == inode
    assert served.ask() == 1


def test_stale_bytecode_is_never_believed(served, monkeypatch):
    import py_compile

    served.ask()
    at = 1_600_000_000_000_000_000
    served.write("handler.py", TWO, at=at)
    py_compile.compile(str(served.folder / "handler.py"))
    served.write("handler.py", ONE.replace("[1]", "[3]"), at=at)
    assert served.ask() == 3


def test_a_file_that_goes_and_comes_back(served):
    file = served.project / "handler.py"
    file.unlink()
    assert served.ask() == 1
    assert served.worker.failure is not None
    served.write("handler.py", TWO)
    assert served.ask() == 2


@pytest.mark.parametrize(
    "broken", ["def handle(:\n", "import nothing_of_that_name\n", "1 / 0\n", "raise SystemExit(3)\n", ""]
)
def test_what_does_not_load_leaves_the_old_code_in_service(served, broken):
    served.ask()
    before = served.sources
    served.write("handler.py", broken)
    assert [served.ask(), served.ask()] == [1, 1]
    assert served.sources == before
    assert served.worker.failure is not None
    served.write("handler.py", TWO)
    assert served.ask() == 2
    assert served.worker.failure is None


def test_it_is_tried_once_for_each_change(served, made):
    served.write("handler.py", "import builtins\nbuiltins.tried = getattr(builtins, 'tried', 0) + 1\n1 / 0\n")
    import builtins

    try:
        served.ask()
        served.ask()
        assert builtins.tried == 1
    finally:
        del builtins.tried


@pytest.mark.parametrize("half", ["", "def handle(data, cont"])
def test_a_writer_that_is_not_done_is_waited_for(served, monkeypatch, half):
    """An editor that truncates first."""
    (served.project / "handler.py").write_text(half)
    monkeypatch.setattr(time, "sleep", lambda _: (served.project / "handler.py").write_text(TWO))
    assert served.ask() == 2
    assert served.worker.failure is None


def test_what_has_been_broken_for_long_is_not_waited_for(served, monkeypatch):
    served.write("handler.py", "def handle(:\n", at=time.time_ns() - 10**9)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    assert served.ask() == 1


def test_an_editor_that_moves_the_file_away_first(served, monkeypatch):
    (served.project / "handler.py").rename(served.project / "handler.py~")
    monkeypatch.setattr(time, "sleep", lambda _: served.write("handler.py", TWO))
    assert served.ask() == 2


def test_it_comes_up_with_code_that_does_not_load_and_says_so_to_each_request(made):
    made.write("handler.py", "import nothing_of_that_name\n")
    made.link("handler.py")
    made.start()
    depths = []
    for _ in range(3):
        with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name") as raised:
            made.ask()
        depths.append(len(list(raised.traceback)))
    assert depths[1] == depths[2]  # its frames do not add up
    made.write("handler.py", TWO)
    assert made.ask() == 2


def test_frames_carry_the_name_that_the_user_knows_and_the_text_that_runs(served):
    import traceback

    served.write("handler.py", "def handle(data, context):\n    if data:\n        raise KeyError('threshold')\n")
    with pytest.raises(KeyError) as raised:
        served.ask()
    for broken in ("def handle(:\n", "# other lines\nimport nothing_of_that_name\n"):
        served.write("handler.py", broken)  # not in service
        with pytest.raises(KeyError) as raised:
            served.ask()
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (str(served.project / "handler.py"), 3)
    assert last.line == "raise KeyError('threshold')"


# -- TorchServe's rules ---------------------------------------------------------------------------------------------


def test_a_class_is_initialized_and_asked(made):
    made.write("handler.py", CLASS.format(value=1))
    made.link("handler.py")
    made.start()
    assert made.ask("a", "b") == [1, 1]
    made.write("handler.py", CLASS.format(value=2))
    assert made.ask() == 2


def test_a_function_named_after_the_colon(made):
    made.write("handler.py", "def other(data, context):\n    return data and ['other']\n")
    made.handler = "handler:other"
    made.link("handler.py")
    made.start()
    assert made.ask() == "other"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class A: pass\nclass B: pass\n", "exactly one class"),
        ("x = 1\n", "it has none"),
        ("class A:\n    pass\n", "no method `handle`"),
    ],
)
def test_no_single_entry_point(made, code, said):
    made.write("handler.py", code)
    made.link("handler.py")
    made.start()
    with pytest.raises(ValueError, match=said):
        made.ask()


def test_the_manifest_and_the_config_are_fresh_for_each_load(made):
    made.write(
        "handler.py",
        """
class Handler:
    def initialize(self, context):
        self.value = [context.manifest["model"].pop("serializedFile"), context.model_yaml_config.pop("x")]

    def handle(self, data, context):
        return [self.value]
""",
    )
    made.write("config.yaml", "x: 1\n")
    made.manifest = {"model": {"serializedFile": "w.pt", "configFile": "config.yaml"}}
    made.link("handler.py", "config.yaml")
    made.start()
    assert made.ask() == ["w.pt", 1]
    made.manifest["model"]["serializedFile"] = "other.pt"
    made.save_settings()
    assert made.ask() == ["other.pt", 1]
    made.write("config.yaml", "x: 2\n")
    assert made.ask() == ["other.pt", 2]


# -- what a reload meets --------------------------------------------------------------------------------------------


def test_every_module_of_the_project_is_another_one_after_it(made):
    """So that classes, their bases and `isinstance` agree: a renamed class, a base that changed, `super()`."""
    made.write("base.py", "class Base:\n    def value(self):\n        return 'old'\n")
    made.write(
        "handler.py",
        """
from base import Base
import other

class Handler(Base):
    def initialize(self, context):
        pass

    def value(self):
        return super().value() + str(isinstance(other.made(), Base))

    def handle(self, data, context):
        return [self.value()]
""",
    )
    made.write("other.py", "import base\n\ndef made():\n    return base.Base()\n")
    made.link("handler.py", "base.py", "other.py")
    made.start()
    assert made.ask() == "oldTrue"
    made.write("base.py", "class Base:\n    def value(self):\n        return 'new'\n")
    assert made.ask() == "newTrue"
    renamed = (made.project / "handler.py").read_text().replace("class Handler", "class Renamed")
    made.write("handler.py", renamed)
    assert made.ask() == "newTrue"


def test_circular_imports_packages_decorators_and_dataclasses(made):
    made.write("pack/__init__.py", "from pack.one import one\nVALUE = 'a'\n")
    made.write("pack/one.py", "import pack\nimport pack.two\n\ndef one():\n    return pack.VALUE + pack.two.two()\n")
    made.write(
        "pack/two.py",
        """
import dataclasses, functools
import pack

@dataclasses.dataclass
class Point:
    x: "int" = 1

@functools.lru_cache
def two():
    return str(Point())
""",
    )
    made.write("handler.py", "import pack\n\ndef handle(data, context):\n    return data and [pack.one()]\n")
    made.link("handler.py", "pack/__init__.py", "pack/one.py", "pack/two.py")
    made.start()
    assert made.ask() == "aPoint(x=1)"
    made.write("pack/__init__.py", "from pack.one import one\nVALUE = 'b'\n")
    assert made.ask() == "bPoint(x=1)"
    made.write("pack/two.py", (made.project / "pack/two.py").read_text().replace("= 1", "= 2"))
    assert made.ask() == "bPoint(x=2)"


def test_a_package_that_is_broken_and_then_well(made):
    made.write("space/inner.py", "VALUE = 1\n")  # a folder without __init__.py
    made.write(
        "handler.py", "import space.inner\n\ndef handle(data, context):\n    return data and [space.inner.VALUE]\n"
    )
    made.link("handler.py", "space/inner.py")
    made.start()
    made.write("space/inner.py", "VALUE = \n")
    assert made.ask() == 1
    made.write("space/inner.py", "VALUE = 3\n")
    assert made.ask() == 3


def test_a_module_that_is_imported_in_the_middle_of_a_request(made):
    made.write("late.py", "VALUE = 1\n")
    made.write(
        "handler.py", "def handle(data, context):\n    if data:\n        import late\n        return [late.VALUE]\n"
    )
    made.link("handler.py")
    sys.path.append(str(made.project))
    try:
        made.start()
        assert made.ask() == 1
        before = made.sources
        for value in (2, 3):
            made.write("late.py", f"VALUE = {value}\n")
            assert made.ask() == value
            assert made.sources != before
            before = made.sources
    finally:
        sys.path.remove(str(made.project))


def test_a_module_of_the_project_that_is_no_member(made):
    made.write("src/helper.py", "VALUE = 1\n")
    made.write("handler.py", "import helper\n\ndef handle(data, context):\n    return data and [helper.VALUE]\n")
    made.link("handler.py")
    sys.path.append(str(made.project / "src"))
    try:
        made.start()
        assert made.ask() == 1
        made.write("src/helper.py", "VALUE = 2\n")
        assert made.ask() == 2
    finally:
        sys.path.remove(str(made.project / "src"))


@pytest.mark.parametrize("folder", [".venv/lib/x", "venv/lib/site-packages", ".hidden"])
def test_what_is_installed_is_not_the_projects(made, folder):
    made.write(f"{folder}/installed_there.py", "VALUE = 1\n")
    made.write(
        "handler.py",
        "import installed_there\n\ndef handle(data, context):\n    return data and [installed_there.VALUE]\n",
    )
    made.link("handler.py")
    sys.path.append(str(made.project / folder))
    try:
        made.start()
        made.write(f"{folder}/installed_there.py", "VALUE = 2\n")
        assert made.ask() == 1
        made.write("handler.py", (made.project / "handler.py").read_text() + "\n")
        assert made.ask() == 1
    finally:
        sys.path.remove(str(made.project / folder))
        sys.modules.pop("installed_there", None)


def test_objects_pickled_by_the_old_code_are_read_by_the_new(made):
    code = "class Kept:\n    value = {}\n\ndef handle(data, context):\n    return data and [Kept]\n"
    made.write("handler.py", code.format(1))
    made.link("handler.py")
    made.start()
    pickled = pickle.dumps(made.ask()())
    made.write("handler.py", code.format(2))
    new = made.ask()
    assert isinstance(pickle.loads(pickled), new)  # noqa: S301 our own
    assert pickle.loads(pickled).value == 2  # noqa: S301


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_threads_and_files_of_the_old_module(made):
    """A thread goes on with its own code, and what nobody has any more is closed."""
    code = """
import threading
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
file = open(__file__)
count = 0

def handle(data, context):
    global count
    count += 1
    return data and [(count, thread, file, stop)]
"""
    made.write("handler.py", code)
    made.link("handler.py")
    made.start()
    _, thread, file, stop = made.ask()
    descriptor = file.fileno()
    gone = weakref.ref(file)
    del file
    made.write("handler.py", code + "\n")
    count, other, _, also = made.ask()
    assert count == 2  # the call without data, and this one: module-level state begins anew
    assert thread.is_alive()
    assert other is not thread
    for event in (stop, also):
        event.set()
    thread.join()
    other.join()
    del thread, stop
    made.write("handler.py", ONE)
    made.ask()
    gc.collect()
    assert gone() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


# -- weights and other data -----------------------------------------------------------------------------------------

READS = """
from pathlib import Path

class Handler:
    def initialize(self, context):
        self.weights = Path(context.system_properties["model_dir"], "weights").read_text()

    def handle(self, data, context):
        return [self.weights]
"""


def test_weights_are_loaded_anew(made):
    made.write("handler.py", READS)
    made.write("weights", "1")
    made.link("handler.py", "weights")
    made.start()
    before = (made.ask(), made.sources)
    made.write("weights", "2")
    assert made.ask() == "2"
    assert before[1] != made.sources


def test_weights_that_are_replaced_while_they_load(made):
    made.write(
        "handler.py",
        READS.replace(".read_text()", ".read_text()\n        self.replace(context)")
        + """
    def replace(self, context):
        if self.weights == "2":
            Path(context.system_properties["model_dir"], "weights").resolve().write_text("3!")
""",
    )
    made.write("weights", "1")
    made.link("handler.py", "weights")
    made.start()
    made.write("weights", "2")
    assert [made.ask(), made.ask()] == ["2", "3!"]


def test_a_new_handler_may_adopt_what_the_old_one_had_loaded(made):
    adopts = READS + "    def adopt(self, previous):\n        self.weights = previous.weights + '+'\n"
    made.write("handler.py", READS)
    made.write("weights", "1")
    made.link("handler.py", "weights")
    made.start()
    made.write("handler.py", adopts)
    assert made.ask() == "1+"
    made.write("weights", "2")
    assert made.ask() == "2"  # other weights: nothing to adopt


def test_where_two_copies_do_not_fit_the_old_one_stays_and_the_next_depth_is_named(made):
    made.write("handler.py", CLASS.format(value=1))
    made.link("handler.py")
    made.start()
    peer = made.connect()
    made.write("handler.py", CLASS.format(value="[][0:0] or exec('raise MemoryError')"))
    assert made.ask() == 1
    [failed] = [message for message in peer.messages() if message["type"] == "load_failed"]
    assert failed["depth"] == "worker"


def test_a_failed_load_holds_nothing_of_what_it_had_loaded(made):
    made.write("handler.py", CLASS.format(value=1))
    made.link("handler.py")
    made.start()
    made.write(
        "handler.py",
        "import builtins, weakref\n\nclass Handler:\n    def initialize(self, context):\n"
        "        weights = type('Big', (), {})()\n        builtins.big = weakref.ref(weights)\n"
        "        raise RuntimeError('no')\n\n"
        "    def handle(self, data, context):\n        pass\n",
    )
    made.ask()
    import builtins

    assert builtins.big() is None
    del builtins.big


def test_of_many_files_only_what_dev_tells_is_looked_at(made):
    made.write("handler.py", ONE)
    made.link("handler.py")
    for number in range(60):
        made.write(f"data/{number}", "x")
    made.link(*(f"data/{number}" for number in range(60)))
    made.start()
    made.write("handler.py", TWO)
    assert made.ask() == 1
    made.save_settings()
    assert made.ask() == 2


def test_a_member_that_is_added(made):
    made.write("handler.py", READS.replace('"weights").read_text()', '"more").exists()'))
    made.link("handler.py")
    made.start()
    assert made.ask() is False
    made.write("more", "")
    made.link("more")
    assert made.ask() is True


def test_five_hundred_reloads_leave_nothing_behind(made):
    made.write("handler.py", CLASS.format(value=0) + "BALLAST = bytes(1_000_000)\n")
    made.link("handler.py")
    made.start()
    modules = len(sys.modules)
    kept = []
    for value in range(1, 501):
        made.write("handler.py", CLASS.format(value=value) + "BALLAST = bytes(1_000_000)\n")
        assert made.ask() == value
        kept.append(weakref.ref(sys.modules["handler"]))
    assert len(sys.modules) == modules
    assert sum(one() is not None for one in kept) <= 2


# -- the socket -----------------------------------------------------------------------------------------------------


def test_what_a_client_hears(served):
    peer = served.connect()
    served.ask()
    hello, loaded, started, answered = peer.messages()
    assert (hello["type"], hello["version"], hello["pid"], hello["model"]) == ("hello", 1, os.getpid(), "m")
    assert (loaded["type"], loaded["is_first"]) == ("loaded", True)
    assert loaded["modules"] == [str(served.project / "handler.py")]
    assert (started["type"], started["requests"]) == ("started", ["r1-0"])
    assert (answered["type"], answered["requests"], answered["sources"]) == ("answered", ["r1-0"], served.sources)
    served.write("handler.py", TWO)
    served.ask()
    loaded, *_ = peer.messages()
    assert (loaded["type"], loaded["files"]) == ("loaded", [str(served.project / "handler.py")])
    assert loaded["milliseconds"] > 0
    peer.close()


def test_it_hears_why_code_does_not_load(served):
    peer = served.connect()
    served.write("handler.py", ONE + "def broken(:\n")
    served.ask()
    failed = next(message for message in peer.messages() if message["type"] == "load_failed")
    assert failed["exception"] == "SyntaxError"
    assert (failed["file"], failed["line"]) == (str(served.project / "handler.py"), 3)
    assert failed["sources"] == served.sources
    peer.close()
    later = served.connect()
    served.ask()
    assert later.kinds()[:3] == ["hello", "loaded", "load_failed"]


def test_it_hears_why_a_request_failed(served):
    served.write(
        "handler.py", "def deep():\n    return {}['x']\n\ndef handle(data, context):\n    return data and deep()\n"
    )
    peer = served.connect()
    with pytest.raises(KeyError):
        served.ask()
    failed = peer.messages()[-1]
    assert (failed["type"], failed["requests"], failed["exception"]) == ("failed", ["r1-0"], "KeyError")
    assert (failed["line"], failed["function"]) == (2, "deep")
    assert "loader" not in failed["traceback"]
    peer.close()


def test_one_client_a_role_and_one_version(served):
    first, second, other = served.connect(), served.connect(), served.connect("debug")
    older = served.connect("later", version=2)
    served.ask()
    assert first.kinds() == ["hello", "loaded", "started", "answered"]
    assert second.kinds() == ["refused"]
    assert other.kinds() == ["hello", "loaded", "started", "answered"]
    assert older.kinds() == ["refused"]
    first.close()
    third = served.connect()
    served.ask()
    assert third.kinds()[0] == "hello"


def test_a_client_that_does_not_read_never_stops_a_request(served):
    peer = served.connect()
    for _ in range(3000):
        served.ask()
    assert not served.worker.link.client("dev")
    peer.close()


@pytest.mark.parametrize("sent", [b"\xff\n", b"[1]\n", b"{}\n", b'{"type": "hello"}\n', b"x" * 3_000_000])
def test_a_client_that_talks_nonsense_is_let_go_or_ignored(served, sent):
    peer = served.connect()
    served.ask()
    writer = threading.Thread(target=_send, args=(peer.socket, sent))
    writer.start()
    while writer.is_alive():
        assert served.ask() == 1
    peer.close()
    assert served.ask() == 1


def _send(connection, data):
    connection.setblocking(True)
    try:
        connection.sendall(data)
    except OSError:
        return


def test_the_socket_is_private(served):
    assert {file.stat().st_mode & 0o777 for file in served.temporary.iterdir()} == {0o600}
    [file] = served.temporary.glob("*.sock")
    assert file.name == f"dev-{os.getpid()}.sock"
    assert file.stat().st_mode & 0o777 == 0o600
    served.worker.close()
    assert not list(served.temporary.iterdir())


def test_in_a_folder_that_others_can_look_into_there_is_none(made):
    made.temporary.chmod(0o755)
    made.write("handler.py", ONE)
    made.link("handler.py")
    made.start()
    assert not list(made.temporary.iterdir())
    assert made.ask() == 1


def test_a_compiled_module_of_the_project_needs_a_new_worker(made):
    import _json

    made.write("handler.py", "import fast\n\ndef handle(data, context):\n    return data and [fast.__name__]\n")
    compiled = getattr(_json, "__file__", None)
    if compiled is None:
        pytest.skip("this Python has it built in")
    suffix = "".join(Path(compiled).suffixes)
    made.write(f"_json{suffix}", Path(compiled).read_bytes())
    made.write("handler.py", "import _json\n\ndef handle(data, context):\n    return data and [_json.__name__]\n")
    made.link("handler.py", f"_json{suffix}")
    before = sys.modules.pop("_json")
    try:
        made.start()
        peer = made.connect()
        assert made.ask() == "_json"
        made.write(f"_json{suffix}", Path(compiled).read_bytes() + b"\0")
        assert made.ask() == "_json"
        failed = next(message for message in peer.messages() if message["type"] == "load_failed")
        assert failed["depth"] == "worker"
        assert "compiled" in failed["message"]
    finally:
        sys.modules["_json"] = before


def test_where_workers_are_to_be_begun_anew_nothing_is_swapped(made):
    made.is_live = False
    made.write("handler.py", ONE)
    made.link("handler.py")
    made.start()
    made.write("handler.py", TWO)
    assert made.ask() == 1


def test_settings_that_go_leave_it_as_it_is(served):
    (served.folder / loader.SETTINGS_FILE).unlink()
    assert served.ask() == 1


def test_the_age_of_a_file_is_by_its_own_time():
    assert files.is_young((1, time.time_ns(), 1))
    assert not files.is_young((1, time.time_ns() - 10**9, 1))
    assert not files.is_young(None)


def test_torchserve_calls_the_function_of_the_package(made, monkeypatch):
    made.write("handler.py", ONE)
    made.link("handler.py")
    monkeypatch.setattr(loader, "_worker", None)
    monkeypatch.setattr(loader, "__file__", str(made.folder / loader.PACKAGE / "__init__.py"))
    sys.path.insert(0, str(made.folder))
    from tests.dev.loading import Context

    made.context = Context(made.folder)
    try:
        assert loader.handle(None, made.context) is None
        assert loader.handle([{}], made.context) == [1]
        assert isinstance(loader._worker, Worker)
    finally:
        made.worker = loader._worker


def test_the_settings_are_what_the_archive_says(served):
    assert json.loads((served.folder / loader.SETTINGS_FILE).read_text())["handler"] == "handler.py"


def test_no_archive_takes_it_in(tmp_path):
    import zipfile

    from asteria_tui.archive.sources import DEV_LOADER, collect
    from asteria_tui.config import load
    from asteria_tui.errors import ArchiveError
    from asteria_tui.projects import archive_project

    assert loader.PACKAGE == DEV_LOADER
    assert loader.SETTINGS_FILE.partition(".")[0] == DEV_LOADER
    (tmp_path / "handler.py").write_text(ONE)
    (tmp_path / "extra" / DEV_LOADER).mkdir(parents=True)
    (tmp_path / "extra" / DEV_LOADER / "__init__.py").touch()
    (tmp_path / "asteria.toml").write_text('[models.m]\nhandler = "handler.py"\nextra_files = ["extra"]\n')
    with pytest.raises(ArchiveError, match="is of what `dev` serves"):
        collect(load(tmp_path), *load(tmp_path).model("m"))
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as archive:
        archive.writestr(f"{DEV_LOADER}/__init__.py", "")
        archive.writestr("MAR-INF/MANIFEST.json", '{"model": {"modelName": "m"}}')
    with pytest.raises(ArchiveError, match="holds the loader of `dev`"):
        archive_project(tmp_path, tmp_path / "m.mar")


def test_it_runs_on_every_python_that_is_on_the_path():
    script = Path(__file__).with_name("other_python.py")
    package = str(Path(loader.__file__).parent)
    for python in {sys.executable, *filter(None, (shutil.which(f"python3.{minor}") for minor in range(8, 20)))}:
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
            continue  # a name without a Python behind it
        command = [python, "-B", "-W", "error", script, package]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, (python, ended.stderr)
