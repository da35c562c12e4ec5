"""Slices: pieces of a long table of samples, laid onto silent tracks."""

from functools import lru_cache

import numpy as np
import torch

SAMPLE_RATE = 16000  # Hz, of everything in this package (DESIGN §3)

# One stretch of a table to lay onto a track; all in samples but the gain.
SLICE = np.dtype(
    [
        ("start", np.int64),  # first sample, in the table
        ("length", np.int64),
        ("position", np.int64),  # first sample, on the track
        ("track", np.int64),
        ("gain", np.float32),  # factor, table sample -> track sample
        ("fade_in", np.float32),  # linear, in samples
        ("fade_out", np.float32),
    ]
)
FADE = 80  # 5 ms: no click at a cut, and no onset blurred (NeMo's simulator fades over 50 ms)


def on_device(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy of an array on a device, without waiting for what the device is busy with.

    A blocking copy waits for all that was asked of a GPU before, hundreds of times a batch.
    """
    return torch.from_numpy(values.copy()).to(device, non_blocking=True)


def lay(table: torch.Tensor, slices: np.ndarray, tracks: torch.Tensor) -> None:
    """Add slices of a table to tracks, in place.

    On a GPU at most two slices of a silent track, or one of another, may overlap: float addition
    is not associative, and the order in which a GPU adds is not defined.

    Parameters
    ----------
    table : Tensor
        (total,) samples, int16 or float32, on the device of the tracks.
    slices : ndarray
        (num_slices,) of `SLICE`. They must lie inside the table and inside their tracks.
    tracks : Tensor
        (num_tracks, num_samples) float32, contiguous.
    """
    slices = slices[slices["length"] > 0]
    if len(slices) == 0:
        return
    if tracks.device.type == "cpu":
        _lay_one_by_one(table.numpy(), slices, tracks.numpy())
    else:
        _lay_at_once(table, slices, tracks)


def _lay_one_by_one(table: np.ndarray, slices: np.ndarray, tracks: np.ndarray) -> None:
    """For CPUs: every slice passes through the caches once, without a list of its samples."""
    gains = slices["gain"]
    for k, (start, length, position, track, _, fade_in, fade_out) in enumerate(slices.tolist()):
        value = np.multiply(table[start : start + length], gains[k], dtype=np.float32)
        rise, fall = _ramp(fade_in, length), _ramp(fade_out, length)
        value[: len(rise)] *= rise
        value[length - len(fall) :] *= fall[::-1]
        tracks[track, position : position + length] += value


@lru_cache(maxsize=16)
def _ramp(fade: float, length: int) -> np.ndarray:
    """Factors of the first samples of a slice that fades in."""
    steps = np.arange(1, int(min(fade, length)) + 1, dtype=np.float32)
    return np.minimum(steps / np.float32(max(fade, 1.0)), np.float32(1.0))


def _lay_at_once(table: torch.Tensor, slices: np.ndarray, tracks: torch.Tensor) -> None:
    """For GPUs: few kernels, each over all samples of all slices, and none that is waited for."""
    device, num_samples = tracks.device, tracks.shape[1]

    def column(values: np.ndarray) -> torch.Tensor:
        return on_device(values, device)

    lengths = column(slices["length"])  # (slices,)
    firsts = torch.cumsum(lengths, 0) - lengths  # of every slice, among all samples laid
    total = int(slices["length"].sum())
    which = torch.repeat_interleave(torch.arange(len(slices), device=device), lengths,
                                    output_size=total)  # (total,)  # fmt: skip
    at = torch.arange(total, device=device)
    source = at + (column(slices["start"]) - firsts)[which]
    target = at + (
        column(slices["track"] * num_samples + slices["position"]) - firsts
    )[which]  # fmt: skip
    value = table[source].float() * column(slices["gain"])[which]
    # Fades touch few samples; to visit those alone, a GPU would have to count them first, and wait.
    for edge, fade in ((firsts - 1, slices["fade_in"]), (firsts + lengths, slices["fade_out"])):
        steps = (at - edge[which]).abs_()  # 1 at the slice's first (or last) sample
        value *= (steps / column(np.maximum(fade, 1.0))[which]).clamp_(max=1.0)
    tracks.view(-1).index_add_(0, target, value)
