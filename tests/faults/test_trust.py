"""Looking at a foreign project runs nothing of it (docs/trust.md)."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

from tests.conftest import MakeFolder


class Touches:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def test_looking_at_a_project_runs_nothing_of_it(make_folder: MakeFolder, tmp_path: Path):
    mark = tmp_path / "mark"
    leaves = f"import os\nos.makedirs({str(mark)!r})\n"
    folder = make_folder(
        handler=f"{leaves}\ndef handle(data, context):\n    return data\n",
        toml="""
        [models.echo]
        handler = "handler.py"
        model_file = "network.py"
        serialized_file = "weights.pt"
        config_file = "model-config.yaml"
        samples = "samples"

        [server]
        python = "./python"
        java_options = ["-XX:OnError=mkdir mark"]
        """,
    )
    folder.write("network.py", f"{leaves}\nclass Network:\n    pass\n")
    (folder.path / "weights.pt").write_bytes(pickle.dumps(Touches(mark)))
    folder.write("model-config.yaml", f"a: !!python/object/apply:os.mkdir [{str(mark)!r}]\n")
    folder.write("python", f"#!/bin/sh\nmkdir {mark}\n").chmod(0o755)
    folder.write("package.py", f"{leaves}\nos.system('torch-model-archiver --model-name a --handler handler.py')\n")
    calls = ["status", "stores", "models", "keys", "logs", "down", "export compose", "predict -d 1"]
    assert "is not valid YAML" in folder.run("package", code=1).err
    folder.write("model-config.yaml", "minWorkers: 1\n")
    folder.run("package")
    for call in (*calls, "inspect", "inspect --json"):
        done = folder.run(*call.split(), code=None)
        assert not mark.exists(), (call, done)
    assert [found["name"] for found in json.loads(done.out)["scan"]["dangerous"]] == ["posix.mkdir"]
    (folder.path / "asteria.toml").unlink()
    folder.run("init")
    assert not mark.exists()
