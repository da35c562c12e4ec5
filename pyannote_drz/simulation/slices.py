"""Slices: pieces of a long table of samples, laid onto silent tracks."""

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


def lay(table: torch.Tensor, slices: np.ndarray, num_tracks: int, num_samples: int) -> torch.Tensor:
    """Lay slices of a table onto silent tracks.

    At most two slices of a track may overlap: float addition is not associative, and the order
    in which a GPU adds three is not defined.

    Parameters
    ----------
    table : Tensor
        (total,) samples, int16 or float32, on the device to work on.
    slices : ndarray
        (num_slices,) of `SLICE`. They must lie inside the table and inside their tracks.
    num_tracks, num_samples : int
        Size of the outcome.

    Returns
    -------
    tracks : Tensor
        (num_tracks, num_samples) float32.
    """
    device = table.device
    out = torch.zeros(num_tracks * num_samples, device=device)
    slices = slices[slices["length"] > 0]
    if len(slices) == 0:
        return out.view(num_tracks, num_samples)

    def column(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.copy()).to(device)

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
    # Fades touch few samples, so only those are visited: one short row per slice and per edge.
    begin, end = firsts, firsts + lengths  # (slices,)
    for edge, fade, sign in ((begin, slices["fade_in"], 1), (end - 1, slices["fade_out"], -1)):
        steps = np.minimum(fade, slices["length"]).astype(np.int64)
        reach = torch.arange(int(steps.max(initial=0)), device=device)  # (longest,)
        rows = edge[:, None] + sign * reach  # (slices, longest)
        ramp = (reach + 1) / column(np.maximum(fade, 1.0))[:, None]
        inside = reach < column(steps)[:, None]
        value[rows[inside]] *= ramp.clamp(max=1.0)[inside]
    out.index_add_(0, target, value)
    return out.view(num_tracks, num_samples)
