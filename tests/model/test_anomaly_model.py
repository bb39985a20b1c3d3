"""What TorchServe asks of a model file, and what the project promises of both folders."""

import re
from pathlib import Path

import anomaly_model
import torch

ROOT = Path(anomaly_model.__file__).parents[1]
IMPORT = re.compile(r"^\s*(import|from) asteria_tui", re.MULTILINE)


def test_the_model_file_holds_one_class_that_needs_no_arguments():
    own = [value for value in vars(anomaly_model).values() if getattr(value, "__module__", "") == "anomaly_model"]

    assert own == [anomaly_model.AnomalyModel]
    assert isinstance(own[0](), torch.nn.Module)


def test_the_project_does_not_know_the_workbench():
    files = [*ROOT.glob("model/*.py"), *ROOT.glob("handler/*.py")]

    assert len(files) == 5
    assert not [file.name for file in files if IMPORT.search(file.read_text(encoding="utf-8"))]
