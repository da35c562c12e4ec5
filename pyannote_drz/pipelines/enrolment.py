"""Enrolment: people who are known by name before a file is heard.

A recording of somebody is diarized like any other; whoever speaks most in it is meant, and their
best seconds are their prompt.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from torch import Tensor

from .chunks import Ask, Job, Step, Written
from .offline import Settings, diarize
from .prompts import LONGEST_PROMPT, Person, Sample, join


def enrol(
    recordings: Mapping[str, Tensor], settings: Settings
) -> Generator[Step, list[Written], list[Person]]:
    """Find everybody's best seconds.

    Parameters
    ----------
    recordings : mapping
        Name -> (samples,) Tensor.
    settings : Settings

    Returns
    -------
    known : list of Person
        Numbered in the order of `recordings`.

    Raises
    ------
    ValueError
        No voice is heard in a recording that is longer than a prompt.
    """
    once = replace(settings, num_passes=1, threshold=0.0)
    known = []
    for number, (name, waveform) in enumerate(recordings.items()):
        job = diarize(waveform, once, [], 1, float("inf"), _silent)
        found = yield from _renamed(job, "known speakers")
        person = max(found.known, key=lambda p: p.speech if p.voice else -1.0, default=None)
        if person is not None and person.voice:
            samples = sorted(person.samples, key=lambda sample: sample.start)
            voice = join(samples, LONGEST_PROMPT, settings.sample_rate)
            probability = max(sample.probability for sample in samples)
            vector = person.vector
        elif len(waveform) <= LONGEST_PROMPT * settings.sample_rate:
            # Too little to be heard as a turn; whoever gives so little means all of it.
            (written,) = yield Step("known speakers", [Ask(waveform, 1)])
            voice, probability, vector = waveform, 0.0, written.whole[:-1]
        else:
            raise ValueError(f"no voice was heard in the recording of known speaker {name!r}.")
        enrolled = Sample(0.0, len(voice) / settings.sample_rate, probability, voice)
        known.append(Person(number, name=name, vector=vector, enrolled=enrolled))
    return known


def _renamed(job: Job, name: str) -> Job:
    """The same job; its steps have another name."""
    written = None
    while True:
        try:
            step = job.send(written)
        except StopIteration as stop:
            return stop.value
        written = yield step._replace(name=name)


def _silent(*args) -> None:
    """No hook: a recording of somebody is not the file that is shown."""
