"""Room banks: responses of rooms simulated in detail, or measured, instead of a statistical model.

`recipes/synthetic/make_rooms.py` makes such a file with pyroomacoustics.
"""

from pathlib import Path

import numpy as np
import torch

from ...io.atomic import atomic_write
from ..slices import SAMPLE_RATE

DIRECT_S = 0.0025  # what arrives that soon is the direct sound, as in the acoustics of speech


class RoomBank:
    """Responses of rooms in memory.

    Attributes
    ----------
    responses : Tensor
        (num_responses, samples) float32 at 16 kHz, each of unit energy; room by room, in each
        room the place with most direct sound first.

    Parameters
    ----------
    responses : ndarray
        (num_responses, samples) of any level, zero padded. The direct sound comes first: what it
        is late, speech will be late.
    rooms : ndarray
        (num_responses,) int, room of every response. Whoever talk together share a room.

    Raises
    ------
    ValueError
        If there is no response, one is silent or has no finite energy, or the shapes differ.
    """

    def __init__(self, responses: np.ndarray, rooms: np.ndarray):
        responses, rooms = np.asarray(responses, np.float32), np.asarray(rooms)
        if responses.ndim != 2 or not responses.size or rooms.shape != responses.shape[:1]:
            raise ValueError(
                f"a room bank takes (num_responses, samples) and (num_responses,), not "
                f"{responses.shape} and {rooms.shape}."
            )
        energy = np.einsum("rs,rs->r", responses, responses)
        bad = np.flatnonzero(~(np.isfinite(energy) & (energy > 0)))
        if len(bad):
            raise ValueError(f"room response {bad[0]} is silent or not finite.")
        direct = responses[:, : int(DIRECT_S * SAMPLE_RATE)]
        direct_share = np.einsum("rs,rs->r", direct, direct) / energy
        order = np.lexsort((-direct_share, rooms))
        responses = responses[order] / np.sqrt(energy[order, None])
        self.responses = torch.from_numpy(responses)
        _, self._begins, counts = np.unique(rooms[order], return_index=True, return_counts=True)
        self._ends = self._begins + counts

    def __len__(self) -> int:
        """Number of rooms."""
        return len(self._begins)

    def draw(self, rng: np.random.Generator, num_near: int, num_far: int = 0) -> np.ndarray:
        """Draw one room and the places of some people in it.

        Parameters
        ----------
        rng : Generator
        num_near : int
            People who take part: a place for each, as long as there are places.
        num_far : int
            People in the background: at the place with least direct sound.

        Returns
        -------
        rows : ndarray
            (num_near + num_far,) of `responses`.
        """
        room = int(rng.integers(len(self)))
        rows = np.arange(self._begins[room], self._ends[room])
        near = rng.permutation(rows[:-1] if num_far and len(rows) > 1 else rows)
        return np.concatenate([np.resize(near, num_near), np.full(num_far, rows[-1])])

    def save(self, path: str | Path) -> None:
        """Write the bank to an NPZ file, all of it or nothing."""
        rooms = np.repeat(np.arange(len(self)), self._ends - self._begins)
        # Half precision: its rounding lies 66 dB under each sample.
        responses = self.responses.numpy().astype(np.float16)
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez_compressed(file, responses=responses, rooms=rooms, sample_rate=SAMPLE_RATE)

    @classmethod
    def from_file(cls, path: str | Path) -> "RoomBank":
        """Read an NPZ file with arrays `responses`, `rooms` (see above) and `sample_rate`.

        Raises
        ------
        ValueError
            If the file is missing, lacks one of them, or has another sample rate.
        """
        if not Path(path).is_file():
            raise ValueError(f"room bank '{path}' is missing.")
        try:
            with np.load(path, allow_pickle=False) as content:
                responses, rooms, sample_rate = (
                    content[name] for name in ("responses", "rooms", "sample_rate")
                )
        except Exception as error:  # of zip, of numpy, of zlib: many kinds
            raise ValueError(f"room bank '{path}' cannot be read: {error}.") from error
        if int(sample_rate) != SAMPLE_RATE:
            raise ValueError(f"room bank '{path}' is at {sample_rate} Hz, not {SAMPLE_RATE}.")
        return cls(responses, rooms)
