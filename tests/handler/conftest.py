"""TorchServe leaves a file open when it is imported (`ts/__init__.py`): not ours to fix, and not to fail on."""

import importlib
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)
    importlib.import_module("ts")
