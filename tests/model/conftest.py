"""The model's files import each other as TorchServe and `python model/train.py` find them: flat, by bare name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "model"))
