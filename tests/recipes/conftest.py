"""Recipes are scripts, not a package: how tests import them."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest


@pytest.fixture(scope="module")
def recipe(repository):
    """Import a script, given its path within `recipes`, anew for every test file."""
    loaded = []

    def load(path: str):
        name = "recipes." + path.removesuffix(".py").replace("/", ".")
        spec = spec_from_file_location(name, repository / "recipes" / path)
        module = module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickles look their module up
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in loaded:
        sys.modules.pop(name, None)
