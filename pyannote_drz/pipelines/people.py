"""People of a file: whose voice is behind the letters of each chunk.

Letters of prompted voices are known. A new letter is

1. somebody known whom this chunk has not named otherwise, and who, according to the chunk before,
   was speaking in those same seconds of the context that both have heard;
2. otherwise a newcomer, while there may be more people;
3. otherwise whoever was heard last among those whom this chunk has not named.
"""

from __future__ import annotations

from .prompts import Person, remember
from .stitching import Turn


class People:
    """Everybody heard in a file so far, in the order of their arrival.

    Parameters
    ----------
    max_people : int or inf
        Never exceeded.
    """

    def __init__(self, max_people: float):
        self.max_people = max_people
        self.known: list[Person] = []

    def __len__(self) -> int:
        return len(self.known)

    def recognise(
        self,
        turns: list[Turn],
        prompted: list[Person],
        before: list[Turn],
        span: tuple[float, float, float],
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

        Returns
        -------
        who : dict
            Letter -> Person, for prompted letters and for those with a turn that is emitted.
        """
        start, first, last = span
        who = dict(enumerate(prompted))
        arrivals = dict.fromkeys(  # in order, without repetition
            turn.speaker for turn in sorted(turns) if turn.end > first and turn.start < last
        )
        new = [letter for letter in arrivals if letter >= len(prompted)]
        named = {turn.speaker for turn in turns if turn.speaker < len(prompted)}
        silent = [
            person
            for person in self.known
            if person.number not in {who[letter].number for letter in named}
        ]

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
        for _, letter, person in sorted(pairs, key=lambda pair: pair[0], reverse=True):
            if letter in new and person in silent:
                who[letter] = person
                new.remove(letter)
                silent.remove(person)

        silent.sort(key=lambda person: person.last_heard)
        for letter in new:
            if len(self) < self.max_people:
                who[letter] = Person(number=len(self))
                self.known.append(who[letter])
            else:
                who[letter] = silent.pop()
        return who

    def remember(self, turns: list[Turn]) -> None:
        """Take note of turns that were emitted; speakers are numbers of people."""
        for number in {turn.speaker for turn in turns}:
            remember(self.known[number], turns)
