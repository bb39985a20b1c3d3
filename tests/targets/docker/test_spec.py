"""The description of a container, before any engine sees it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from asteria_tui.errors import ServerError, TargetError
from asteria_tui.targets.docker import run
from asteria_tui.targets.docker.spec import (
    OFFICIAL_STORE,
    STORE,
    ContainerSpec,
    Mount,
    check_readable,
    layout_named,
    layout_of,
    unreadable,
)
from asteria_tui.targets.server_config import Ports

OFFICIAL = {"Entrypoint": ["/usr/local/bin/dockerd-entrypoint.sh"], "Cmd": ["serve"]}
PORTS = Ports(inference=1, management=2, metrics=3, grpc_inference=4, grpc_management=5)


def spec(**changes):
    given = {
        "name": "mine",
        "image": "image:1",
        "user": (1000, 1001),
        "memory": "2g",
        "ports": PORTS,
        "mounts": (Mount(source=Path("/a store"), target=STORE),),
    }
    return ContainerSpec(**(given | changes))


@pytest.mark.parametrize(
    ("config", "is_ours", "store", "said"),
    [
        (OFFICIAL, True, STORE, ""),
        (OFFICIAL, False, OFFICIAL_STORE, "token authorization off"),
        ({"Cmd": ["bash"]}, False, STORE, "not built by asteria-tui"),
        ({"Entrypoint": None, "Cmd": None}, False, STORE, "not built by asteria-tui"),
    ],
)
def test_layout_of_an_image(config, is_ours, store, said):
    layout = layout_of(config, is_ours=is_ours)
    assert (layout.is_ours, layout.store) == (is_ours, store)
    assert said in layout.note


def test_layout_by_name():
    assert layout_named("pytorch/torchserve:0.12.0-cpu").store == OFFICIAL_STORE
    assert layout_named("asteria-torchserve:local").is_ours


def test_command_line_says_what_the_api_is_told():
    words = shlex.split(spec(java_options=("-Xmx1g",)).command_line())
    told = spec(java_options=("-Xmx1g",)).api_arguments()
    assert words[:3] == ["docker", "run", "--detach"]
    assert words[-2:] == ["image:1", "-Xmx1g"]
    assert "/a store:/home/model-server/model_store:ro" in words
    assert "127.0.0.1:2:8081" in words
    assert told["ports"]["8081/tcp"] == ("127.0.0.1", 2)
    assert told["user"] == words[words.index("--user") + 1] == "1000:1001"
    assert told["tmpfs"]["/home/model-server/run"] in words[words.index("--tmpfs") + 1]
    assert (told["read_only"], told["cap_drop"]) == (True, ["ALL"])
    assert {"--read-only", "--cap-drop", "--security-opt"} <= set(words)


def test_another_image_gets_our_launcher_instead_of_its_shell():
    ours, theirs = spec(), spec(layout=layout_of(OFFICIAL, is_ours=False))
    assert ours.entrypoint is None
    assert theirs.entrypoint == ["python3", "/home/model-server/launch.py"]
    assert "--entrypoint" in theirs.command_line()
    assert theirs.health_check[-1] == ours.health_check[-1]


@pytest.mark.parametrize(
    ("mode", "user", "is_closed"),
    [(0o644, (1, 1), False), (0o600, (1, 1), True), (0o640, (1, None), False), (0o400, (None, 1), False)],
)
def test_unreadable_by_owner_and_mode(tmp_path, mode, user, is_closed):
    """None stands for the owner, or the owning group."""
    file = tmp_path / "m.mar"
    file.touch()
    file.chmod(mode)
    tmp_path.chmod(0o755)
    uid, gid = user
    stat = file.stat()
    someone = (stat.st_uid if uid is None else stat.st_uid + uid, stat.st_gid if gid is None else stat.st_gid + gid)
    assert unreadable(someone, tmp_path, ["m.mar"]) == ([file] if is_closed else [])
    if is_closed:
        with pytest.raises(TargetError, match=r"cannot read .*m\.mar") as caught:
            check_readable(someone, tmp_path, ["m.mar"])
        assert caught.value.hint == f"chmod o+rX {file}"
    file.chmod(0o600)


@pytest.mark.parametrize("labels", [{}, {run.RECORD_LABEL: "{"}, {run.RECORD_LABEL: '{"ports": 1}'}])
def test_a_label_that_is_none_of_ours_is_said_to_be_so(labels):
    with pytest.raises(ServerError, match="does not tell how it was started"):
        run.labelled_record(labels)
