"""The fitted turn-taking model: conversations whose timing is learnt from real ones.

Turns follow each other by the four transitions of `transitions.py`. Which one comes next, and
when, depends on

- the state of the window: how silent and how lively this minute or so is, and how many of the
  people take part in it at all (on AMI that, not a fixed dominance, tells windows apart);
- the previous transition, and how much is left of the floor holder's turn;
- whether two speak already: a third joins more readily while the overlap is long and the floor
  holder about to end.

Who speaks next depends on how long ago everybody spoke last. The transitions are those of FastMSS
(Interspeech 2026, arXiv 2605.15442), the distributions of pauses, gaps and overlaps those of
BUT's simulated conversations (Landini et al., Interspeech 2022, arXiv 2204.00890); states and
dependencies are ours, because without them windows were too much alike.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from pyannote.core import Annotation

from ..config import MAX_SPEAKERS
from .fitting import fit_turn_model
from .transitions import BACKCHANNEL, HOLD, INTERRUPTION, SWITCH
from .turn_model import CROWD_S, LEFT_S, NEAR_S, OVERLAP_S, SINCE_S, TurnModel
from .turns import MERGE_GAP_S, MIN_TURN_S, Turn, cut_window, read_rttm

AMI = Path(__file__).parent / "ami_turns.json"
LEAD_S = 60.0  # virtual conversation before a window, at least: most long turns end within it


class FittedTurns:
    """Windows of virtual conversations that follow a fitted model.

    Parameters
    ----------
    model : TurnModel
    max_speakers : int, optional
        Most people in a conversation.

    Raises
    ------
    ValueError
        If `max_speakers` is not in 1..8.
    """

    def __init__(self, model: TurnModel, max_speakers: int = MAX_SPEAKERS):
        if not 1 <= max_speakers <= MAX_SPEAKERS:
            raise ValueError(f"max_speakers must be in 1..{MAX_SPEAKERS}, not {max_speakers}.")
        self.model, self.max_speakers = model, max_speakers
        self._participants = _cumulated(model.participants)
        self._state = _cumulated([state.share for state in model.states])
        self._opening = _cumulated([state.opening_share for state in model.states])
        self._following = [_cumulated(state.following) for state in model.states]
        self._engaged = [_cumulated(state.engaged) for state in model.states]
        self._kinds = [
            [[_cumulated(shares) for shares in bins] for bins in state.kinds]
            for state in model.states
        ]

    @classmethod
    def fit(
        cls,
        conversations: Iterable[Annotation | str | Path],
        max_speakers: int = MAX_SPEAKERS,
        provenance: Mapping[str, Any] | None = None,
    ) -> "FittedTurns":
        """Fit the model.

        Parameters
        ----------
        conversations : iterable of Annotation or path
            References, or RTTM files of any number of conversations each.
        max_speakers : int, optional
            Most people of a conversation that is sampled.
        provenance : mapping, optional
            What a reader of the saved model should know: name of the corpus, licence, command.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If a file is no RTTM, a conversation has no turns, or nobody follows anybody.
        """
        meetings: list[list[Turn]] = []
        for conversation in conversations:
            if isinstance(conversation, Annotation):
                meetings.append(turns_of(conversation))
                continue
            if not Path(conversation).is_file():
                raise FileNotFoundError(f"RTTM file '{conversation}' is missing.")
            found = read_rttm([conversation])
            if not found:
                raise ValueError(f"RTTM file '{conversation}' has no turns.")
            meetings += found
        return cls(fit_turn_model(meetings, provenance), max_speakers)

    @classmethod
    def load(cls, path: str | Path, max_speakers: int = MAX_SPEAKERS) -> "FittedTurns":
        """Read a fitted model from its file, see `TurnModel.load`."""
        return cls(TurnModel.load(path), max_speakers)

    @classmethod
    def ami(cls, max_speakers: int = MAX_SPEAKERS) -> "FittedTurns":
        """The packaged model, fitted on the 136 training meetings of AMI (`only_words`)."""
        return cls(_ami(), max_speakers)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a JSON file."""
        self.model.save(path)

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window, of 0 to `max_speakers` people."""
        uniform = _uniforms(rng).__next__
        if uniform() < self.model.opening_share:
            begin_s, first_s = 0.0, draw(self.model.opening_s, uniform())
            state = _choice(self._opening, uniform())
        else:
            begin_s, first_s = LEAD_S * (1 + uniform()), 0.0
            state = _choice(self._state, uniform())
        conversation = _Conversation(self, first_s, state, uniform)
        end_s = begin_s + duration_s
        turns = []
        for turn in conversation:
            if turn.start_s >= end_s:
                break
            if turn.end_s > begin_s:
                turns.append(turn)
        return cut_window(turns, begin_s, duration_s)


class _Conversation:
    """A virtual conversation, turn by turn in order of their starts, without an end."""

    def __init__(
        self, turns: FittedTurns, first_s: float, state: int, uniform: Callable[[], float]
    ):
        self.turns, self.model, self.uniform = turns, turns.model, uniform
        num_people = _choice(turns._participants, uniform()) + 1
        self.people = range(min(num_people, turns.max_speakers))
        # Everybody has spoken some time ago, or will seem to.
        self.ends_s = [first_s - MERGE_GAP_S - LEAD_S * uniform() for _ in self.people]
        self.floor = int(uniform() * len(self.people))  # who holds it
        self.floor_end_s = self.onset_s = first_s
        self.state = state
        self.previous = SWITCH

    def __iter__(self) -> Iterator[Turn]:
        self._enter(self.state)
        end_s = self.onset_s + draw(self.now.switch_s, self.uniform())
        turn = Turn(self.onset_s, end_s, self.floor)
        while True:
            yield turn
            self.ends_s[turn.speaker] = turn.end_s
            if turn.end_s > self.floor_end_s:
                self.floor, self.floor_end_s = turn.speaker, turn.end_s
            self.onset_s = turn.start_s
            if self.onset_s >= self.mood_until_s:
                self._enter(_choice(self.turns._following[self.state], self.uniform()))
            turn = self._next()

    def _enter(self, state: int) -> None:
        """Begin a window: its state, and who takes part in it."""
        self.state, self.now = state, self.model.states[state]
        self.mood_until_s = self.onset_s + self.now.lasts_s
        count = _choice(self.turns._engaged[state], self.uniform()) + 1
        others = [person for person in self.people if person != self.floor]
        self.engaged = [self.floor]
        while others and len(self.engaged) < count:
            self.engaged.append(self._pick(others, self.onset_s))
            others.remove(self.engaged[-1])

    def _pick(self, candidates: Sequence[int], time_s: float) -> int:
        """One of the candidates, by how long ago they spoke."""
        recency, ends_s = self.now.recency, self.ends_s
        weights = [recency[bisect_right(SINCE_S, time_s - ends_s[p])] for p in candidates]
        return candidates[_choice(list(accumulate(weights)), self.uniform())]

    def _next(self) -> Turn:
        """The turn that begins next, and the transition to it, which becomes `previous`."""
        model, now, uniform, floor_end_s = self.model, self.now, self.uniform, self.floor_end_s
        others = [person for person in self.engaged if person != self.floor]
        if not others:
            return self._hold()
        since_s = self.onset_s
        second_s = max(self.ends_s[person] for person in others)  # end of a second speaker
        start_s = None
        if second_s > since_s:
            overlap_s, left_s = second_s - since_s, floor_end_s - since_s
            overlap = bisect_right(OVERLAP_S, overlap_s)
            joins = now.third * model.third_share[overlap][bisect_right(NEAR_S, left_s)]
            rested = min(self.ends_s[person] for person in others) + MERGE_GAP_S <= since_s
            if rested and uniform() < joins:
                start_s = since_s + overlap_s * draw(model.third_at[overlap], uniform())
                interrupts = model.third_interrupts[bisect_right(CROWD_S, second_s - start_s)]
                left = bisect_right(LEFT_S, floor_end_s - start_s)
                kind = INTERRUPTION if uniform() < interrupts[left] else BACKCHANNEL
            since_s = second_s  # nobody else begins while the two speak
        if start_s is None:
            left_s = floor_end_s - since_s
            left = bisect_right(LEFT_S, left_s)
            kind = _choice(self.turns._kinds[self.state][self.previous][left], uniform())
            if kind == HOLD:
                return self._hold()
            if kind == SWITCH:
                start_s = floor_end_s + draw(now.gap_s, uniform())
            else:
                tables = now.interruption_at if kind == INTERRUPTION else now.backchannel_at
                start_s = since_s + left_s * draw(tables[left], uniform())

        free = [p for p in others if self.ends_s[p] + MERGE_GAP_S <= start_s]
        if not free:  # they all have just spoken: wait for the first to draw breath
            free = [min(others, key=self.ends_s.__getitem__)]
            start_s = self.ends_s[free[0]] + MERGE_GAP_S
            if kind != SWITCH and start_s >= floor_end_s:
                return self._hold()
        speaker = self._pick(free, start_s)
        if kind == SWITCH:
            end_s = start_s + draw(now.switch_s, uniform())
        elif kind == INTERRUPTION:
            end_s = floor_end_s + draw(now.beyond_s, uniform())
        else:
            tables = now.backchannel_length
            if second_s > start_s:
                tables = model.third_length[bisect_right(CROWD_S, second_s - start_s)]
            room_s = floor_end_s - start_s
            end_s = start_s + room_s * draw(tables[bisect_right(LEFT_S, room_s)], uniform())
        self.previous = kind
        return Turn(start_s, max(end_s, start_s + MIN_TURN_S), speaker)

    def _hold(self) -> Turn:
        """The floor holder goes on after a pause."""
        pause_s = max(draw(self.now.pause_s, self.uniform()), MERGE_GAP_S)
        length_s = max(draw(self.now.hold_s, self.uniform()), MIN_TURN_S)
        start_s = self.floor_end_s + pause_s
        self.previous = HOLD
        return Turn(start_s, start_s + length_s, self.floor)


def draw(table: Sequence[float], u: float) -> float:
    """Value of a distribution at quantile `u`, in 0..1.

    The table has the means of equal shares of the sorted values. Straight lines between them keep
    the distribution's mean, as lines between quantiles would not.
    """
    position = u * len(table) - 0.5
    k = int(position)
    if position <= 0:
        return table[0]
    if k >= len(table) - 1:
        return table[-1]
    return table[k] + (position - k) * (table[k + 1] - table[k])


def turns_of(annotation: Annotation) -> list[Turn]:
    """Turns of an annotation, sorted."""
    numbers = {label: number for number, label in enumerate(annotation.labels())}
    return sorted(
        Turn(segment.start, segment.end, numbers[label])
        for segment, _, label in annotation.itertracks(yield_label=True)
    )


@cache
def _ami() -> TurnModel:
    return TurnModel.load(AMI)


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    """Numbers from 0 to 1, drawn by the block: one by one would take most of the time."""
    while True:
        yield from rng.random(256).tolist()


def _cumulated(shares: Sequence[float]) -> list[float]:
    return list(accumulate(shares))


def _choice(cumulated: Sequence[float], u: float) -> int:
    """Position in cumulated weights; they need not sum to 1."""
    return min(bisect_right(cumulated, u * cumulated[-1]), len(cumulated) - 1)
