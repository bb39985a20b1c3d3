from __future__ import annotations

import os

import pytest

from asteria_tui.errors import ArchiveError, ConfigError


def members(sources):
    return [name for name, _ in sources.members]


@pytest.mark.parametrize(
    ("given", "in_manifest", "entry_point"),
    [
        ("handler.py", "handler.py", "class EchoHandler"),
        ("handler", "handler", "class EchoHandler"),
        ("sub/functions.py", "functions.py", "function handle"),
        ("sub/functions:answer", "functions:answer", "function answer"),
        ("sub/functions.py:answer", "functions:answer", "function answer"),
        ("text_classifier", "text_classifier", "built-in text_classifier"),
    ],
)
def test_every_way_to_name_a_handler(workshop, given, in_manifest, entry_point):
    workshop.write("sub/functions.py", "def handle(data, context): ...\ndef answer(data, context): ...\n")

    sources = workshop.collect(handler=given)

    assert (sources.handler, sources.entry_point) == (in_manifest, entry_point)
    assert len(sources.members) == (0 if given == "text_classifier" else 1)


def test_every_kind_of_file_lands_where_the_official_tool_puts_it(workshop):
    for name in ("w/weights.pt", "w/net.py", "requirements.txt", "model-config.yaml", "index.json"):
        workshop.write(name)
    workshop.write("assets/vocabulary.txt")
    workshop.write("assets/deep/er/table.csv")
    workshop.write("assets/__pycache__/x.pyc")
    workshop.write("assets/.git/config")
    workshop.write("assets/deep/__MACOSX/x")
    workshop.write("many/1.txt")
    workshop.write("many/2.txt")
    workshop.write("tree/a/b/leaf.json")

    sources = workshop.collect(
        serialized_file="w/weights.pt",
        model_file="w/net.py",
        requirements_file="requirements.txt",
        config_file="model-config.yaml",
        extra_files=("index.json", "assets", "many/*.txt", "tree/**/*.json"),
    )

    assert members(sources) == [
        "1.txt", "2.txt", "deep/er/table.csv", "handler.py", "index.json", "leaf.json", "model-config.yaml",
        "net.py", "requirements.txt", "vocabulary.txt", "weights.pt",
    ]  # fmt: skip


def test_a_file_named_twice_counts_once(workshop):
    workshop.write("data.json")
    assert members(workshop.collect(extra_files=("data.json", "*.json"))) == ["data.json", "handler.py"]


def test_a_hidden_file_named_on_purpose_is_taken(workshop):
    workshop.write("conf/.settings")
    assert ".settings" in members(workshop.collect(extra_files=("conf/.settings",)))


def test_links_to_files_and_directories_are_followed(workshop):
    workshop.write("elsewhere/deep/table.csv")
    (workshop.root / "assets").mkdir()
    (workshop.root / "assets/linked").symlink_to(workshop.root / "elsewhere/deep")
    (workshop.root / "assets/one.csv").symlink_to(workshop.root / "elsewhere/deep/table.csv")
    assert members(workshop.collect(extra_files=("assets",))) == ["handler.py", "linked/table.csv", "one.csv"]


def broken(workshop, extra_files=(), **settings):
    with pytest.raises(ArchiveError) as caught:
        workshop.collect(extra_files=extra_files, **settings)
    error = caught.value
    return f"{error.title} | {error.detail} | {error.hint}"


def test_two_files_of_one_name_are_both_named(workshop):
    workshop.write("a/config.json", "1")
    workshop.write("b/config.json", "2")
    text = broken(workshop, ("a/config.json", "b"))
    assert "a/config.json and b/config.json" in text
    assert "two files would land on the name config.json" in text


def test_an_extra_file_does_not_replace_the_handler(workshop):
    workshop.write("other/handler.py", "x = 1")
    assert "handler.py and other/handler.py" in broken(workshop, ("other/handler.py",))


