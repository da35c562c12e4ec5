"""Columns: text whose columns white space parts, as RTTM and UEM are; counted, not only split.

A name that holds a space would else move all that is on its right: one column is taken for another.
"""

from __future__ import annotations

import codecs
import math
import re
from pathlib import Path

from pyannote.core import Segment, Timeline

from .errors import InputError
from .names import name_of

# SPEAKER uri channel start duration <NA> <NA> name <NA> <NA>, where uri and name hold spaces.
SPACED_RTTM = re.compile(
    r"SPEAKER\s+(?P<uri>\S.*?)\s+(?:\d+|<NA>)\s+(?P<start>\S+)\s+(?P<length>\S+)"
    r"\s+<NA>\s+<NA>\s+(?P<name>\S.*?)\s+<NA>(?:\s+<NA>)?"
)
CHANNEL = re.compile(r"\d+|<NA>|NA|-|\w")


def rttm_fields(line: str) -> tuple[str, str, str, str]:
    """Uri, start, length and name: columns counted, or by what is around names that hold spaces.

    Raises
    ------
    ValueError
        There are too few columns, or nobody could tell which is which.
    """
    fields = line.strip().split("\t") if line.count("\t") >= 7 else line.split()
    if len(fields) < 8:
        raise ValueError(f"{len(fields)} columns of 10")
    if len(fields) <= 10 and CHANNEL.fullmatch(fields[2]) and fields[7] != "<NA>":
        return fields[1], fields[3], fields[4], fields[7]
    found = SPACED_RTTM.fullmatch(line.strip())
    if found is None or re.search(r"\s\d+\s+[\d.]+$", found["uri"]):
        raise ValueError(f"{len(fields)} columns instead of 10: a space in a name?")
    return found["uri"], found["start"], found["length"], found["name"]


def read_uem(path: Path) -> dict[str, Timeline]:
    """What is annotated, according to a UEM (uri channel start end), by uri.

    Raises
    ------
    InputError
        The file is no UEM; the line is told.
    OSError
        It cannot be opened.
    """
    parts: dict[str, list[Segment]] = {}
    try:
        lines = lines_of(path)
    except UnicodeError as error:
        raise InputError(f"'{path}' is no text in UTF-8 or UTF-16.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(";"):
            continue
        try:
            uri, channel, start, end = line.rsplit(None, 3)
            start, end = float(start), float(end)
            if not (CHANNEL.fullmatch(channel) and 0 <= start < end and math.isfinite(end)):
                raise ValueError
        except ValueError:
            raise InputError(
                f"'{path}': line {number} is not UEM (uri channel start end): '{line:.120}'."
            ) from None
        parts.setdefault(name_of(uri.strip()), []).append(Segment(start, end))
    return {uri: Timeline(segments, uri=uri) for uri, segments in parts.items()}


def text_of(path: Path) -> str:
    """Text in UTF-8 or UTF-16, with or without Windows' mark.

    Raises
    ------
    UnicodeError
        It is neither.
    """
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def lines_of(path: Path) -> list[str]:
    """Lines of a text; a name may hold other breaks than these."""
    return re.split(r"\r\n|\n|\r", text_of(path))
