"""The server's own files, samples, and folders of other kinds."""

import os

import pytest

from asteria_tui.archive.sources import collect
from asteria_tui.config import ModelSettings, ServerSettings, StoreSettings, load
from asteria_tui.discovery import discover, write

HANDLER = "def handle(data, context): ..."


CONFIG = """# of the container
inference_address=http://0.0.0.0:9080
management_address = http://127.0.0.1:9081
metrics_address=http://127.0.0.1:99999
grpc_inference_port=9070
model_store=/home/model-server/model-store
job_queue_size=50
disable_token_authorization=true
model_snapshot={}
models={\\
  "cat": {\\
    "1.0": {"marName": "cat.mar", "minWorkers": 4, "batchSize": 8, "maxBatchDelay": 50, "responseTimeout": "x"}\\
  }\\
}
"""


def test_config_properties(make, why, tmp_path):
    make(tmp_path, {"cat_handler.py": HANDLER, "conf/config.properties": CONFIG, "model-store/x": ""})
    found = discover(tmp_path)
    assert found.settings.models["cat"] == ModelSettings(
        handler="cat_handler.py", workers=4, batch_size=8, max_batch_delay=50
    )
    assert found.settings.server == ServerSettings(
        inference_port=9080,
        management_port=9081,
        grpc_inference_port=9070,
        properties={"job_queue_size": "50"},
    )
    assert found.settings.stores.primary == "model-store"
    assert why(found, "server.inference_port") == "inference_address in conf/config.properties"
    assert why(found, "models.cat.workers") == "models in conf/config.properties"


def test_compose_knows_the_port_on_the_host(make, tmp_path):
    compose = """services:
  serve:
    image: pytorch/torchserve:0.12.0-cpu
    ports:
      - "127.0.0.1:18080:9080"
      - ${MANAGEMENT:-18081}:9081   # management
      - target: 8082
        published: 18082
    volumes:
      - ./store:/home/model-server/model-store:ro
  web:
    ports: ["3000:3000"]
"""
    make(
        tmp_path,
        {
            "cat_handler.py": HANDLER,
            "config.properties": CONFIG,
            "docker/docker-compose.yml": compose,
            "docker/store/x": "",
            "model-store/x": "",
            "other/compose.yaml": 'services:\n  web:\n    ports:\n      - "1:8080"\n',
        },
    )
    found = discover(tmp_path).settings
    assert (found.server.inference_port, found.server.management_port, found.server.metrics_port) == (
        18080,
        18081,
        18082,
    )
    assert found.stores == StoreSettings(primary="docker/store", mirrors=("model-store",))


@pytest.mark.parametrize(
    "compose",
    [
        'serve:\n  ports: ["18080:8080"]\n',
        "services:\n  serve:\n    ports:\n    - 18080:8080/tcp\n",
        "services:\n  serve:\n    ports:\n    - {published: 18080, protocol: tcp, target: 8080}\n",
        "services: {serve: {ports: ['${PORT:-18080}:8080', '9:22']}}\n",
    ],
)
def test_each_way_to_publish_a_port(make, tmp_path, compose):
    make(tmp_path, {"cat_handler.py": HANDLER, "compose.yaml": f"# torchserve\n{compose}"})
    assert discover(tmp_path).settings.server.inference_port == 18080


@pytest.mark.parametrize(
    "text", ["[" * 5000, "ports: &a [*a]\n", "a: 2026-13-45\n", "- 1\n", "a: b: c\n", "? [1]\n: 2\n"]
)
def test_yaml_that_says_nothing(make, tmp_path, text):
    files = {"compose.yaml": f"# torchserve\n{text}", "model-config.yaml": text}
    make(tmp_path, {"cat_handler.py": HANDLER, **files})
    discover(tmp_path)


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        (["model/samples/a.json"], "model/samples"),
        (["payloads/a.json", "payloads/README.md"], "payloads"),
        (["handler/input_one.json"], "handler"),
        (["examples/train.ipynb", "examples/zebra.json"], None),
        (["Dockerfile", "sample.json"], None),
    ],
)
def test_samples(make, tmp_path, files, folder):
    make(tmp_path, {"handler/cat_handler.py": HANDLER, "handler/cat.pt": b"x"})
    if folder == "handler":
        (tmp_path / "handler/cat.pt").rename(tmp_path / "cat.pt")
    make(tmp_path, dict.fromkeys(files, "{}"))
    assert discover(tmp_path).settings.models["cat"].samples == folder


def test_samples_of_one_of_several_models(make, tmp_path):
    make(
        tmp_path,
        {
            "cat_handler.py": HANDLER,
            "dog_handler.py": HANDLER,
            "samples/cat/a.json": "{}",
        },
    )
    assert {name: model.samples for name, model in discover(tmp_path).settings.models.items()} == {
        "cat": "samples/cat",
        "dog": None,
    }


def test_odd_names_loops_junk_and_unreadable_files(make, tmp_path):
    root = make(
        tmp_path / "my äwful [project]",
        {
            'my "handler" #1.py': HANDLER,
            "w e i g h t s/mödel 1.pt": b"x",
            "junk.sh": b"torch-model-archiver \0 --handler \xff",
            "broken.py": "class (",
            "torn.sh": "torch-model-archiver --model-name 'x --handler y.py\n\\",
            "secret.sh": "torch-model-archiver --model-name cat --handler image_classifier",
            "config.properties": b"\xff\xfe=\nmodels={\\\ninference_address=",
        },
    )
    (root / "loop").symlink_to(root)
    (root / "dangling.py").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe.sh")
    (root / "secret.sh").chmod(0)
    if os.access(root / "secret.sh", os.R_OK):  # root reads everything
        (root / "secret.sh").unlink()
    found = discover(root)
    (model,) = found.settings.models.values()
    assert model.serialized_file == "w e i g h t s/mödel 1.pt"
    write(root, found)
    project = load(root)
    assert project.settings == found.settings
    members = [name for name, _ in collect(project, *project.model()).members]
    assert members == ['my "handler" #1.py', "mödel 1.pt"]


def test_a_large_folder_is_looked_at_in_part(make, tmp_path):
    make(tmp_path, {"zoo/cat_handler.py": HANDLER})
    (tmp_path / "data").mkdir()
    for number in range(1200):
        (tmp_path / "data" / f"{number}.py").touch()
    assert list(discover(tmp_path).settings.models) == ["cat"]
