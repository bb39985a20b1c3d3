"""The loader by itself, on whatever Python runs this: one worker, forty edits. Its argument is the loader's folder."""

import json
import os
import signal
import socket
import sys
import tempfile

LOADER = sys.argv[1]
HANDLER = """
import helper

class Handler:
    def initialize(self, context):
        self.value = %s

    def handle(self, data, context):
        return [self.value for _ in data]
"""


class Context:
    manifest = None
    request_ids = {0: "r"}  # noqa: RUF012 of a class of its own

    def set_response_header(self, index, name, value):
        pass


def write(file, text):
    with open(file + ".new", "w") as new:
        new.write(text)
    os.replace(file + ".new", file)


def main(root):
    project, model, temporary = (os.path.join(root, name) for name in "pmt")
    for folder in (project, model, temporary):
        os.mkdir(folder, 0o700)
    os.symlink(LOADER, os.path.join(model, "asteria_loader"))
    handler = os.path.join(project, "handler.py")
    write(handler, HANDLER % 0)
    write(os.path.join(project, "helper.py"), "")
    members = {name: os.path.join(project, name) for name in ("handler.py", "helper.py")}
    for name, file in members.items():
        os.symlink(file, os.path.join(model, name))
    settings = {
        "model": "m", "handler": "handler.py", "is_built_in": False, "is_live": True,
        "manifest": {"model": {}}, "members": members, "roots": [project],
    }  # fmt: skip
    write(os.path.join(model, "asteria_loader.json"), json.dumps(settings))
    os.environ["TEMP"] = temporary
    sys.path.insert(0, model)
    import asteria_loader

    context = Context()
    assert asteria_loader.handle(None, context) is None
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.path.join(temporary, asteria_loader.SOCKET % os.getpid()))
        client.sendall(b'{"type": "hello", "version": 1, "role": "dev"}\n')
        for value in range(40):
            write(handler, HANDLER % value)
            assert asteria_loader.handle([{}], context) == [value]
        for broken in (":", HANDLER % "1 / 0", "import nothing_of_that_name"):
            write(handler, broken)
            assert asteria_loader.handle([{}], context) == [39]
        kinds = [json.loads(line)["type"] for line in client.recv(1 << 20).splitlines()]
    assert (kinds[0], kinds.count("loaded"), kinds.count("load_failed")) == ("hello", 40, 3), kinds
    os.kill(os.getpid(), signal.SIGUSR2)
    with open(asteria_loader._worker.stack.path) as stack:
        assert "other_python.py" in stack.read()


with tempfile.TemporaryDirectory() as place:
    main(place)
