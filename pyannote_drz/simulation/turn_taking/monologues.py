"""Monologues: one voice that talks on, with short questions and assent; one voice alone; crowds.

Meetings hold few of these, and people try a diarization on them first.
"""

import numpy as np

from .turns import MixedTurns, RandomTurns, Turn, cut_window

QUESTION_S = (0.5, 4.0)  # a word to a long question
BACKCHANNEL_S = (0.2, 1.0)  # as in `RandomTurns`
PAUSE_S = (0.5, 3.0)  # between two turns, and at both sides of a question
LEAD_S = 60.0  # virtual conversation before the window: longer than a turn


class MonologueTurns:
    """One person talks at length; listeners ask short questions and say "mm-hm" meanwhile.

    Parameters
    ----------
    max_speakers : int
        People, of whom all but one listen. Half as many conversations have one listener as have
        none, a third as many have two, and so on.
    turn_s : (float, float)
        Range of the talker's turns, log-uniform: explanations to lectures.
    question_share : float
        Probability that somebody who listens speaks between two of the talker's turns.
    backchannels_per_s : (float, float)
        Range of how often somebody who listens speaks over the talker, drawn per conversation.
    """

    def __init__(
        self,
        max_speakers: int = 8,
        turn_s: tuple[float, float] = (5.0, 60.0),
        question_share: float = 0.5,
        backchannels_per_s: tuple[float, float] = (0.0, 0.2),
    ):
        if max_speakers < 1:
            raise ValueError(f"max_speakers must be at least 1, not {max_speakers}.")
        if not 0 < turn_s[0] <= turn_s[1]:
            raise ValueError(f"turn_s must be a positive range (low, high), not {turn_s}.")
        if not 0 <= question_share <= 1:
            raise ValueError(f"question_share must be in 0..1, not {question_share}.")
        if not 0 <= backchannels_per_s[0] <= backchannels_per_s[1]:
            raise ValueError(
                f"backchannels_per_s must be a range (low, high) from 0 on, not "
                f"{backchannels_per_s}."
            )
        self.max_speakers, self.turn_s = max_speakers, turn_s
        self.question_share, self.backchannels_per_s = question_share, backchannels_per_s

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window."""
        shares = np.cumsum(1 / np.arange(1, self.max_speakers + 1))
        listeners = int(np.searchsorted(shares, rng.random() * shares[-1]))
        backchannel_s = 1 / max(rng.uniform(*self.backchannels_per_s), 1e-9)  # mean distance
        begin = rng.uniform(0.0, LEAD_S)
        low, high = np.log(self.turn_s)
        turns: list[Turn] = []
        now = 0.0
        while now < begin + duration_s:
            end = now + float(np.exp(rng.uniform(low, high)))
            turns.append(Turn(now, end, 0))
            at = now + rng.exponential(backchannel_s)
            while listeners and at < end - BACKCHANNEL_S[1]:
                length = rng.uniform(*BACKCHANNEL_S)
                turns.append(Turn(at, at + length, 1 + int(rng.integers(listeners))))
                at += length + rng.exponential(backchannel_s)
            now = end + rng.uniform(*PAUSE_S)
            if listeners and rng.random() < self.question_share:
                asked = now + rng.uniform(*QUESTION_S)
                turns.append(Turn(now, asked, 1 + int(rng.integers(listeners))))
                now = asked + rng.uniform(*PAUSE_S)
        return cut_window(turns, begin, duration_s)


class LoneTurns:
    """One voice says something short, once to three times, somewhere in the window.

    Parameters
    ----------
    turn_s : (float, float)
        Range of what is said, log-uniform.
    """

    MOST = 3  # times

    def __init__(self, turn_s: tuple[float, float] = (1.0, 8.0)):
        if not 0 < turn_s[0] <= turn_s[1]:
            raise ValueError(f"turn_s must be a positive range (low, high), not {turn_s}.")
        self.turn_s = turn_s

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window."""
        low, high = np.log(self.turn_s)
        turns = []
        for _ in range(int(rng.integers(1, self.MOST + 1))):
            length = min(float(np.exp(rng.uniform(low, high))), duration_s)
            begin = rng.uniform(0.0, duration_s - length)
            turns.append(Turn(begin, begin + length, 0))
        return cut_window(turns, 0.0, duration_s)


def other_kinds(max_speakers: int = 8) -> MixedTurns:
    """Source of what meetings lack: monologues (half), crowds (0.3), few words of one (0.2).

    Parameters
    ----------
    max_speakers : int
        A crowd has five or more, as far as this allows.
    """
    crowd = RandomTurns(min(5, max_speakers), max_speakers, turn_s=(0.4, 5.0))
    return MixedTurns([MonologueTurns(max_speakers), crowd, LoneTurns()], [0.5, 0.3, 0.2])
