"""Statistics of who speaks when, to compare simulated windows with real ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from scipy.stats import ks_2samp

from .transitions import HOLD, KINDS, SWITCH, transitions
from .turns import Turn, cut_window, merge_gaps


@dataclass(frozen=True)
class TurnStatistics:
    """What was counted in a set of windows.

    Shares are of a window's time; lengths are pooled over all windows, and those that the
    windows' edges cut are counted as they are seen.
    """

    silence_share: np.ndarray  # (windows,) nobody speaks
    overlap_share: np.ndarray  # (windows,) two or more speak
    crowd_share: np.ndarray  # (windows,) three or more speak
    num_speakers: np.ndarray  # (windows,)
    num_segments: np.ndarray  # (windows,)
    segment_s: np.ndarray  # (segments,)
    pause_s: np.ndarray  # (holds,) silence until the same speaker goes on
    gap_s: np.ndarray  # (switches,) silence until somebody else speaks
    overlap_s: np.ndarray  # (interruptions and backchannels,) with whoever held the floor
    kinds: np.ndarray  # (transitions,) of `transitions.KINDS`

    def kind_shares(self) -> dict[str, float]:
        """Share of each kind of transition."""
        shares = np.bincount(self.kinds, minlength=len(KINDS)) / max(len(self.kinds), 1)
        return dict(zip(KINDS, shares.tolist()))


class Comparison(NamedTuple):
    """One quantity of two sets of windows."""

    name: str  # field of `TurnStatistics`
    reference_mean: float
    mean: float
    ks: float  # two-sample Kolmogorov-Smirnov distance of the distributions, 0..1

    @property
    def relative(self) -> float:
        """Mean over reference mean, less one."""
        return self.mean / self.reference_mean - 1


def windows_of(meetings: Iterable[Sequence[Turn]], duration_s: float) -> list[list[Turn]]:
    """All windows of the meetings, side by side from time 0; what is left at an end is dropped."""
    windows = []
    for meeting in meetings:
        meeting = merge_gaps(meeting)
        length_s = max((turn.end_s for turn in meeting), default=0.0)
        for k in range(int(length_s // duration_s)):
            begin_s, end_s = k * duration_s, (k + 1) * duration_s
            near = [t for t in meeting if t.start_s < end_s and t.end_s > begin_s]
            windows.append(cut_window(near, begin_s, duration_s))
    return windows


def measure_turns(windows: Iterable[Sequence[Turn]], duration_s: float) -> TurnStatistics:
    """Count what happens in windows of `duration_s` seconds.

    Raises
    ------
    ValueError
        If there is no window, or a turn reaches out of it.
    """
    found: dict[str, list] = {field.name: [] for field in fields(TurnStatistics)}
    for turns in windows:
        turns = sorted(turns)
        if turns and (turns[0].start_s < 0 or max(t.end_s for t in turns) > duration_s + 1e-6):
            raise ValueError(f"a turn reaches out of its window of {duration_s} s: {turns}.")
        alone_or_more = _times_of_at_least(turns, 3)
        found["silence_share"].append(1 - alone_or_more[0] / duration_s)
        found["overlap_share"].append(alone_or_more[1] / duration_s)
        found["crowd_share"].append(alone_or_more[2] / duration_s)
        found["num_speakers"].append(len({turn.speaker for turn in turns}))
        found["num_segments"].append(len(turns))
        found["segment_s"] += [turn.end_s - turn.start_s for turn in turns]
        for transition in transitions(turns):
            found["kinds"].append(transition.kind)
            name = {HOLD: "pause_s", SWITCH: "gap_s"}.get(transition.kind, "overlap_s")
            found[name].append(transition.seconds)
    if not found["num_segments"]:
        raise ValueError("there is no window to measure.")
    kinds = np.array(found.pop("kinds"), dtype=int)
    arrays = {name: np.array(values, dtype=float) for name, values in found.items()}
    return TurnStatistics(**arrays, kinds=kinds)


def compare(reference: TurnStatistics, other: TurnStatistics) -> list[Comparison]:
    """Means and Kolmogorov-Smirnov distances, quantity by quantity.

    A quantity that one side never shows (no pause in any window) has distance and mean NaN.
    """
    rows = []
    for field in fields(TurnStatistics):
        if field.name == "kinds":
            continue
        one, two = getattr(reference, field.name), getattr(other, field.name)
        if len(one) and len(two):
            ks = float(ks_2samp(one, two, method="asymp").statistic)
            rows.append(Comparison(field.name, float(one.mean()), float(two.mean()), ks))
        else:
            rows.append(Comparison(field.name, *(float("nan"),) * 3))
    return rows


def _times_of_at_least(turns: Sequence[Turn], most: int) -> list[float]:
    """Seconds during which at least 1, 2, …, `most` people speak."""
    changes = [(turn.start_s, 1) for turn in turns] + [(turn.end_s, -1) for turn in turns]
    seconds, speaking, now = [0.0] * most, 0, 0.0
    for time, change in sorted(changes):
        for k in range(min(speaking, most)):
            seconds[k] += time - now
        speaking, now = speaking + change, time
    return seconds