def test_a_file_and_a_directory_of_one_name(workshop):
    workshop.write("a/table")
    workshop.write("b/table/1.csv")
    assert "a file and a directory" in broken(workshop, ("a", "b"))


@pytest.mark.parametrize("key", ["serialized_file", "model_file", "requirements_file", "config_file"])
def test_a_missing_file_and_its_nearest_spelling(workshop, key):
    workshop.write("w/weights.pt")
    text = broken(workshop, **{key: "w/wieghts.pt"})
    assert "w/wieghts.pt does not exist" in text
    assert "did you mean w/weights.pt?" in text


@pytest.mark.parametrize("given", ["gone.txt", "gone/*.txt", "**/*.gone"])
def test_an_extra_file_that_is_not_there(workshop, given):
    assert given in broken(workshop, (given,))


def test_a_missing_handler(workshop):
    assert "did you mean handler.py?" in broken(workshop, handler="handlr.py")


@pytest.mark.parametrize("given", ["assets", "assets/.e*", "assets/**/.e*"])
def test_a_hidden_file_that_is_swept_in(workshop, given):
    workshop.write("assets/.env", "SECRET=1")
    workshop.write("assets/a.txt")
    assert "assets/.env" in broken(workshop, (given,))


def test_the_directory_of_the_manifest_is_refused(workshop):
    workshop.write("assets/MAR-INF/MANIFEST.json", "{}")
    assert "MAR-INF" in broken(workshop, ("assets",))


def test_a_loop_of_directories_ends(workshop):
    workshop.write("assets/deep/a.txt")
    (workshop.root / "assets/deep/again").symlink_to(workshop.root / "assets")
    assert "links back" in broken(workshop, ("assets",))


def test_a_broken_link_and_a_pipe(workshop):
    (workshop.root / "assets").mkdir()
    (workshop.root / "assets/nowhere").symlink_to("gone")
    assert "assets/nowhere is not a regular file" in broken(workshop, ("assets",))
    (workshop.root / "assets/nowhere").unlink()
    os.mkfifo(workshop.root / "assets/pipe")
    assert "assets/pipe is not a regular file" in broken(workshop, ("assets",))


def test_a_config_file_that_is_no_yaml(workshop):
    workshop.write("model-config.yaml", "minWorkers: [1\nx")
    text = broken(workshop, config_file="model-config.yaml")
    assert "model-config.yaml is not valid YAML" in text
    assert "line 2" in text
    for content in ("since: 2026-13-45", "[" * 5000):
        workshop.write("model-config.yaml", content)
        assert "is not valid YAML" in broken(workshop, config_file="model-config.yaml")


def test_a_model_file_that_does_not_compile(workshop):
    workshop.write("net.py", "class Net:\n    def forward(self:\n")
    assert "net.py:2" in broken(workshop, model_file="net.py")


def test_a_ready_made_archive_has_no_sources(workshop):
    assert "no handler" in broken(workshop, handler=None, archive="x.mar")


def test_a_compiled_handler_is_taken_as_it_is(workshop):
    workshop.write("handler.so", b"\x7fELF")
    workshop.write("handler.dylib", b"\xca\xfe")
    sources = workshop.collect(handler="handler", runtime="LSP")
    assert sources.runtime == "LSP"
    assert len(sources.members) == 1


def test_a_name_that_is_too_long_for_the_system(workshop):
    with pytest.raises(ConfigError, match="no file can have this name"):
        workshop.collect(handler="x" * 300)


def test_a_config_file_that_unfolds_without_end(workshop):
    doubled = "".join(f"m{n}: &m{n}\n  <<: [*m{n - 1}, *m{n - 1}]\n  k{n}: 1\n" for n in range(1, 40))
    workshop.write("model-config.yaml", f"m0: &m0 {{a: 1}}\n{doubled}")
    assert workshop.collect(config_file="model-config.yaml").config_file == "model-config.yaml"
    workshop.write("model-config.yaml", "a: 1\n" * 40_000)
    assert "larger than 128 KiB" in broken(workshop, config_file="model-config.yaml")
