"""Enrollment: who of a file is somebody whose voice is known beforehand.

A recording of somebody is diarized like any other; whoever speaks most in it is meant. A file is
told apart first, and its speakers are then compared, once, with all who are enrolled: by the cosine
of everything that either said, so that nobody is named by a single turn.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..models.encoders import Features
from ..prompting import LONGEST_PROMPT, POSITION_S
from .batches import Job, Step, no_hook
from .chunks import ChunkResult
from .embeddings import centred, embed, unit
from .offline import Diarization, Settings, diarize, speakers_of
from .prompts import Speaker
from .stitching import Turn, merge

# Logistic regression of "is the same speaker" on the cosine, the logarithm of the seconds of the
# shorter of both, and 1: fitted by recipes/long/calibrate.py on 1865 pairs of development speakers
# of the same recording, 0.5 to 60 s each, both answers weighing the same.
SAME = (32.2, -2.6, -15.3)
# Probability from which a speaker is called by name: 0.9 % of those pairs of strangers are above,
# 1.2 % of the same are under.
ACCEPT = 0.5
# Cosine, after what all of the file share is taken away, of a second speaker with a name: the name
# joins whom clustering told apart. On 26 simulated meetings those who are the same have 0.38 to
# 0.48, others -0.24 to 0.31; the probability alone takes some of both.
ALSO_CENTRED = 0.35


class Enrolled(NamedTuple):
    """Somebody known beforehand.

    name : str
    embedding : (193,) array, see `embeddings.embed`
    """

    name: str
    embedding: np.ndarray


def enroll(
    recordings: Mapping[str, tuple[Features, Tensor]], settings: Settings
) -> Generator[Step, list[ChunkResult], list[Enrolled]]:
    """Find everybody's voice in their recording.

    Parameters
    ----------
    recordings : mapping
        Name -> features and (samples,) waveform.
    settings : Settings

    Returns
    -------
    enrolled : list of Enrolled
        In the order of `recordings`.

    Raises
    ------
    ValueError
        No voice is heard in a recording that is longer than a prompt.
    """
    once = replace(settings, num_passes=1, threshold=0.0)
    enrolled = []
    for name, (features, waveform) in recordings.items():
        job = diarize(features, waveform, once, 1, float("inf"), no_hook)
        found = yield from _renamed(job, "known speakers")
        heard = [speaker for speaker in found.speakers if speaker.stretches]
        if heard:
            embedding = max(heard, key=lambda speaker: speaker.speech).embedding
        elif features.num_positions * POSITION_S <= LONGEST_PROMPT + POSITION_S:
            # Too little to be heard as a turn; whoever gives so little means all of it.
            whole = Turn(0.0, features.num_positions * POSITION_S, 0, 0.0)
            (embedding,) = embed([whole], features)
        else:
            raise ValueError(f"no voice was heard in the recording of known speaker {name!r}.")
        enrolled.append(Enrolled(name, embedding))
    return enrolled


def probabilities_of(embeddings: np.ndarray, enrolled: list[Enrolled]) -> np.ndarray:
    """Probability that speakers are those who are enrolled, (speakers, enrolled).

    Parameters
    ----------
    embeddings : (speakers, 193) array
        See `embeddings.embed`.
    enrolled : list of Enrolled
    """
    known = np.stack([one.embedding for one in enrolled])
    cosines = unit(embeddings[:, :-1]) @ unit(known[:, :-1]).T
    seconds = np.minimum(embeddings[:, None, -1], known[None, :, -1])
    a, b, c = SAME
    return 1 / (1 + np.exp(-(a * cosines + b * np.log(seconds.clip(0.1)) + c)))


def identify(
    speakers: list[Speaker], enrolled: list[Enrolled]
) -> tuple[dict[int, str], dict[int, dict[str, float]]]:
    """Who of a file's speakers is enrolled.

    Returns
    -------
    names : dict
        Number of a speaker -> name, for those who are known; a name is given once.
    scores : dict
        Number of a speaker -> name -> probability.
    """
    if not speakers or not enrolled:
        return {}, {}
    table = probabilities_of(np.stack([speaker.embedding for speaker in speakers]), enrolled)
    # Whoever is no match at all does not compete for a name.
    rows, columns = linear_sum_assignment(-np.where(table >= ACCEPT, table, 0.0))
    names = {
        speakers[i].number: enrolled[j].name
        for i, j in zip(rows, columns, strict=True)
        if table[i, j] >= ACCEPT
    }
    scores = {
        speaker.number: {one.name: float(p) for one, p in zip(enrolled, row, strict=True)}
        for speaker, row in zip(speakers, table, strict=True)
    }
    return names, scores


def same_name(
    speakers: list[Speaker],
    enrolled: list[Enrolled],
    names: dict[int, str],
    scores: dict[int, dict[str, float]],
) -> dict[int, int]:
    """Speakers who are somebody named all the same.

    Parameters
    ----------
    speakers : list of Speaker
        Of a whole file.
    enrolled : list of Enrolled
    names, scores : dict
        See `identify`.

    Returns
    -------
    same : dict
        Number of a speaker without a name -> number of the one who has it.
    """
    if not names:
        return {}
    embeddings = np.stack([speaker.embedding for speaker in speakers])
    known = np.stack([one.embedding for one in enrolled])
    ours, theirs = (centred(x, embeddings) for x in (embeddings, known))
    alike = unit(ours) @ unit(theirs).T >= ALSO_CENTRED
    number = {name: k for k, name in names.items()}
    return {
        speaker.number: number[one.name]
        for i, speaker in enumerate(speakers)
        for j, one in enumerate(enrolled)
        if speaker.number not in names
        and one.name in number
        and alike[i, j]
        and scores[speaker.number][one.name] >= ACCEPT
    }


def call_by_name(
    told: Diarization,
    enrolled: list[Enrolled],
    features: Features,
    waveform: Tensor,
    min_speakers: int,
) -> tuple[Diarization, dict[int, str], dict[int, dict[str, float]]]:
    """Tell who of a file is enrolled, and join those who are the same one.

    Parameters
    ----------
    told : Diarization
    enrolled : list of Enrolled
    features : Features
        (positions, …)
    waveform : (samples,) Tensor
    min_speakers : int
        Nobody is joined where fewer would be left.

    Returns
    -------
    told : Diarization
    names, scores : dict
        See `identify`.
    """
    turns, speakers = told
    names, scores = identify(speakers, enrolled)
    same = same_name(speakers, enrolled, names, scores)
    if same and len({turn.speaker for turn in turns} - set(same)) >= min_speakers:
        joined = merge(
            turn._replace(speaker=same.get(turn.speaker, turn.speaker)) for turn in turns
        )
        told = Diarization(joined, speakers_of(joined, features, waveform))
        names, scores = identify(told.speakers, enrolled)
    return told, names, scores


def _renamed(job: Job, name: str) -> Job:
    """The same job; its steps have another name."""
    results = None
    while True:
        try:
            step = job.send(results)
        except StopIteration as stop:
            return stop.value
        results = yield step._replace(name=name)
