"""The scripts in ``tools/`` and ``benchmarks/``, which belong to no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_script(path: Path) -> ModuleType:
    """Return a new module of the script at ``path``; nobody can import it by name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    hidden = sys.modules.get(path.stem)
    # Dataclasses look their module up by its name while they are made.
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
        if hidden is not None:
            sys.modules[path.stem] = hidden
    return module
