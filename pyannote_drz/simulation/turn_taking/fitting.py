"""Fitting of the turn-taking model: counting what happens in real conversations.

Each transition is counted in the state of the window where the turn before it began, which is
where `FittedTurns` draws from. Where a state has seen too little of something, what all states have
seen stands in.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..config import MAX_SPEAKERS
from .states import WINDOW_S, StateWindow, cut_state_windows, find_states
from .transitions import BACKCHANNEL, HOLD, INTERRUPTION, KINDS, SWITCH, transitions
from .turn_model import (
    CROWD_S,
    LEFT_S,
    NEAR_S,
    OVERLAP_S,
    SINCE_S,
    State,
    TurnModel,
)
from .turns import MERGE_GAP_S, Turn, merge_gaps

MIN_VALUES = 30  # of a distribution in one state or bin, or else those of all are taken
TABLE_SIZE = 24  # shares of a distribution: the top one holds its highest 4 %
SHARE_SIZE = 12  # of tables of shares of what is left, which have no long tail
PRIOR = 1.0  # counts that a cell of probabilities starts with, shared as in all states


class Found:
    """Lengths that were found, by what they are lengths of and by the part of the data."""

    def __init__(self) -> None:
        self.values: dict[tuple, dict[int, list[float]]] = {}

    def add(self, value: float, what: tuple, part: int) -> None:
        self.values.setdefault(what, {}).setdefault(part, []).append(value)

    def all(self, *what: Any) -> list[float]:
        """Values of all parts."""
        return [value for values in self.values.get(what, {}).values() for value in values]

    def table(self, what: tuple, part: int, otherwise: Sequence[float], size: int) -> list[float]:
        """Distribution of a part; where it has few values, of all parts, or of others."""
        own = self.values.get(what, {}).get(part, [])
        return _table(own if len(own) >= MIN_VALUES else self.all(*what) or otherwise, size)


def fit_turn_model(
    meetings: Iterable[Sequence[Turn]], provenance: Mapping[str, Any] | None = None
) -> TurnModel:
    """Fit the model on meetings; their times are in seconds.

    Raises
    ------
    ValueError
        If there is no meeting, one has no turns, or no turn follows another.
    """
    meetings = [merge_gaps(turns) for turns in meetings]
    if not meetings:
        raise ValueError("there is no conversation to fit on.")
    if empty := [k for k, turns in enumerate(meetings) if not turns]:
        raise ValueError(f"conversation {empty[0] + 1} of {len(meetings)} has no turns to fit on.")
    if all(len(turns) == 1 for turns in meetings):
        raise ValueError("no turn follows another: turn-taking cannot be fitted on single turns.")

    begins_s = np.array([turns[0].start_s for turns in meetings])
    ends_s = np.array([max(turn.end_s for turn in turns) for turns in meetings])
    meetings = [
        [Turn(t.start_s - begin_s, t.end_s - begin_s, t.speaker) for t in turns]
        for turns, begin_s in zip(meetings, begins_s)
    ]
    windows = [cut_state_windows(turns) for turns in meetings]
    states = find_states([s for of_meeting in windows for s in of_meeting])
    num_states = max(states) + 1
    state_of, k = [], 0  # meeting -> its windows' states
    for of_meeting in windows:
        state_of.append(states[k : k + len(of_meeting)])
        k += len(of_meeting)

    counts = _Counts(num_states)
    for turns, of_meeting, its_states in zip(meetings, windows, state_of):
        counts.add(turns, of_meeting, its_states)

    # Time before the first word: long openings are met more often, and anywhere within them.
    steps = max(float(begins_s.sum()), 0.0) / 2000 or 1.0
    within = [np.arange(0, begin_s, steps) + steps / 2 for begin_s in begins_s]
    participants = np.zeros(MAX_SPEAKERS)
    for turns, end_s in zip(meetings, ends_s):
        participants[min(len({turn.speaker for turn in turns}), MAX_SPEAKERS) - 1] += end_s

    written = {
        "conversations": len(meetings),
        "hours": round(float(ends_s.sum()) / 3600, 2),
        "turns": sum(map(len, meetings)),
    }
    return TurnModel(
        participants=_shares(participants),
        opening_share=round(float(begins_s.sum() / ends_s.sum()), 5),
        opening_s=_table(np.concatenate(within) if begins_s.any() else [0.0], TABLE_SIZE),
        **counts.pooled(),
        states=counts.states(state_of, windows),
        provenance={**(provenance or {}), **written},
    )


class _Counts:
    """What was seen, by state and by bin of `turn_model`."""

    def __init__(self, num_states: int):
        num_left = len(LEFT_S) + 1
        self.kinds = np.zeros((num_states, len(KINDS), num_left, len(KINDS)))
        # (state, stayed away or joined, OVERLAP_S bin, NEAR_S bin)
        self.third = np.zeros((num_states, 2, len(OVERLAP_S) + 1, len(NEAR_S) + 1))
        # (CROWD_S bin, LEFT_S bin, backchannel or interruption)
        self.third_kinds = np.zeros((len(CROWD_S) + 1, num_left, 2))
        self.found = Found()
        self.choices: list[list[tuple[int, list[int]]]] = [[] for _ in range(num_states)]

    def add(self, turns: Sequence[Turn], windows: Sequence[StateWindow], states: Sequence[int]):
        """Count a meeting's transitions."""
        length_s = max(turn.end_s for turn in turns) / len(windows)
        ends_s = dict.fromkeys({turn.speaker for turn in turns}, -np.inf)
        ends_s[turns[0].speaker] = turns[0].end_s
        onset_s, previous = turns[0].start_s, SWITCH
        for kind, floor, turn in transitions(turns):
            at = min(int(onset_s / length_s), len(windows) - 1)  # where `sample` draws from
            state = states[at]
            self.found.add(turn.start_s - onset_s, ("step",), state)
            others = [person for person in windows[at].heard if person != floor.speaker]
            since_s = onset_s
            second_s = max((e for p, e in ends_s.items() if p != floor.speaker), default=-np.inf)
            joined = False
            if second_s > onset_s:
                joined = turn.start_s < second_s
                overlap = bisect_right(OVERLAP_S, second_s - onset_s)
                if joined or any(ends_s[p] + MERGE_GAP_S <= onset_s for p in others):
                    near = bisect_right(NEAR_S, floor.end_s - onset_s)
                    self.third[state, int(joined), overlap, near] += 1
                since_s = second_s
            if joined:
                left = bisect_right(LEFT_S, floor.end_s - turn.start_s)
                crowd = bisect_right(CROWD_S, second_s - turn.start_s)
                self.third_kinds[crowd, left, int(kind == INTERRUPTION)] += 1
                share = (turn.start_s - onset_s) / (second_s - onset_s)
                self.found.add(share, ("third_at",), overlap)
            else:
                left_s = floor.end_s - since_s
                left = bisect_right(LEFT_S, left_s)
                if others:  # somebody alone cannot but hold
                    self.kinds[state, previous, left, kind] += 1
                if kind in (INTERRUPTION, BACKCHANNEL):
                    share = (turn.start_s - since_s) / left_s
                    self.found.add(share, ("at", kind, left), state)

            if kind in (HOLD, SWITCH):
                self.found.add(turn.start_s - floor.end_s, ("silence", kind), state)
                self.found.add(turn.end_s - turn.start_s, ("length", kind), state)
            elif kind == INTERRUPTION:
                self.found.add(turn.end_s - floor.end_s, ("length", kind), state)
            else:
                room_s = floor.end_s - turn.start_s
                share = (turn.end_s - turn.start_s) / room_s
                room = bisect_right(LEFT_S, room_s)
                if joined:
                    self.found.add(share, ("third_length", room), crowd)
                else:
                    self.found.add(share, ("length", kind, room), state)
            if kind != HOLD:
                free = [p for p in others if ends_s[p] + MERGE_GAP_S <= turn.start_s]
                bins = {p: bisect_right(SINCE_S, turn.start_s - ends_s[p]) for p in free}
                if turn.speaker in bins:
                    self.choices[state].append((bins[turn.speaker], list(bins.values())))
            ends_s[turn.speaker] = turn.end_s
            onset_s, previous = turn.start_s, kind

    def pooled(self) -> dict[str, Any]:
        """Fields of `TurnModel` that all states share."""
        every = _borrowing(self.third_kinds.sum((0, 1)), [0.5, 0.5])
        interrupts = _borrowing(self.third_kinds, _borrowing(self.third_kinds.sum(0), every))

        def table(what: tuple, part: int) -> list[float]:
            return self.found.table(what, part, [0.5], SHARE_SIZE)

        return {
            "third_share": _rounded(self._third_share()),
            "third_at": [table(("third_at",), k) for k in range(len(OVERLAP_S) + 1)],
            "third_length": [
                [table(("third_length", left), crowd) for left in range(len(LEFT_S) + 1)]
                for crowd in range(len(CROWD_S) + 1)
            ],
            "third_interrupts": _rounded(interrupts[..., 1]),
        }

    def _third_share(self) -> np.ndarray:
        """How often a third joins two speakers, (OVERLAP_S bin, NEAR_S bin)."""
        away, joined = self.third.sum(0)
        rows = joined.sum(1, keepdims=True) / np.maximum((away + joined).sum(1, keepdims=True), 1)
        return (joined + PRIOR * rows) / (away + joined + PRIOR)

    def states(
        self, state_of: Sequence[Sequence[int]], windows: Sequence[Sequence[StateWindow]]
    ) -> list[State]:
        """Fields that each state has for itself."""
        num_states, found = len(self.kinds), self.found
        following = np.zeros((num_states, num_states))
        engaged = np.zeros((num_states, MAX_SPEAKERS))
        opening = np.zeros(num_states)
        for its_states, of_meeting in zip(state_of, windows):
            # The last is followed by the first: so states keep the shares that they have.
            np.add.at(following, (its_states, [*its_states[1:], its_states[0]]), 1)
            opening[its_states[0]] += 1 / len(state_of)
            for state, window in zip(its_states, of_meeting):
                engaged[state, min(max(len(window.heard), 1), MAX_SPEAKERS) - 1] += 1
        share = engaged.sum(1) / engaged.sum()
        following += PRIOR * share

        # Cells borrow from all states, those from all lengths left, those from all transitions.
        everywhere = self.kinds.sum((0, 1, 2))
        everywhere = everywhere / everywhere.sum() if everywhere.any() else [1.0, 0, 0, 0]
        of_left = _borrowing(self.kinds.sum((0, 1)), everywhere)
        by_previous = _borrowing(self.kinds.sum(0), of_left)
        kinds = _borrowing(self.kinds, by_previous)
        expected = (self.third.sum(1) * self._third_share()).sum((1, 2))
        third = (self.third[:, 1].sum((1, 2)) + PRIOR) / (expected + PRIOR)
        all_choices = [choice for choices in self.choices for choice in choices]
        common = recency_weights(all_choices)

        # What stands in for a transition that was never seen.
        pauses_s = [max(MERGE_GAP_S, gap_s) for gap_s in found.all("silence", SWITCH)]
        pauses_s = pauses_s or [MERGE_GAP_S]
        lengths_s = found.all("length", HOLD) + found.all("length", SWITCH) or [1.0]

        def table(what: tuple, state: int, otherwise: Sequence[float]) -> list[float]:
            return found.table(what, state, otherwise, TABLE_SIZE)

        def by_left(state: int, *what: Any) -> list[list[float]]:
            lefts = range(len(LEFT_S) + 1)
            return [found.table((*what, left), state, [0.5], SHARE_SIZE) for left in lefts]

        def made(state: int) -> State:
            choices = self.choices[state]
            weights = recency_weights(choices) if len(choices) >= 10 * MIN_VALUES else common
            steps_s = found.values["step",].get(state, [])
            return State(
                share=round(float(share[state]), 4),
                opening_share=round(float(opening[state]), 4),
                lasts_s=round(max(WINDOW_S - _overshoot(steps_s), 0.0), 2),
                following=_shares(following[state]),
                engaged=_shares(engaged[state]),
                kinds=[[_shares(cell) for cell in cells] for cells in kinds[state]],
                pause_s=table(("silence", HOLD), state, pauses_s),
                gap_s=table(("silence", SWITCH), state, [MERGE_GAP_S]),
                hold_s=table(("length", HOLD), state, lengths_s),
                switch_s=table(("length", SWITCH), state, lengths_s),
                beyond_s=table(("length", INTERRUPTION), state, lengths_s),
                interruption_at=by_left(state, "at", INTERRUPTION),
                backchannel_at=by_left(state, "at", BACKCHANNEL),
                backchannel_length=by_left(state, "length", BACKCHANNEL),
                third=round(float(third[state]), 4),
                recency=_rounded(weights),
            )

        return [made(state) for state in range(num_states)]


