"""Errors of an answer to one file, and to many; and answers that took no model."""

from dataclasses import dataclass

import numpy as np
from pyannote.core import Annotation, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

COLLAR = 0.25  # seconds on either side of a reference boundary: md-eval's -c 0.25


@dataclass(frozen=True)
class Score:
    """Errors of one system on one file; all but the counts in seconds."""

    uri: str
    speech: float  # reference speech, counted once per speaker: what rates are relative to
    miss: float
    false_alarm: float
    confusion: float
    collar_speech: float  # the same two, `COLLAR` seconds around reference boundaries left out
    collar_error: float
    reference_speakers: int
    speakers: int

    @property
    def error(self) -> float:
        return self.miss + self.false_alarm + self.confusion


def score(reference: Annotation, hypothesis: Annotation, uem: Timeline, uri: str = "") -> Score:
    """Compare `hypothesis` with `reference` inside `uem`, overlap included.

    Parameters
    ----------
    reference, hypothesis : Annotation
        The labels of `hypothesis` are free: the best one-to-one mapping is scored.
    uem : Timeline
        What is annotated.
    uri : str, optional

    Raises
    ------
    ValueError
        If `uem` is empty.
    """
    if not uem:
        raise ValueError(f"nothing of file {uri!r} is annotated: its UEM is empty.")
    reference, hypothesis = reference.support(), hypothesis.support()  # nobody speaks twice at once
    exact = DiarizationErrorRate()(reference, hypothesis, uem=uem, detailed=True)
    wide = DiarizationErrorRate(collar=2 * COLLAR)  # pyannote counts both sides of a boundary
    collar = wide(reference, hypothesis, uem=uem, detailed=True)
    return Score(
        uri=uri,
        speech=exact["total"],
        miss=exact["missed detection"],
        false_alarm=exact["false alarm"],
        confusion=exact["confusion"],
        collar_speech=collar["total"],
        collar_error=sum(collar[part] for part in ("missed detection", "false alarm", "confusion")),
        reference_speakers=len(reference.crop(uem).labels()),
        speakers=len(hypothesis.crop(uem).labels()),
    )


def baselines(reference: Annotation, uem: Timeline) -> dict[str, Annotation]:
    """What needs no model: the three answers to score beside any system.

    Parameters
    ----------
    reference : Annotation
    uem : Timeline
        What is annotated.

    Returns
    -------
    answers : dict of Annotation
        Nobody speaks; one speaker speaks all the time; one speaker speaks wherever anyone does in
        the reference (perfect speech activity, no diarization at all).
    """
    everywhere, activity = Annotation(uri=reference.uri), Annotation(uri=reference.uri)
    for segment in uem.support():
        everywhere[segment] = "A"
    for segment in reference.crop(uem).get_timeline().support():
        activity[segment] = "A"
    return {
        "nobody speaks": Annotation(uri=reference.uri),
        "one speaker, always": everywhere,
        "one speaker, oracle activity": activity,
    }


def bootstrap(
    errors: np.ndarray, speech: np.ndarray, samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of an error rate, by drawing files with replacement.

    Parameters
    ----------
    errors, speech : (files,) arrays
        Seconds.
    samples, seed : int, optional

    Returns
    -------
    low, high : float
        Percent. Draws without any reference speech are left out; NaN when all are.
    """
    errors, speech = np.asarray(errors, float), np.asarray(speech, float)
    drawn = np.random.default_rng(seed).integers(len(errors), size=(samples, len(errors)))
    errors, speech = errors[drawn].sum(axis=1), speech[drawn].sum(axis=1)  # (samples,)
    rates = 100 * errors[speech > 0] / speech[speech > 0]
    low, high = np.percentile(rates, [2.5, 97.5]) if len(rates) else (np.nan, np.nan)
    return float(low), float(high)


def summarize(scores: list[Score]) -> dict[str, float]:
    """Pool the files of one protocol: rates are total error over total speech, in percent,
    and NaN where the reference holds no speech.

    Raises
    ------
    ValueError
        If `scores` is empty.
    """
    if not scores:
        raise ValueError("there is no file to score.")

    def pooled(error: str, speech: str = "speech") -> float:
        total = sum(getattr(s, speech) for s in scores)
        return 100 * sum(getattr(s, error) for s in scores) / total if total else float("nan")

    low, high = bootstrap([s.error for s in scores], [s.speech for s in scores])
    right = [s.speakers == s.reference_speakers for s in scores]
    return {
        "der": pooled("error"),
        "der_low": low,
        "der_high": high,
        "miss": pooled("miss"),
        "false_alarm": pooled("false_alarm"),
        "confusion": pooled("confusion"),
        "der_collar": pooled("collar_error", "collar_speech"),
        "right_speaker_count": 100 * float(np.mean(right)),
        "false_alarm_seconds_per_file": float(np.mean([s.false_alarm for s in scores])),
    }
