"""The test imports `ts` at its top, as a handler does."""

from tests.conftest import import_torchserve

import_torchserve()
