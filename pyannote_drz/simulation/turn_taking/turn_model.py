"""The numbers of the fitted turn-taking model, and the readable file that they are kept in.

What they mean is in `fitted.py`, which draws from them; `fitting.py` finds them.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ...io.atomic import atomic_write
from ..config import MAX_SPEAKERS
from .transitions import KINDS

FORMAT = "pyannote_drz turn-taking 1"  # raise it when the meaning of a field changes

# Edges between bins, in seconds, each about twice the one before: what follows depends on these
# lengths by their order of magnitude.
LEFT_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # what is left of the floor holder's turn
OVERLAP_S = (0.15, 0.3, 0.6, 1.2, 2.4, 4.8)  # what is left of a second speaker's turn
NEAR_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # LEFT_S, coarser: third speakers are rare
CROWD_S = (0.25, 0.5, 1.0, 2.0)  # OVERLAP_S, coarser
SINCE_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # since somebody's latest turn

Table = list[float]  # means of equal shares of sorted values: a distribution, see `fitted.draw`


@dataclass(frozen=True)
class State:
    """How people take turns during a window: lively or not, with silences or without."""

    share: float  # of all windows
    opening_share: float  # of the first windows of conversations
    lasts_s: float  # the first turn that begins after that is of another state
    following: list[float]  # (states,) probability of each state in the next window
    engaged: list[float]  # (MAX_SPEAKERS,) probability that 1, 2, … people speak in it
    kinds: list[list[list[float]]]  # (previous kind, LEFT_S bin, kind) probabilities
    pause_s: Table  # before a hold
    gap_s: Table  # before a switch
    hold_s: Table  # length of a turn after a pause
    switch_s: Table  # length of a turn after a gap
    beyond_s: Table  # length of an interruption beyond the turn that it interrupts
    interruption_at: list[Table]  # (LEFT_S bin,) when, as a share of what is left
    backchannel_at: list[Table]  # (LEFT_S bin,) the same
    backchannel_length: list[Table]  # (LEFT_S bin,) its length, as a share of what is left then
    third: float  # factor of `third_share`
    recency: list[float]  # (SINCE_S bin,) weight of a candidate for the next turn


@dataclass(frozen=True)
class TurnModel:
    """All of the model."""

    participants: list[float]  # (MAX_SPEAKERS,) probability of 1, 2, … people in a conversation
    opening_share: float  # windows that begin before the first word
    opening_s: Table  # silence from there to the first word
    third_share: list[list[float]]  # (OVERLAP_S bin, NEAR_S bin): a third joins two speakers
    third_at: list[Table]  # (OVERLAP_S bin,) when, as a share of the second's rest
    third_length: list[list[Table]]  # (CROWD_S bin, LEFT_S bin), share of what is left, if not
    third_interrupts: list[list[float]]  # (CROWD_S bin, LEFT_S bin), its probability
    states: list[State]
    provenance: dict[str, Any] = field(default_factory=dict)  # what it was fitted on, by what

    def __post_init__(self) -> None:
        num_left, num_kinds = len(LEFT_S) + 1, len(KINDS)
        _check("participants", self.participants, (MAX_SPEAKERS,), shares=True)
        _check("opening_share", self.opening_share, ())
        _check("opening_s", self.opening_s, (None,))
        _check("third_length", self.third_length, (len(CROWD_S) + 1, num_left, None), most=1)
        _check("third_share", self.third_share, (len(OVERLAP_S) + 1, len(NEAR_S) + 1), most=1)
        _check("third_at", self.third_at, (len(OVERLAP_S) + 1, None), most=1)
        _check("third_interrupts", self.third_interrupts, (len(CROWD_S) + 1, num_left), most=1)
        if not self.states:
            raise ValueError("states must not be empty.")
        for k, state in enumerate(self.states):
            name = f"states[{k}]"
            _check(f"{name}.share", state.share, (), most=1)
            _check(f"{name}.opening_share", state.opening_share, (), most=1)
            _check(f"{name}.lasts_s", state.lasts_s, ())
            _check(f"{name}.following", state.following, (len(self.states),), shares=True)
            _check(f"{name}.engaged", state.engaged, (MAX_SPEAKERS,), shares=True)
            _check(f"{name}.kinds", state.kinds, (num_kinds, num_left, num_kinds), shares=True)
            for table in ("pause_s", "gap_s", "hold_s", "switch_s", "beyond_s"):
                _check(f"{name}.{table}", getattr(state, table), (None,))
            for table in ("interruption_at", "backchannel_at", "backchannel_length"):
                _check(f"{name}.{table}", getattr(state, table), (num_left, None), most=1)
            _check(f"{name}.third", state.third, ())
            _check(f"{name}.recency", state.recency, (len(SINCE_S) + 1,))
        for name in ("share", "opening_share"):
            values = [getattr(state, name) for state in self.states]
            _check(f"{name} of the states", values, (None,), shares=True)

    def save(self, path: str | Path) -> None:
        """Write the model to a JSON file, a list of numbers a line; all of it or nothing.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        """
        if not Path(path).parent.is_dir():
            raise FileNotFoundError(f"there is no folder for the turn-taking model '{path}'.")
        content = {"format": FORMAT, "provenance": {}, **asdict(self)}  # first, for readers
        with atomic_write(path) as part:
            part.write_text(_dump(content) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "TurnModel":
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it holds anything else, an unknown key, or numbers that make no sense.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"turn-taking model '{path}' is missing.")
        try:
            content = json.loads(Path(path).read_text())
        except ValueError:  # not JSON, or not even text
            content = None
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ValueError(f"'{path}' is no turn-taking model of format '{FORMAT}'.")
        try:
            if "moods" in content:  # what models were stored with before
                content["states"] = content.pop("moods")
            states = content.get("states")
            if not isinstance(states, list):
                raise ValueError(f"states must be a list, not {states!r}.")
            content["states"] = [
                _made(State, state, f"states[{k}]") for k, state in enumerate(states)
            ]
            return _made(cls, content, "the model")
        except ValueError as error:
            raise ValueError(f"turn-taking model '{path}' cannot be used: {error}") from None


def _made(kind: type, values: object, where: str) -> Any:
    """A dataclass from a mapping of exactly its fields."""
    known = {f.name for f in fields(kind)}
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a mapping, not {values!r}.")
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{where} has unknown keys {unknown}.")
    if missing := sorted(known - set(values) - {"provenance"}):
        raise ValueError(f"{where} lacks {missing}.")
    return kind(**values)


def _check(name: str, value: Any, shape: tuple, most: float = math.inf, shares: bool = False):
    """See that nested lists have this shape (None: any length above 0) and numbers from 0 on."""
    if not shape:
        if not isinstance(value, (int, float)) or not 0 <= value <= most or math.isinf(value):
            raise ValueError(f"{name} must be a number from 0 to {most}, not {value!r}.")
        return
    if not isinstance(value, list) or len(value) != (shape[0] or max(len(value), 1)):
        raise ValueError(f"{name} must be a list of {shape[0] or 'some'} items, not {value!r}.")
    for k, item in enumerate(value):
        _check(f"{name}[{k}]", item, shape[1:], most, shares)
    if shares and len(shape) == 1 and abs(sum(value) - 1) > 0.01:
        raise ValueError(f"{name} must sum to 1, not to {sum(value):.3f}.")


def _dump(value: Any, indent: str = "") -> str:
    """JSON with one innermost list a line."""
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(key)}: {_dump(v, indent + ' ')}" for key, v in value.items()]
        opening, closing = "{}"
    elif isinstance(value, list) and any(isinstance(item, (list, dict)) for item in value):
        items = [_dump(item, indent + " ") for item in value]
        opening, closing = "[]"
    else:
        return json.dumps(value, ensure_ascii=False)
    inner = f",\n{indent} ".join(items)
    return f"{opening}\n{indent} {inner}\n{indent}{closing}"
