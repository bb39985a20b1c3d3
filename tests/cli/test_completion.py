"""What a shell is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Folder, MakeFolder


def test_the_shell_is_told_commands_and_options(tmp_path: Path):
    folder = Folder(tmp_path, _ASTERIA_TUI_COMPLETE="bash_complete")
    words = folder.run(COMP_WORDS="asteria-tui ", COMP_CWORD="1").out.split()
    assert {"plain,up", "plain,down", "plain,models", "plain,logs"} <= set(words)
    words = folder.run(COMP_WORDS="asteria-tui logs --tr", COMP_CWORD="2").out.split()
    assert words == ["plain,--tracebacks"]
    words = folder.run(COMP_WORDS="asteria-tui models s", COMP_CWORD="2").out.split()
    assert words == ["plain,show", "plain,scale"]


@pytest.mark.parametrize(
    ("shell", "startup"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/config.fish")]
)
def test_a_shell_is_taught_once(tmp_path: Path, shell: str, startup: str):
    folder = Folder(tmp_path, HOME=str(tmp_path), SHELL=f"/bin/{shell}", XDG_DATA_HOME=str(tmp_path / "data"))
    script = tmp_path / f"data/asteria-tui/completion.{shell}"
    for _ in range(2):
        assert startup in folder.run("--install-completion").out
    assert (tmp_path / startup).read_text().count(f'source "{script}"') == 1
    assert f"_ASTERIA_TUI_COMPLETE={shell}_complete" in script.read_text()


def test_an_unknown_shell_is_not_taught(tmp_path: Path):
    refused = Folder(tmp_path, HOME=str(tmp_path), SHELL="/bin/tcsh").run("--install-completion", code=2)
    assert "no completion for the shell tcsh" in refused.err


def test_a_group_without_a_verb_means_its_default(make_folder: MakeFolder):
    failed = make_folder().run("models", "--json", code=4).one("operation_failed")
    assert failed["name"] == "models list"


@pytest.mark.torchserve
def test_init_writes_a_project_that_serves(tmp_path: Path):
    """Handler, weights and an archiver script are all there is."""
    folder = Folder(tmp_path)
    folder.write("src/echo_handler.py", "def handle(data, context):\n    return ['ok'] * len(data or ())\n")
    folder.write("weights/echo.pt", "weights")
    folder.write("requests/sample.json", '{"x": 1}')
    folder.write(
        "package.sh",
        """
        NAME=echo
        torch-model-archiver --model-name $NAME --version 2.0 --handler src/echo_handler.py \\
            --serialized-file weights/echo.pt --export-path model_store --force
        """,
    )
    done = folder.run("init")
    assert "package.sh:" in done.err
    assert "models.echo.handler = src/echo_handler.py" in done.err
    assert "is there already" in folder.run("init", code=2).err
    folder.run("up")
    assert json.loads(folder.run("models", "show", "echo").out)["modelVersion"] == "2.0"
    assert folder.run("predict", "-d", "1").out == "ok"
    folder.down()
