"""Listing: our task and model appear in pyannote.audio's namespaces, without importing those.

Importing pyannote.audio takes seconds. So a name is added when its namespace is imported, by
whoever needs it, and our class behind the name is imported when the name is used.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def list_in_pyannote_audio(namespace: str, name: str) -> None:
    """Make `namespace.name` mean `pyannote_drz.name`, now or once the namespace is imported.

    Parameters
    ----------
    namespace : str
        A module of pyannote.audio with `__all__`, such as "pyannote.audio.tasks".
    name : str
        A class that `pyannote_drz` exports.
    """
    when_imported(namespace, partial(_add, name=name))


def when_imported(namespace: str, change: Callable[[ModuleType], None]) -> None:
    """Change a module, now or once it is imported.

    Parameters
    ----------
    namespace : str
        Of the module, such as "pyannote.audio.tasks".
    change : callable
        Called with the module.
    """
    if namespace in sys.modules:
        change(sys.modules[namespace])
    else:
        sys.meta_path.insert(0, _WhenImported(namespace, change))


class _WhenImported(MetaPathFinder):
    """Finds one module like Python does, and changes it after it has run."""

    def __init__(self, namespace: str, change: Callable[[ModuleType], None]):
        self.namespace, self.change = namespace, change

    def find_spec(
        self, fullname: str, path: list[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.namespace:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_change(module: ModuleType) -> None:
            run(module)
            self.change(module)

        spec.loader.exec_module = run_and_change
        return spec


def _add(module: ModuleType, name: str) -> None:
    if name in module.__all__:
        return
    module.__all__.append(name)

    def look_up(asked: str) -> object:  # Python asks it for what the module does not have itself
        if asked != name:
            raise AttributeError(f"module {module.__name__!r} has no attribute {asked!r}")
        import pyannote_drz

        return getattr(pyannote_drz, name)

    module.__getattr__ = look_up
