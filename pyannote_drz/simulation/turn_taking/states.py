"""States: how silent and how lively the windows of a conversation are.

Without them, all windows of a fitted model are alike: on AMI, the share of silence of a 30-s
window, how many people it has and how many turns spread much more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .statistics import measure_turns
from .turns import Turn, cut_window

WINDOW_S = 75.0  # 60 to 90 s match AMI's 30-s windows about equally well
SILENCE_CLASSES, TEMPO_CLASSES = 4, 3
MIN_WINDOWS = 20  # in a state; a corpus of fewer than twelve times that has one state


class StateWindow(NamedTuple):
    """A window of a meeting."""

    heard: frozenset[int]  # speakers
    silence_share: float
    num_turns: int


def cut_state_windows(turns: Sequence[Turn]) -> list[StateWindow]:
    """Equal windows of about `WINDOW_S` of a meeting that begins at time 0."""
    end_s = max(turn.end_s for turn in turns)
    count = max(1, round(end_s / WINDOW_S))
    length_s = end_s / count
    windows = []
    for k in range(count):
        begin_s = k * length_s
        near = [t for t in turns if t.start_s < begin_s + length_s and t.end_s > begin_s]
        window = cut_window(near, begin_s, length_s)
        silence_share = float(measure_turns([window], length_s).silence_share[0])
        windows.append(StateWindow(frozenset(t.speaker for t in near), silence_share, len(window)))
    return windows


def find_states(windows: Sequence[StateWindow]) -> list[int]:
    """State of every window, from 0 on: a class of its silence and, within that, of its tempo."""
    if len(windows) < MIN_WINDOWS * SILENCE_CLASSES * TEMPO_CLASSES:
        return [0] * len(windows)
    silence = _classes(np.array([s.silence_share for s in windows]), SILENCE_CLASSES)
    num_turns = np.array([s.num_turns for s in windows])
    tempo = np.zeros(len(windows), dtype=int)
    for k in range(SILENCE_CLASSES):
        tempo[silence == k] = _classes(num_turns[silence == k], TEMPO_CLASSES)
    _, states = np.unique(silence * TEMPO_CLASSES + tempo, return_inverse=True)
    return states.tolist()


def _classes(values: np.ndarray, count: int) -> np.ndarray:
    """Class of every value, `count` classes about equally large."""
    edges = np.quantile(values, np.arange(1, count) / count)
    return np.searchsorted(edges, values, side="right")
