"""Silences: stretches of exact zeros, as gates, muted microphones and editors leave them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...io.checked import Share
from ..checked_config import CheckedConfig, Seconds, uniform
from ..slices import SAMPLE_RATE
from ..turn_taking.turns import Turn, cut_window

MIN_GAP_S = 0.1  # shorter gaps between turns are left alone
MOST = 0.7  # of a conversation's time may be cut away for a silent beginning or end
TRIES = 10  # to cut so that everybody is still heard


@dataclass(frozen=True)
class SilenceConfig(CheckedConfig):
    """Parameters of the exact digital silence: none is measured, real files have it or not."""

    silence_share: Share = 0.15  # conversations with exact zeros (issue 14)
    edge_share: Share = 0.4  # of those: all silent at the beginning or the end
    edge_s: Seconds = (5.0, 20.0)  # as long as that
    gap_share: Share = 0.6  # of those conversations' gaps between turns: silent, all or in part
    gate_share: Share = 0.3  # of telephone conversations: muted wherever nobody speaks
    hang_s: Seconds = (0.0, 0.3)  # what a gate lets through after a turn


def draw_silences(
    rng: np.random.Generator,
    config: SilenceConfig,
    turns: Sequence[Turn],
    duration_s: float,
    telephone: bool,
) -> tuple[list[Turn], np.ndarray]:
    """Draw where a conversation is exactly 0: never where somebody of its script speaks.

    Parameters
    ----------
    rng : Generator
    config : SilenceConfig
    turns : sequence of Turn
    duration_s : float
        Of the conversation.
    telephone : bool

    Returns
    -------
    turns : list of Turn
        The script; without its beginning or end if that fell silent, which happens only as long
        as everybody is still heard.
    silences : ndarray
        (n, 2) int64, first and last + 1 sample.
    """
    turns, found, num_samples = list(turns), [], round(duration_s * SAMPLE_RATE)
    gated = telephone and rng.random() < config.gate_share
    if rng.random() < config.silence_share:
        if rng.random() < config.edge_share:
            turns, edge = _cut_edge(rng, config, turns, duration_s)
            found.append(edge)
        for begin, end in find_gaps(turns, num_samples):
            if rng.random() < config.gap_share:
                if rng.random() < 0.5:
                    begin, end = np.sort(rng.integers(begin, end + 1, 2)).tolist()
                found.append((begin, end))
    if gated:
        for begin, end in find_gaps(turns, num_samples):
            hang = int(uniform(rng, config.hang_s) * SAMPLE_RATE) if begin > 0 else 0
            found.append((begin + hang, end))
    silences = np.array(found, dtype=np.int64).reshape(-1, 2)
    return turns, silences[silences[:, 0] < silences[:, 1]]


def _cut_edge(
    rng: np.random.Generator, config: SilenceConfig, turns: list[Turn], duration_s: float
) -> tuple[list[Turn], tuple[int, int]]:
    """Script without its beginning or end, and the samples where nobody speaks now."""
    num_samples, people = round(duration_s * SAMPLE_RATE), {turn.speaker for turn in turns}
    for _ in range(TRIES):
        length_s = min(uniform(rng, config.edge_s), MOST * duration_s)
        length = int(length_s * SAMPLE_RATE)
        first, edge = 0.0, (num_samples - length, num_samples)
        if rng.random() < 0.5:
            first, edge = length_s, (0, length)
        kept = [
            Turn(turn.start_s + first, min(turn.end_s + first, duration_s), turn.speaker)
            for turn in cut_window(turns, first, duration_s - length_s)
        ]
        if len({turn.speaker for turn in kept}) == len(people):
            return kept, edge
    return turns, (0, 0)


def find_gaps(turns: Sequence[Turn], num_samples: int) -> list[tuple[int, int]]:
    """Stretches of samples in which nobody speaks, before, between and behind the turns."""
    gaps, position = [], 0
    for turn in sorted(turns):
        begin, end = round(turn.start_s * SAMPLE_RATE), round(turn.end_s * SAMPLE_RATE)
        if begin - position >= MIN_GAP_S * SAMPLE_RATE:
            gaps.append((position, begin))
        position = max(position, end)
    if num_samples - position >= MIN_GAP_S * SAMPLE_RATE:
        gaps.append((position, num_samples))
    return gaps


def cut_silences(silences: np.ndarray, first: int, length: int) -> np.ndarray:
    """Silences inside samples first..first + length, from there on."""
    inside = np.clip(silences - first, 0, length)
    return inside[inside[:, 0] < inside[:, 1]]


def silence(audio: torch.Tensor, silences: Sequence[np.ndarray]) -> torch.Tensor:
    """Set every row's silences to exactly 0, in place: few and long, so one by one."""
    for row, stretches in zip(audio, silences):
        for begin, end in stretches.tolist():
            row[begin:end] = 0.0
    return audio
