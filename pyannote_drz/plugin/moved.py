"""Moved modules: the names that they had before mean the same modules, wherever one is written.

Checkpoints, configurations, entry points of an installation that is older than its sources, and
programs of users name modules. `import pyannote_drz.audio` gives the module that is now
`pyannote_drz.io.audio` itself, not a copy: classes stay the same classes. `python -m` runs it.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

# package before: package now: modules
_MOVED = {
    "": {
        "cli": "demo",
        "evaluation": "evaluate overlaps systems",
        "io": "audio checked columns containers errors loader longs mixing names outputs sounds",
        "models": "parallel",
        "plugin": "telemetry",
        "storage": "budget pickled sources weights",
    },
    "simulation": {
        "simulation.acoustics": "channels noises room_bank rooms silences",
        "simulation.speakers": "casting likeness voices",
        "simulation.turn_taking": "fitted fitting monologues statistics transitions"
        " turn_model turns",
        "simulation.writing": "corpus encoding workers",
    },
}

PACKAGE = "pyannote_drz"
HERE = Path(__file__).resolve().parents[1]


def _named(*parts: str) -> str:
    return ".".join(part for part in (PACKAGE, *parts) if part)


MOVED = {
    _named(before, name): _named(now, name)
    for before, packages in _MOVED.items()
    for now, names in packages.items()
    for name in names.split()
}
# and modules that have another name now
for _before, _now in (
    ("listing", "plugin.registration"),
    ("drafts", "io.atomic"),
    ("io.drafts", "io.atomic"),
    ("models.voices", "models.speaker_embeddings"),
    ("simulation.dials", "simulation.checked_config"),
    ("simulation.moods", "simulation.turn_taking.states"),
    ("simulation.turn_taking.moods", "simulation.turn_taking.states"),
):
    MOVED[_named(_before)] = _named(_now)


class MovedModules:
    """A finder, for `sys.meta_path`, and the loader of what it finds."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's specification, if that is one that has moved."""
        if name not in MOVED:
            return None
        file = HERE.joinpath(*MOVED[name].split(".")[1:]).with_suffix(".py")
        return spec_from_loader(name, self, origin=str(file))  # the origin is argv[0] of `-m`

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module from where it is now."""
        module = import_module(MOVED[spec.name])
        spec.loader_state = module.__spec__  # which Python is about to replace by `spec`
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own specification back: it has run under its own name."""
        module.__spec__ = module.__spec__.loader_state

    def get_code(self, name: str) -> CodeType | None:
        """What `python -m name` runs."""
        found = find_spec(MOVED[name])
        return found.loader.get_code(found.name)


def keep_old_names() -> None:
    """Let modules be imported by their names of before."""
    sys.meta_path.append(MovedModules())
