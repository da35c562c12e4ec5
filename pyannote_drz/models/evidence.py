"""What PyanNet's activities say of starts, of ends, and of what is not written yet.

PyanNet numbers its local speakers anew in every stretch of audio, so they are no speakers of ours;
but where one of them begins a turn begins, and where it falls silent that turn ends. Everything is
a sum over bins, in single precision: cumulated in bf16 it would be noise (DESIGN.md, section 3).

    activities  (batch, bins, 3)    probability that each local speaker is active
    starts      (batch, turns)      bin at which each written turn begins
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EDGE_S = 0.3  # s; activity after an instant is compared with activity before it, that far
NEAR_S = 0.25  # s; whoever is silent for less has not fallen silent
MOST_GONE_S = 4.0  # s of silence that count against a later end
MOST_LEFT_S = 4.0  # s of unwritten activity that count against <eos>
FAINT = 1e-3  # weight of a local speaker who is not heard


class Evidence:
    """Activities of a batch of chunks, ready to be asked.

    Parameters
    ----------
    activities : (batch, bins, 3) Tensor
    bin_s : float
        Duration of a bin, in seconds.
    """

    def __init__(self, activities: Tensor, bin_s: float):
        self.activities = activities.float()
        self.bin_s = bin_s
        self.edge, self.near = round(EDGE_S / bin_s), round(NEAR_S / bin_s)
        self.num_bins = activities.shape[1]
        self.cumulated = F.pad(self.activities.cumsum(1), (0, 0, 1, 0))  # (batch, bins + 1, 3)
        self.total = self.activities.sum(-1)  # (batch, bins) people who speak
        bins = torch.arange(self.num_bins + 1, device=activities.device)
        self.bins = bins.expand(len(activities), -1)  # (batch, bins + 1) edges of bins
        after = self.mean(self.bins, self.bins + self.edge)
        before = self.mean(self.bins - self.edge, self.bins)
        self.rise = (after - before).clamp(min=0).sum(-1)  # (batch, bins + 1)

    def mean(self, start: Tensor, stop: Tensor) -> Tensor:
        """Mean activity from bin to bin, (batch, K) each -> (batch, K, 3)."""
        start, stop = start.clamp(0, self.num_bins), stop.clamp(0, self.num_bins)

        def at(edge: Tensor) -> Tensor:
            return self.cumulated.gather(1, edge[..., None].expand(-1, -1, 3))

        return (at(stop) - at(start)) / (stop - start).clamp(min=1)[..., None]

    def who_starts(self, starts: Tensor) -> Tensor:
        """Share of each local speaker in what begins there, (batch, turns, 3); 0 in silence."""
        now = self.mean(starts, starts + self.edge)
        before = self.mean(starts - self.edge, starts)
        weight = (now - before).clamp(min=0) + 0.1 * now + FAINT
        heard = now.sum(-1, keepdim=True).clamp(max=1)
        return heard * weight / weight.sum(-1, keepdim=True)

    def unwritten(self, starts: Tensor, ends: Tensor, rows: Tensor) -> Tensor:
        """Activity that the first turns do not explain.

        Parameters
        ----------
        starts, ends : (batch, turns) Tensors
            Bins of the turns that are written.
        rows : (K,) Tensor
            How many of those turns count.

        Returns
        -------
        unwritten : (batch, K, bins) Tensor
            At least 0, in people.
        """
        bins = self.bins[:, None, :-1]  # (batch, 1, bins)
        covered = (bins >= starts[..., None]) & (bins < ends[..., None])  # (batch, turns, bins)
        covered = F.pad(covered.float().cumsum(1), (0, 0, 1, 0))  # by the first 0, 1, … turns
        return (self.total[:, None] - covered[:, rows]).clamp(min=0)

    def start_terms(self, unwritten: Tensor) -> tuple[Tensor, Tensor]:
        """What speaks for a start at each edge of a bin, given what is not written.

        Returns
        -------
        rise : (batch, K, bins + 1) Tensor
            Of what is unwritten, in people.
        after : (batch, K, bins + 1) Tensor
            What is unwritten right after it, at most 1.
        """
        total = F.pad(unwritten.cumsum(-1), (1, 0))
        edge = self.bins[0]
        low, high = (edge - self.edge).clamp(min=0), (edge + self.edge).clamp(max=self.num_bins)
        after = (total[..., high] - total[..., edge]) / (high - edge).clamp(min=1)
        before = (total[..., edge] - total[..., low]) / (edge - low).clamp(min=1)
        return (after - before).clamp(min=0), after.clamp(max=1)

    def left_s(self, unwritten: Tensor, since: Tensor) -> Tensor:
        """Seconds that are still to be written from bin `since` (batch, K) on, (batch, K)."""
        sure = (2 * unwritten - 1).clamp(0, 1)  # what is more probable than not
        later = self.bins[:, None, :-1] >= since[..., None]
        return (self.bin_s * (sure * later).sum(-1)).clamp(max=MOST_LEFT_S)

    def end_terms(self, starts: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
        """What speaks for the end of turns that start at `starts`, by local speakers `who`.

        Parameters
        ----------
        starts : (batch, K) Tensor
        who : (batch, K, 3) Tensor
            See `who_starts`.

        Returns
        -------
        fall : (batch, K, bins + 1) Tensor
            Of that activity, at each edge of a bin.
        gone : (batch, K, bins + 1) Tensor
            Seconds since the start in which that activity was not there.
        """
        active = who @ self.activities.transpose(1, 2)  # (batch, K, bins)
        total = F.pad(active.cumsum(-1), (1, 0))
        edge = self.bins[0]
        low, high = (edge - self.edge).clamp(min=0), (edge + self.edge).clamp(max=self.num_bins)
        before = (total[..., edge] - total[..., low]) / (edge - low).clamp(min=1)
        after = (total[..., high] - total[..., edge]) / (high - edge).clamp(min=1)
        width = 2 * self.near + 1
        near = F.max_pool1d(active.flatten(0, 1)[:, None], width, 1, self.near)[:, 0]
        silent_s = self.bin_s * (0.5 - near.view_as(active)).clamp(min=0) * 2
        silent_s = F.pad(silent_s.cumsum(-1), (1, 0))
        since = silent_s.gather(-1, starts.clamp(0, self.num_bins)[..., None])
        return before - after, (silent_s - since).clamp(0, MOST_GONE_S)