def recency_weights(choices: Sequence[tuple[int, list[int]]]) -> np.ndarray:
    """How the time since they spoke weighs when one of several people speaks next.

    A Plackett-Luce model of one choice each, fitted by minorisation and maximisation (Hunter,
    Annals of Statistics 32, 2004).

    Parameters
    ----------
    choices : sequence of (chosen, candidates)
        Bins of `SINCE_S`.

    Returns
    -------
    weights : (len(SINCE_S) + 1,) ndarray
        Their mean is 1.
    """
    num_bins = len(SINCE_S) + 1
    weights = np.ones(num_bins)
    if not choices:
        return weights
    chosen = np.bincount([bin for bin, _ in choices], minlength=num_bins)
    candidates = np.array([np.bincount(bins, minlength=num_bins) for _, bins in choices])
    for _ in range(100):
        expected = (candidates / (candidates @ weights)[:, None]).sum(0)
        weights = (chosen + 1) / (expected + 1)  # a bin that nobody was in stays near 1
        weights /= weights.mean()
    return weights


def _table(values: Sequence[float], size: int) -> list[float]:
    """Means of equal shares of the sorted values, see `fitted.draw`."""
    parts = np.array_split(np.sort(values), min(size, len(values)))
    return [round(float(part.mean()), 3) for part in parts]


def _overshoot(steps_s: Sequence[float]) -> float:
    """Mean time from an instant to the next onset, for onsets these steps apart.

    States change at onsets, so they last that much longer than they are told to; slow states would
    take more than their share of the time.
    """
    steps_s = np.asarray(steps_s)
    return float((steps_s**2).sum() / (2 * steps_s.sum())) if steps_s.any() else 0.0


def _borrowing(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, of counts and of `PRIOR` more in these shares."""
    counts = counts + PRIOR * np.asarray(shares)
    return counts / counts.sum(-1, keepdims=True)


def _shares(weights: np.ndarray) -> list[float]:
    return _rounded(np.asarray(weights) / np.sum(weights))


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 4).tolist()
