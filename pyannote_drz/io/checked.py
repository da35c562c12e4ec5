"""Checked configuration: what files and calls bring, against types, by pydantic."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, TypeVar, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from .errors import InputError

T = TypeVar("T")
LONGEST = 60  # letters of a wrong value that are shown
# Text is no number, nor is True; objects of any class are known by it.
EXACT = ConfigDict(strict=True, arbitrary_types_allowed=True)

# ---- kinds of numbers ---------------------------------------------------------------------------


def number(low: float, high: float, **more) -> type[float]:
    """Kind of a number from `low` to `high`, and no other: not infinite, not nan."""
    return Annotated[float, Field(ge=low, le=high, allow_inf_nan=False, **more)]


def whole(low: int, high: int = 2**31) -> type[int]:
    """Kind of a whole number from `low` to `high`."""
    return Annotated[int, Field(ge=low, le=high)]


def span(low: float, high: float) -> type[tuple[float, float]]:
    """Kind of a range (low, high) within another, whose lists are tuples, too."""
    edge = number(low, high)
    return Annotated[tuple[edge, edge], Field(strict=False), AfterValidator(_rising)]


def _rising(edges: tuple[float, float]) -> tuple[float, float]:
    if edges[0] > edges[1]:
        raise ValueError("input should be a range (low, high)")
    return edges


Share = number(0, 1)

# ---- checks -------------------------------------------------------------------------------------


def checked(kind: type[T], value: object, where: str, exact: bool = False) -> T:
    """`value` as a `kind`, which any annotation of types describes.

    Parameters
    ----------
    kind : type
        A dataclass, a pydantic model, or a type such as ``Annotated[float, Field(ge=0)]``.
    value : object
    where : str
        What is checked, for people: the path of a file, or the name of a parameter.
    exact : bool, optional
        "3" is no 3, nor is True: for what was no text to begin with. Not for dataclasses.

    Returns
    -------
    value : object of that kind

    Raises
    ------
    InputError
        It is none: the first thing that is wrong is told, with its name and value.
    """
    try:
        return TypeAdapter(kind, config=EXACT if exact else None).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{_place(where, first, value, exact)}: {_said(first)}.") from error


def checks_arguments(call: Callable) -> Callable:
    """Decorate a function that shall only be called with what its annotations allow.

    It is called with the very arguments that were given. What is wrong raises InputError.
    """
    kinds = get_type_hints(call, include_extras=True)
    signature = inspect.signature(call)

    @wraps(call)
    def called(*arguments, **named):
        for name, value in signature.bind(*arguments, **named).arguments.items():
            if name in kinds:
                checked(kinds[name], value, name, exact=True)
        return call(*arguments, **named)

    return called


def _place(where: str, error: dict, value: object, is_name: bool) -> str:
    """`where`, a name or a path, and what is wrong inside; pydantic tells kinds there, too."""
    steps = []
    for step in error["loc"]:
        try:
            value = value[step]
        except (TypeError, KeyError, IndexError):
            if error["type"] != "missing":
                continue
        steps.append(str(step))
    inside = ".".join(steps)
    return f"{where}{'.' if is_name else ': '}{inside}" if inside else where


def _said(error: dict) -> str:
    words = error["msg"].removeprefix("Value error, ").rstrip(".")
    words = words[0].lower() + words[1:]
    if error["type"] in ("missing", "extra_forbidden"):
        return words
    return f"{words}, got {shown(error['input'])}"


def shown(value: object) -> str:
    """A value as people see it, and not more than a line of it."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
