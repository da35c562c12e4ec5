"""Checked configuration: what files and calls bring, against types, by pydantic."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from .errors import InputError

T = TypeVar("T")
LONGEST = 60  # letters of a wrong value that are shown


def checked(kind: type[T], value: object, where: str) -> T:
    """`value` as a `kind`, which any annotation of types describes.

    Parameters
    ----------
    kind : type
        A dataclass, a pydantic model, or a type such as ``Annotated[float, Field(ge=0)]``.
    value : object
    where : str
        What is checked, for people: the path of a file, or the name of a parameter.

    Returns
    -------
    value : object of that kind

    Raises
    ------
    InputError
        It is none: the first thing that is wrong is told, with its name and value.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{_place(where, first['loc'])}: {_said(first)}.") from error


def _place(where: str, location: tuple) -> str:
    inside = ".".join(str(step) for step in location)
    return f"{where}: {inside}" if inside else where


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
