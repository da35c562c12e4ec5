"""Names: what recordings and people are called, in memory and in files with columns.

The URI of a recording is its file's name without the extension; names are Unicode's composed form
(NFC), so that one that a Mac wrote is the same name. RTTM, UEM, lists and CTM part their columns
with white space: there, a name has %20 for a space, as in addresses on the web, and so for all
that would break a column or be read as nothing. `name_of` takes it back.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from .errors import InputError

# What pandas, with which pyannote.database reads RTTM, takes for no name at all.
NOTHING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
BREAKS_A_COLUMN = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029\"%;]")
ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def uri_of(path: Path | str) -> str:
    """URI of a recording: its file's name without its extension."""
    return composed(Path(path).stem)


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def uris_of(paths: Iterable[Path | str]) -> dict[str, Path]:
    """Recordings by URI.

    Raises
    ------
    InputError
        Two have the same, so that nobody could tell what is said of them apart.
    """
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        uri = uri_of(path)
        if uri in found:
            raise InputError(
                f"'{found[uri]}' and '{path}' are both called '{uri}': they would be told under "
                f"one name, and would be written to the same file. Rename one of them."
            )
        found[uri] = path
    return found


def field_of(name: str) -> str:
    """A name as a column has it; see `name_of`."""
    name = composed(name)
    field = BREAKS_A_COLUMN.sub(lambda found: quote(found[0], safe=""), name)
    if field in NOTHING:
        return "".join(f"%{byte:02X}" for byte in field[:1].encode()) + field[1:]
    return field


def name_of(field: str) -> str:
    """The name that a column has."""

    def back(found: re.Match) -> str:
        try:
            return unquote_to_bytes(found[0]).decode()
        except UnicodeDecodeError:  # somebody's per cent sign
            return found[0]

    return composed(ESCAPED.sub(back, field))
