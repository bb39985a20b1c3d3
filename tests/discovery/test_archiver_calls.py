"""Calls of the archiver as people write them."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.config import ModelSettings, StoreSettings, settings_from
from asteria_tui.discovery import discover, to_toml

HANDLER = "def handle(data, context): ..."


def test_readme_of_the_densenet_example(make, why, tmp_path):
    make(
        tmp_path,
        {
            "README.md": "# Serving\n\n```bash\npip install torch-model-archiver\n"
            "torch-model-archiver --model-name densenet161 --version 2.0 --model-file ./model.py "
            "--serialized-file model_store/densenet161.pth --export-path model_store "
            "--extra-files index_to_name.json --handler image_classifier\n```\n",
            "model.py": "",
            "model_store/densenet161.pth": b"x",
            "index_to_name.json": "{}",
        },
    )
    found = discover(tmp_path)
    assert found.settings.models == {
        "densenet161": ModelSettings(
            version="2.0",
            handler="image_classifier",
            serialized_file="model_store/densenet161.pth",
            model_file="model.py",
            extra_files=("index_to_name.json",),
        )
    }
    assert found.settings.stores == StoreSettings(primary="model_store")
    assert why(found, "models.densenet161.handler") == "torch-model-archiver call in README.md:5"
    assert why(found, "stores.primary") == "--export-path in README.md:5"


def test_shell_script_with_two_models_and_variables(make, tmp_path):
    make(
        tmp_path,
        {
            "scripts/package.sh": """#!/bin/bash
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
STORE=${STORE:-model-store}
HANDLER="$ROOT/handler/first handler.py"
# torch-model-archiver --model-name old --version 1 --handler gone.py
torch-model-archiver \\
  --model-name first \\
  --version=1.1 \\
  --handler "$HANDLER" \\
  --serialized-file $ROOT/weights/first.pt \\
  --export-path "$ROOT/$STORE" -f

torch-model-archiver --model-name second --version 2 --handler ../handler/second.py:handle \\
  -r ../handler/requirements.txt -c ../handler/model-config.yaml --runtime python3 \\
  --extra-files "../data,../vocab*.txt" --export-path "$ROOT/$STORE" && echo done
""",
            "handler/first handler.py": HANDLER,
            "handler/second.py": "def handle(data, context): ...",
            "handler/requirements.txt": "",
            "handler/model-config.yaml": "minWorkers: 2 # two\nbatchSize: 4\nnested:\n  responseTimeout: 9\n",
            "weights/first.pt": b"x",
            "data/a.json": "{}",
            "model-store/first.mar": b"PK",
        },
    )
    found = discover(tmp_path).settings
    assert found.models == {
        "first": ModelSettings(version="1.1", handler="handler/first handler.py", serialized_file="weights/first.pt"),
        "second": ModelSettings(
            version="2",
            handler="handler/second.py:handle",
            requirements_file="handler/requirements.txt",
            config_file="handler/model-config.yaml",
            runtime="python3",
            extra_files=("data", "vocab*.txt"),
            workers=2,
            batch_size=4,
        ),
    }
    assert found.stores.primary == "model-store"


def test_loop_over_models_in_a_shell_script(make, tmp_path):
    make(
        tmp_path,
        {
            "build.sh": "for m in cat dog; do\n  W=weights/$m.pt\n"
            '  torch-model-archiver --model-name "${m}" -v 1 --handler handler.py --serialized-file $W\ndone\n',
            "handler.py": HANDLER,
            "weights/cat.pt": b"x",
            "weights/dog.pt": b"x",
        },
    )
    found = discover(tmp_path).settings.models
    assert {name: model.serialized_file for name, model in found.items()} == {
        "cat": "weights/cat.pt",
        "dog": "weights/dog.pt",
    }


def test_array_of_arguments_in_a_shell_script(make, tmp_path):
    make(
        tmp_path,
        {
            "build.sh": "args=(\n  --model-name cat\n  --version 3\n  --handler handler.py\n)\n"
            'torch-model-archiver "${args[@]}" --force\n',
            "handler.py": HANDLER,
        },
    )
    assert discover(tmp_path).settings.models == {"cat": ModelSettings(version="3", handler="handler.py")}


def test_makefile(make, why, tmp_path):
    make(
        tmp_path,
        {
            "Makefile": "NAME := cat\nARCHIVER ?= python -m model_archiver.model_packaging\n"
            "WEIGHTS = $(NAME).pt\n\npackage: $(WEIGHTS)\n"
            "\t@$(ARCHIVER) --model-name $(NAME) --version 1.0 --handler src/handler.py \\\n"
            "\t\t--serialized-file ${WEIGHTS} --export-path build/store --force\n\t-rm -rf tmp\n",
            "src/handler.py": HANDLER,
            "cat.pt": b"x",
        },
    )
    found = discover(tmp_path)
    assert found.settings.models == {"cat": ModelSettings(handler="src/handler.py", serialized_file="cat.pt")}
    assert found.settings.stores.primary == "build/store"
    assert why(found, "models.cat.handler").endswith("Makefile:6")


PYTHON_CALLS = [
    """
