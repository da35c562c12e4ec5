"""pyannote.audio's own diarization pipeline, of the encoders that are packaged here.

Its code as it is: segmentation-3.0 on windows of 10 s, every second; an embedding of each local
speaker of each window; agglomerative clustering, as in speaker-diarization-3.1. community-1's own
embeddings and clustering are not free to download without an account.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pyannote.audio import Model
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import SpeakerDiarization
from torch import Tensor

from pyannote_drz.models.encoders import FeatureEncoder
from pyannote_drz.models.encoders.campplus import EMBEDDING_DIM, SAMPLE_RATE

BATCH_SIZE = 32  # as in community-1's configuration
# `threshold` is a distance of unit vectors; 3.1's is for other embeddings. With 0.7, 0.85, 1.0 and
# 1.1, four AMI excerpts have 20.9, 20.5, 20.5 and 20.5 % DER, four files of SimDev chunks3 21.6,
# 15.3, 26.8 and 37.9. What else there is, is 3.1's, but for pauses, which are ours.
PARAMS = {
    "segmentation": {"min_duration_off": 0.5},
    "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.85},
}


class MaskedCAMPPlus(Model):
    """CAM++ as pyannote's pipeline asks for it: one embedding of what a mask tells of a window."""

    dimension = EMBEDDING_DIM

    def __init__(self):
        super().__init__(sample_rate=SAMPLE_RATE, num_channels=1)
        self.campplus = FeatureEncoder().campplus

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """(batch, 1, samples), (batch, frames of PyanNet) -> (batch, 192)."""
        frames = self.campplus.frames(self.campplus.fbank(waveforms[:, 0]))  # (batch, 512, frames)
        if weights is None:
            weights = torch.ones_like(frames[:, 0])
        weights = F.interpolate(weights[:, None], size=frames.shape[-1])  # (batch, 1, frames)
        total = weights.sum(-1).clamp(min=1e-6)
        mean = (frames * weights).sum(-1) / total
        variance = ((frames - mean[..., None]).square() * weights).sum(-1) / total
        return self.campplus.embed(mean, variance.clamp(min=1e-6).sqrt())


def make_pipeline(device: str) -> SpeakerDiarization:
    """The pipeline, ready."""
    pipeline = SpeakerDiarization(
        segmentation=FeatureEncoder().segmentation,
        embedding=MaskedCAMPPlus().eval(),
        plda=PLDA.__new__(PLDA),  # asked for, and read by VBx only
        clustering="AgglomerativeClustering",
        segmentation_batch_size=BATCH_SIZE,
        embedding_batch_size=BATCH_SIZE,
    )
    return pipeline.instantiate(PARAMS).to(torch.device(device))
