"""People of a stream: whose voice is behind the letters of each chunk, told from the past alone.

Letters of prompted voices are known. A new letter is

1. somebody known whom this chunk has not named otherwise, and who, according to the chunk before,
   was speaking in those same seconds of the context that both have heard. Letters that are silent
   now are told first, too: whoever they are is nobody else;
2. otherwise somebody known and not named otherwise, if the voice is alike enough;
3. otherwise a newcomer, while there may be more people, if there is enough of the voice;
4. otherwise whoever sounds most alike among those whom this chunk has not named.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..prompting import SHORTEST_PROMPT
from .linking import cosines
from .prompts import Person, remember
from .stitching import Turn


class People:
    """Everybody heard in a stream so far, in the order of their arrival.

    Parameters
    ----------
    max_people : int or inf
        Never exceeded.
    threshold : float, optional
        Least cosine of two voices of one person.
    known : list of Person, optional
        Known beforehand, numbered from 0. They count among `max_people` when they are heard.
    """

    def __init__(
        self, max_people: float, threshold: float = 1.0, known: list[Person] | None = None
    ):
        self.max_people = max_people
        self.threshold = threshold
        self.known: list[Person] = list(known or [])

    def __len__(self) -> int:
        """People who were heard."""
        return sum(person.speech > 0 for person in self.known)

    @property
    def full(self) -> bool:
        """Whether nobody else may come."""
        return len(self) >= self.max_people

    @property
    def possible(self) -> list[Person]:
        """Who may speak: all that were heard, and of those known beforehand as many as may come."""
        room = max(0, self.max_people - len(self))
        unheard = [person for person in self.known if person.speech == 0]
        coming = {person.number for person in unheard[: int(min(room, len(unheard)))]}
        return [p for p in self.known if p.speech > 0 or p.number in coming]

    def recognise(
        self,
        turns: list[Turn],
        prompted: list[Person],
        before: list[Turn],
        span: tuple[float, float, float],
        vectors: np.ndarray | None = None,
    ) -> dict[int, Person]:
        """Tell who is who in a chunk.

        Parameters
        ----------
        turns : list of Turn
            Of the chunk; speakers are letters, counted from 0.
        prompted : list of Person
            Whose voices the first letters were.
        before : list of Turn
            Of the file so far; speakers are numbers of people.
        span : (start, first, last)
            In seconds: the chunk starts at `start`, and `first` to `last` of it are emitted. At
            most as many letters may be used as there may be people.
        vectors : (turns, voice_dim) array, optional
            Summed voice vectors.

        Returns
        -------
        who : dict
            Letter -> Person, for prompted letters and for those with a turn that is emitted.
        """
        start, first, last = span
        who = dict(enumerate(prompted))
        emitted = [turn for turn in sorted(turns) if turn.end > first and turn.start < last]
        arrivals = dict.fromkeys(turn.speaker for turn in emitted)  # in order, once each
        new = [letter for letter in arrivals if letter >= len(prompted)]
        # Enrolled people whom nobody has heard yet count as soon as this chunk names them.
        newly = {letter for letter in arrivals if letter < len(prompted)}
        newly = [letter for letter in newly if who[letter].speech == 0]
        room = self.max_people - len(self) - len(newly)
        named = {turn.speaker for turn in turns if turn.speaker < len(prompted)}
        taken = {who[letter].number for letter in named}
        silent = [person for person in self.possible if person.number not in taken]

        letters = sorted({turn.speaker for turn in turns if turn.speaker >= len(prompted)})
        for letter, person in self._context(letters, silent, turns, before, start, first):
            silent.remove(person)
            if letter in new:
                who[letter] = person
                new.remove(letter)

        alike = np.zeros((len(new), len(silent)))
        if vectors is not None and new and silent:
            sums = np.stack(
                [
                    vectors[[i for i, turn in enumerate(turns) if turn.speaker == letter]].sum(0)
                    for letter in new
                ]
            )
            heard = [sums[0] * 0 if p.vector is None else p.vector for p in silent]
            alike = cosines(sums, np.stack(heard))
        for i, j in zip(*linear_sum_assignment(-alike), strict=True):
            if alike[i, j] >= self.threshold and (silent[j].speech > 0 or room > 0):
                who[new[i]] = silent[j]
                room -= silent[j].speech == 0
        rows = [i for i, letter in enumerate(new) if letter not in who]
        left = {person.number for person in who.values()}

        for i in rows:
            letter = new[i]
            seconds = sum(t.end - t.start for t in turns if t.speaker == letter)
            others = [j for j, p in enumerate(silent) if p.number not in left and p.speech > 0]
            if room > 0 and (seconds >= SHORTEST_PROMPT or not others):
                person = Person(number=len(self.known))
                self.known.append(person)
                room -= 1
            elif others:
                best = max(others, key=lambda j: (alike[i, j], silent[j].last_heard))
                person = silent[best]
            else:
                continue  # nobody is left who could have said that
            who[letter] = person
            left.add(person.number)
        return who

    @staticmethod
    def _context(
        new: list[int],
        silent: list[Person],
        turns: list[Turn],
        before: list[Turn],
        start: float,
        first: float,
    ) -> list[tuple[int, Person]]:
        """Letters that say in the context what somebody said there."""
        before = [turn for turn in before if turn.end > start]
        pairs = []  # (shared seconds, letter, person)
        for letter in new:
            context = [
                (max(turn.start, start), min(turn.end, first))
                for turn in turns
                if turn.speaker == letter and turn.start < first
            ]
            heard = sum(end - begin for begin, end in context)
            for person in silent:
                shared = sum(
                    max(0.0, min(end, turn.end) - max(begin, turn.start))
                    for turn in before
                    if turn.speaker == person.number
                    for begin, end in context
                )
                if shared > heard / 2:
                    pairs.append((shared, letter, person))
        matched: list[tuple[int, Person]] = []
        for _, letter, person in sorted(pairs, key=lambda pair: pair[0], reverse=True):
            if all(letter != other and person is not somebody for other, somebody in matched):
                matched.append((letter, person))
        return matched

    def remember(
        self,
        turns: list[Turn],
        listen: Callable[[float, float], Tensor],
        vectors: np.ndarray | None = None,
    ) -> None:
        """Take note of turns that were emitted; speakers are numbers of people.

        Parameters
        ----------
        turns : list of Turn
            Sorted.
        listen : callable
            (start, end), in seconds -> (samples,) Tensor.
        vectors : (turns, voice_dim) array, optional
            Summed voice vectors, added to what is known of these voices.
        """
        for row, turn in enumerate(turns if vectors is not None else ()):
            person = self.known[turn.speaker]
            before = 0.0 if person.vector is None else person.vector
            person.vector = before + vectors[row]
        remember(self.known, turns, listen, vectors)