subprocess.run([
    "torch-model-archiver", "--model-name", NAME, "--version", "1.0", f"--serialized-file={WEIGHTS}",
    "--handler", str(ROOT / "src" / "handler.py"), "--extra-files", ",".join(["a.json", "b.json"]), *force,
])
""",
    """
subprocess.check_call((
    sys.executable, "-m", "model_archiver.model_packaging", "--model-name", "cat", "--version", "1.0",
    "--handler", os.path.join("src", "handler.py"), "--serialized-file", "cat.pt",
    "--extra-files", "a.json,b.json",
))
""",
    """
os.system(f"torch-model-archiver --model-name {NAME} --version 1.0 --handler src/handler.py "
          f"--serialized-file {WEIGHTS} --extra-files a.json,b.json")
""",
    """
command: str = "torch-model-archiver --model-name " + NAME + " --handler src/handler.py"
subprocess.run(command + " --serialized-file " + WEIGHTS + " --extra-files a.json,b.json", shell=True)
""",
]


@pytest.mark.parametrize("call", PYTHON_CALLS)
def test_python_script(make, tmp_path, call):
    make(
        tmp_path,
        {
            "package.py": f"ROOT = Path(__file__).parent\nNAME = 'cat'\nWEIGHTS = NAME + '.pt'\n{call}\n",
            "src/handler.py": HANDLER,
            "cat.pt": b"x",
            "a.json": "{}",
            "b.json": "{}",
        },
    )
    assert discover(tmp_path).settings.models == {
        "cat": ModelSettings(handler="src/handler.py", serialized_file="cat.pt", extra_files=("a.json", "b.json"))
    }


def test_powershell_script_in_utf_16(make, tmp_path):
    script = (
        '$Name = "cat"\r\n& torch-model-archiver.exe --model-name $Name `\r\n  --version 1.0 `\r\n'
        '  --handler "$PSScriptRoot\\src\\handler.py" `\r\n  --serialized-file .\\weights\\cat.pt\r\n'
    )
    make(
        tmp_path,
        {"package.ps1": script.encode("utf-16"), "src/handler.py": HANDLER, "weights/cat.pt": b"x"},
    )
    assert discover(tmp_path).settings.models == {
        "cat": ModelSettings(handler="src/handler.py", serialized_file="weights/cat.pt")
    }


OTHER_CALLS = {
    "Dockerfile.serve": """FROM x
COPY handler.py /home/model-server/
RUN torch-model-archiver --model-name cat --version 1.0 --handler /home/model-server/handler.py \\
    --serialized-file /home/model-server/cat.pt --export-path /home/model-server/model-store
""",
    "Dockerfile": """
RUN ["torch-model-archiver", "--model-name", "cat", "--handler", "/x/handler.py", "--serialized-file", \\
     "/x/cat.pt", "--export-path", "/x/model-store"]
""",
    "ci.yml": """
jobs:
  build:
    run: >
      torch-model-archiver
      --model-name cat
      --handler deploy/handler.py
      --serialized-file cat.pt
      --export-path deploy/model-store
