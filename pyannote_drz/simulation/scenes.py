"""Scenes: stretches of audio as drawn numbers; long ones are rendered window by window."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .acoustics.noises import KNOT_S, NoiseDraw
from .acoustics.rooms import NOISE_SAMPLES
from .acoustics.silences import cut_silences
from .config import SimulationConfig
from .slices import SAMPLE_RATE

WHOLE_SAMPLES = 120 * SAMPLE_RATE  # up to here a scene is rendered in one piece
WINDOW_S = 60  # of a longer one: what fits a CPU's block, see `mixing.BLOCK_SAMPLES`
# How far the filters of noise and channel ring, to -60 dB: they are symmetric in time and their
# lowest corner is at 40 Hz.
RINGING_S = 0.5


class Scene(NamedTuple):
    """One stretch of audio to render: a chunk or a prompt. Nothing but drawn numbers."""

    slices: np.ndarray  # (n,) of SLICE, of the voice bank
    places: np.ndarray  # (tracks,) of PLACE
    lines: np.ndarray  # (tracks,) of CHANNEL, see `channels.draw_lines`
    noise: NoiseDraw
    channel: np.ndarray  # (1,) of CHANNEL
    silences: np.ndarray  # (n, 2) first and last + 1 sample of what is exactly 0
    num_samples: int  # what follows is silence


def margin_s(config: SimulationConfig) -> int:
    """Seconds, whole ones, after which a window's edge is heard no more.

    Rooms ring, bursts fade, filters smear; whatever is cut at a window's edge is wrong no longer
    than that.
    """
    return math.ceil(max(config.rooms.rt60_s[1], config.noise.burst_s[1]) + RINGING_S)


def windows(scene: Scene, margin_s: int) -> Iterator[tuple[Scene, slice]]:
    """Cut a long scene into windows of one length whose kept parts follow each other.

    Voices, places, lines, noise and channel are the scene's. Two windows agree on every sample
    which both keep their distance `margin_s` from, so there is no seam to hear. The last window
    reaches beyond the scene's end.

    Parameters
    ----------
    scene : Scene
    margin_s : int
        Seconds at each inner edge that are rendered and not kept, see `margin_s`.

    Yields
    ------
    window : Scene
    keep : slice
        Samples of the window that are the scene's: all but its margins.
    """
    rate = SAMPLE_RATE
    length, margin = (WINDOW_S + 2 * margin_s) * rate, margin_s * rate
    for kept in range(0, scene.num_samples, WINDOW_S * rate):
        first = max(kept - margin, 0)
        stop = min(kept + WINDOW_S * rate, scene.num_samples)
        inside = _cut(scene.slices, first, length)
        part = scene._replace(
            slices=inside,
            noise=_cut_noise(scene.noise, first, length),
            silences=cut_silences(scene.silences, first, length),
            num_samples=length,
        )
        yield part, slice(kept - first, stop - first)


def _cut(slices: np.ndarray, first: int, length: int) -> np.ndarray:
    """Slices inside samples first..first + length, from there on; a cut end does not fade."""
    end = slices["position"] + slices["length"]
    slices = slices[(end > first) & (slices["position"] < first + length)].copy()
    slices["position"] -= first
    late = np.maximum(-slices["position"], 0)  # samples of each that lie before the window
    slices["start"] += late
    slices["position"] += late
    slices["length"] -= late
    slices["fade_in"][late > 0] = 0
    over = np.maximum(slices["position"] + slices["length"] - length, 0)
    slices["length"] -= over
    slices["fade_out"][over > 0] = 0
    return slices


def _cut_noise(noise: NoiseDraw, first: int, length: int) -> NoiseDraw:
    """Noise from sample `first`, which is at a knot, on."""
    knot = int(KNOT_S * SAMPLE_RATE)
    knots = noise.knots[first // knot :]
    missing = max(0, length // knot + 2 - len(knots))
    return noise._replace(
        offset=(noise.offset + first) % NOISE_SAMPLES,
        knots=np.pad(knots, (0, missing), mode="edge"),
        recorded=_cut(noise.recorded, first, length),
        bursts=_cut(noise.bursts, first, length),
    )
