"""A stage's module without a server: only Triton has the library that talks to it."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from nonesuch_export.stages import __file__ as stages_file

LIBRARY = "triton_python_backend_utils"


def loaded(name: str) -> Any:
    """The module of stage `name`, whose functions that talk to Triton cannot be called."""
    path = Path(stages_file).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[LIBRARY] = types.ModuleType(LIBRARY)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[LIBRARY]
    return module