""",
    "package.sh": """
cd deploy
torch-model-archiver --model-name cat --handler handler.py --serialized-file ../cat.pt --export-path model-store
""",
}


@pytest.mark.parametrize(("name", "text"), OTHER_CALLS.items())
def test_paths_in_a_container_a_workflow_and_after_cd(make, tmp_path, name, text):
    make(
        tmp_path,
        {name: text, "deploy/handler.py": HANDLER, "cat.pt": b"x", "deploy/model-store/.gitkeep": ""},
    )
    found = discover(tmp_path).settings
    assert found.models == {"cat": ModelSettings(handler="deploy/handler.py", serialized_file="cat.pt")}
    assert found.stores == StoreSettings(primary="deploy/model-store")


def test_example_in_a_text_loses_against_the_script_and_weights_may_be_missing(make, why, tmp_path):
    make(
        tmp_path,
        {
            "docs/a.md": "`torch-model-archiver --model-name b --serialized-file b.bin --handler text_classifier`",
            "package.sh": "torch-model-archiver --model-name cat -v 1 --handler handler --serialized-file ./cat.pt",
            "handler.py": HANDLER,
            "tests/test_package.py": "'torch-model-archiver --model-name made-up --handler base_handler'",
        },
    )
    found = discover(tmp_path)
    assert found.settings.models == {"cat": ModelSettings(version="1", handler="handler.py", serialized_file="cat.pt")}
    assert why(found, "models.cat.serialized_file").endswith("package.sh:1; not there yet")


def test_unusable_calls_give_way_to_what_lies_there(make, tmp_path):
    make(
        tmp_path,
        {
            "package.sh": 'torch-model-archiver --model-name "$1" --handler "$2"\n'
            "torch-model-archiver --model-name x --handler gone.py\ntorch-model-archiver --help\n",
            "src/cat_handler.py": HANDLER,
        },
    )
    assert discover(tmp_path).settings.models == {"cat": ModelSettings(handler="src/cat_handler.py")}


def test_unknown_name_in_a_call_comes_from_the_weights(make, tmp_path):
    make(
        tmp_path,
        {
            "package.sh": "torch-model-archiver --model-name $1 --handler base_handler --serialized-file w/cat.pt",
            "w/cat.pt": b"x",
        },
    )
    assert list(discover(tmp_path).settings.models) == ["cat"]


def test_endless_variables_come_to_an_end(make, tmp_path):
    doubling = "".join(f"V{n}=$V{n + 1}$V{n + 1}$V{n + 1}\n" for n in reversed(range(200)))
    loops = "".join(f"for x{n} in {' '.join(map(str, range(99)))}; do\n" for n in range(9))
    call = f"torch-model-archiver --handler handler.py --model-name $V0{''.join(f'$x{n}' for n in range(9))}\n"
    make(tmp_path, {"a.sh": f"A=$A$A\n{doubling}{loops}{call}V200=xx\n{doubling}{call}", "handler.py": HANDLER})
    assert len(discover(tmp_path).settings.models) <= 100


SCRIPT_PARTS = st.sampled_from(
    [
        "torch-model-archiver ",
        "--handler ",
        "--model-name ",
        "handler.py ",
        "$A",
        "${A:-b}",
        "$(A)",
        "A=",
        "A=(",
        ")",
        "'",
        '"',
        "\\\n",
        "\n",
        "`",
        "for A in x y; do ",
        "$(",
        "|",
        "&& ",
        "--extra-files=**/*,",
        "~nobody/x ",
        "\0",
        "#",
        "@A",
        "cd /",
    ]
)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(SCRIPT_PARTS, max_size=40).map("".join),
    st.sampled_from(["a.sh", "a.ps1", "Makefile", "a.md", "a.yml", "a.py"]),
)
def test_no_script_makes_it_fail(make, tmp_path_factory, text, name):
    root = make(tmp_path_factory.mktemp("script"), {"cat_handler.py": HANDLER, name: text})
    found = discover(root)
    assert found.settings.models
    assert settings_from(tomllib.loads(to_toml(found))) == found.settings
