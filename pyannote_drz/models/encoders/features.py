"""Features of audio, for every 80 ms, computed once and sliced by all that reads them.

    probabilities   of PyanNet's seven powerset classes, four 20-ms bins
    short, long     speaker embeddings of what is heard within 0.5 s and within 1.5 s around it

A long recording is encoded block by block. Blocks overlap: so the encoders have context at their
borders, and PyanNet's local speakers, which are numbered anew in every block, are matched there.
Frame-wise embeddings: Cord-Landwehr et al. 2023 (arXiv 2306.00625), Palka et al. 2024 (2411.02165).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, permutations
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ..parallel import mapped
from .campplus import EMBEDDING_DIM, SAMPLE_RATE, CAMPPlus
from .level import Level
from .segmentation import (
    NUM_CLASSES,
    NUM_LOCAL,
    activities,
    at_bins,
    log_probabilities_of,
    permuted,
    segmentation_3,
)

WEIGHTS = Path(__file__).parent / "weights"

BIN_SAMPLES = 320  # 20 ms: a frame of CAM++ and a time bin
BINS_PER_POSITION = 4
POSITION_SAMPLES = BINS_PER_POSITION * BIN_SAMPLES  # 80 ms
SHORT_BINS, LONG_BINS = 25, 75  # 0.5 and 1.5 s (DESIGN.md, section 3)
# Samples after the last position: the windows of its frames reach that far.
TAIL_SAMPLES = 400 + 3 * BIN_SAMPLES
ROWS = 2  # that CAM++ hears at once on a CPU: more do not fit its caches (DESIGN.md, section 6)

# s; as long as the chunks that the transformer learns from, and what both encoders hear beyond
# either end of what is kept. PyanNet learnt from chunks of 10 s.
BLOCK_S, CONTEXT_S = 28.0, 2.0
CONTEXT = round(CONTEXT_S * SAMPLE_RATE) // POSITION_SAMPLES  # positions
# Positions of a stream that are heard again before what is encoded anew, by PyanNet and by CAM++.
# Streams of SimDev meetings, steps of 10 s: 6 and 6 s 15.9 % DER, 16 and 6 s 15.1, 20 and 6 s 14.6.
BEFORE = round(20.0 * SAMPLE_RATE) // POSITION_SAMPLES
BEFORE_EMBEDDINGS = round(6.0 * SAMPLE_RATE) // POSITION_SAMPLES
# Rows encoded at once on a CPU: PyanNet's LSTM takes half the time for each of four as for one.
GROUP = 4


class Features(NamedTuple):
    """What is heard, position by position (80 ms).

    probabilities : (…, positions, 4, 7) Tensor
        Of PyanNet's powerset classes.
    short, long : (…, positions, 192) Tensor
        Speaker embeddings over 0.5 and 1.5 s.
    """

    probabilities: Tensor
    short: Tensor
    long: Tensor

    @property
    def num_positions(self) -> int:
        return self.short.shape[-2]

    def part(self, start: int, stop: int) -> Features:
        """Positions `start` to `stop`: views."""
        return Features(
            self.probabilities[..., start:stop, :, :],
            self.short[..., start:stop, :],
            self.long[..., start:stop, :],
        )

    def to(self, target: torch.device | torch.dtype) -> Features:
        """On another device, or in another precision."""
        return Features(*(tensor.to(target) for tensor in self))

    @classmethod
    def silence(cls, num_positions: int) -> Features:
        """Positions in which nobody is heard, and whose embeddings are like nobody's."""
        probabilities = torch.zeros(num_positions, BINS_PER_POSITION, NUM_CLASSES)
        probabilities[..., 0] = 1.0
        nobody = torch.zeros(num_positions, EMBEDDING_DIM)
        return cls(probabilities, nobody, nobody)

    @classmethod
    def join(cls, parts: list[Features]) -> Features:
        """One after the other."""
        probabilities, short, long = zip(*parts)
        return cls(torch.cat(probabilities, -3), torch.cat(short, -2), torch.cat(long, -2))

    @classmethod
    def stack(cls, rows: list[Features]) -> Features:
        """A batch of rows of the same length."""
        return cls(*(torch.stack(tensors) for tensors in zip(*rows)))

    def permuted(self, order: tuple[int, ...]) -> Features:
        """The same, after PyanNet's local speaker k has become `order[k]`."""
        return self._replace(probabilities=permuted(self.probabilities, order))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a CPU multiplies bf16 in hardware; elsewhere fp32 is faster, or safer."""
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


class FeatureEncoder(nn.Module):
    """Both encoders, frozen, with the weights that are packaged.

    They are always in evaluation mode, and no part of a checkpoint: they never change.
    """

    def __init__(self):
        super().__init__()
        self.campplus, self.segmentation = CAMPPlus(), segmentation_3()
        for name, encoder in (
            ("campplus", self.campplus),
            ("segmentation-3.0", self.segmentation),
        ):
            state = load_file(WEIGHTS / f"{name}.safetensors")
            loaded = encoder.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
            missing = [k for k in loaded.missing_keys if not k.endswith("num_batches_tracked")]
            if missing or loaded.unexpected_keys:
                raise ValueError(f"weights of {name} do not fit: {missing}, {loaded[1]}.")
        self.requires_grad_(False)
        self.train(False)
        self.register_load_state_dict_pre_hook(_keep_its_own)

    def train(self, mode: bool = True) -> FeatureEncoder:
        """Evaluation mode, whatever is asked for."""
        return super().train(False)

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """Nothing: the weights are those of the package."""
        return {} if destination is None else destination

    @torch.no_grad()
    def forward(self, waveforms: Tensor, skip: int = 0) -> Features:
        """Encode (batch, samples) waveforms at 16 kHz, each as a whole.

        CAM++ does not hear the first `skip` positions, which have no embeddings.
        """
        rows = GROUP if waveforms.device.type == "cpu" else len(waveforms)
        parts = [self._encode(part, skip) for part in waveforms.split(max(rows, 1))]
        return Features(*(torch.cat(tensors) for tensors in zip(*parts)))

    def _encode(self, waveforms: Tensor, skip: int = 0) -> Features:
        num_positions = -(-waveforms.shape[-1] // POSITION_SAMPLES)
        missing = num_positions * POSITION_SAMPLES - waveforms.shape[-1]
        waveforms = F.pad(waveforms.float(), (0, missing + TAIL_SAMPLES))
        rows = ROWS if waveforms.device.type == "cpu" else len(waveforms)
        heard = waveforms[:, skip * POSITION_SAMPLES :]
        embeddings = [self._embed(part, num_positions - skip) for part in heard.split(rows)]
        short, long = (F.pad(torch.cat(some), (0, 0, skip, 0)) for some in zip(*embeddings))
        return Features(self._segment(waveforms, num_positions), short, long)

    def _segment(self, waveforms: Tensor, num_positions: int) -> Tensor:
        """(batch, positions, 4, 7): probabilities of PyanNet's classes."""
        with torch.autocast(waveforms.device.type, enabled=False):
            frames = log_probabilities_of(self.segmentation, waveforms)
            bins = at_bins(frames, BINS_PER_POSITION * num_positions, BIN_SAMPLES)
        return bins.exp().unflatten(1, (num_positions, BINS_PER_POSITION))

    def _embed(self, waveforms: Tensor, num_positions: int) -> tuple[Tensor, Tensor]:
        """Embeddings over 0.5 and 1.5 s, (batch, positions, 192)."""
        device, num_bins = waveforms.device, BINS_PER_POSITION * num_positions
        with torch.autocast(device.type, enabled=False):
            log_mel = self.campplus.fbank(waveforms)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            frames = self.campplus.frames(log_mel)
        with torch.autocast(device.type, enabled=False):
            frames = frames.float()[..., :num_bins]
            return self._embeddings(frames, SHORT_BINS), self._embeddings(frames, LONG_BINS)

    def _embeddings(self, frames: Tensor, width: int) -> Tensor:
        """(batch, 512, bins) -> (batch, positions, 192), over `width` bins around each position."""

        def mean(x: Tensor) -> Tensor:
            # A position begins with the bin in the middle of its window: 30 ms before its own
            # middle. The window is odd, and half a second wide.
            x = F.avg_pool1d(x, width, BINS_PER_POSITION, width // 2, count_include_pad=False)
            return x[..., : frames.shape[-1] // BINS_PER_POSITION]

        average = mean(frames)
        variance = (mean(frames.square()) - average.square()).clamp(min=1e-6)
        return self.campplus.embed(average.transpose(1, 2), variance.sqrt().transpose(1, 2))

    def encode_file(
        self,
        waveform: Tensor,
        dtype: torch.dtype = torch.float32,
        progress: Callable[[int, int], None] | None = None,
        empty: Callable[..., Tensor] = torch.empty,
    ) -> Features:
        """Encode a recording of any length and level, block by block.

        Parameters
        ----------
        waveform : (samples,) Tensor
            Wherever it is, blocks of it are encoded where the encoders are.
        dtype : torch.dtype, optional
            Of the features: an hour of them takes 37 MB in half precision.
        progress : callable, optional
            Called with the number of blocks that are done, and of all.
        empty : callable, optional
            Makes the tensors of the features, as `torch.empty` or `Scratch.empty` do.

        Returns
        -------
        features : Features of ceil(samples / 1280) positions
            Where the waveform is.
        """
        num_positions = -(-len(waveform) // POSITION_SAMPLES)
        windows = windows_of(num_positions)
        level, device = Level(waveform), next(self.parameters()).device

        def encoded(group: list[Window]) -> Features:
            """Of windows of the same length, (windows, positions, …)."""
            length = (group[0].last - group[0].first) * POSITION_SAMPLES
            rows = [waveform[w.first * POSITION_SAMPLES :][:length].to(device) for w in group]
            # The last position of a recording may have fewer samples.
            rows = [F.pad(level.of(row), (0, length - len(row))) for row in rows]
            heard = self(torch.stack(rows))
            return Features(*(tensor.to(waveform.device) for tensor in heard))

        features = Features(  # made once, in the precision that is kept: an hour takes 37 MB
            empty(num_positions, BINS_PER_POSITION, NUM_CLASSES, dtype=dtype),
            empty(num_positions, EMBEDDING_DIM, dtype=dtype),
            empty(num_positions, EMBEDDING_DIM, dtype=dtype),
        )
        speakers, completed = LocalSpeakers(), 0
        groups = list(groups_of(windows))
        for group, heard in zip(groups, mapped(encoded, groups, device), strict=True):
            for row, window in enumerate(group):
                part = speakers.follow(Features(*(x[row] for x in heard)), window.first)
                part = part.part(window.start - window.first, window.stop - window.first)
                for tensor, values in zip(features, part, strict=True):
                    tensor[window.start : window.stop] = values
            completed += len(group)
            if progress is not None:
                progress(completed, len(windows))
        return features


class Window(NamedTuple):
    """Positions `first` to `last` are heard, features of `start` to `stop` are kept."""

    first: int
    last: int
    start: int
    stop: int


def windows_of(num_positions: int) -> list[Window]:
    """Cover a recording; all windows are of the same length, unless it is shorter than that."""
    block = round(BLOCK_S * SAMPLE_RATE) // POSITION_SAMPLES
    length = block + 2 * CONTEXT
    windows = []
    for start in range(0, max(num_positions, 1), block):
        first = max(min(start - CONTEXT, num_positions - length), 0)
        stop = min(start + block, num_positions)
        windows.append(Window(first, min(first + length, num_positions), start, stop))
    return windows


def groups_of(windows: list[Window]) -> Iterator[list[Window]]:
    """Windows that follow each other and are of the same length, `GROUP` at the most."""
    for _, same in groupby(windows, key=lambda window: window.last - window.first):
        same = list(same)
        yield from (same[i : i + GROUP] for i in range(0, len(same), GROUP))


class LocalSpeakers:
    """PyanNet's local speakers keep their numbers from one window to the next."""

    def __init__(self):
        self.before: Features | None = None  # what was heard last, and from which position on
        self.first = 0

    def follow(self, heard: Features, first: int) -> Features:
        """The same features, named as where they overlap with what was heard last.

        Parameters
        ----------
        heard : Features
            From position `first` on.
        first : int
        """
        if self.before is not None:
            known = self.before.part(max(first - self.first, 0), None)
            length = min(known.num_positions, heard.num_positions)
            late = max(self.first - first, 0)
            if length > late:
                ours, theirs = heard.part(late, length), known.part(0, length - late)
                heard = heard.permuted(best_order(ours, theirs))
        self.before, self.first = heard, first
        return heard


class Blocks:
    """Parts of a stream, one after the other, so that they fit together.

    Parameters
    ----------
    encoder : FeatureEncoder
    level : Level
        Of what was heard so far.
    """

    def __init__(self, encoder: FeatureEncoder, level: Level):
        self.encoder, self.level = encoder, level
        self.speakers = LocalSpeakers()

    def encode(self, waveform: Tensor, start: int, stop: int, at: int) -> Features:
        """Encode positions `start` to `stop` of a stream.

        Parameters
        ----------
        waveform : (samples,) Tensor
            The stream, from position `at` on, with what is known of the context.
        start, stop : int
            Positions; where they overlap with what was encoded last, or follow it, PyanNet's local
            speakers keep their numbers.
        at : int

        Returns
        -------
        features : Features of stop - start positions
        """
        first = max(start - BEFORE, at)
        skip = max(start - BEFORE_EMBEDDINGS, at) - first
        samples = waveform[(first - at) * POSITION_SAMPLES :]
        samples = samples[: (stop + CONTEXT - first) * POSITION_SAMPLES]
        samples = self.level.of(samples.to(next(self.encoder.parameters()).device))
        heard = self.encoder(samples[None], skip)
        heard = Features(*(tensor[0].to(waveform.device) for tensor in heard))
        return self.speakers.follow(heard, first).part(start - first, stop - first)


def best_order(features: Features, reference: Features) -> tuple[int, ...]:
    """How local speakers of `features` are called in `reference`, of the same positions."""
    ours = activities(features.probabilities).flatten(0, 1)  # (bins, 3)
    theirs = activities(reference.probabilities).flatten(0, 1)
    together = (ours.T @ theirs).tolist()  # (3, 3)
    orders = permutations(range(NUM_LOCAL))
    return max(orders, key=lambda order: sum(together[k][to] for k, to in enumerate(order)))


def _keep_its_own(encoder: FeatureEncoder, state_dict: dict, prefix: str, *_) -> None:
    """Checkpoints do not have the encoders' weights; nothing else may be missing there."""
    state_dict.update(nn.Module.state_dict(encoder, prefix=prefix))
