"""How a model learns to write turns, whatever conversations it learns them from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pyannote.audio.core.task import Task
from pyannote.audio.torchmetrics import (
    DiarizationErrorRate,
    FalseAlarmRate,
    MissedDetectionRate,
    SpeakerConfusionRate,
)
from torch import Tensor
from torchmetrics import Metric

from ..decoding import decode
from ..models.pix2seq import Memory
from .batches import Batch, Drawn
from .objective import (
    Objective,
    Targets,
    activity_loss,
    activity_of,
    corrupt,
    make_targets,
    token_loss,
)


class WritingTask(Task):
    """Losses of what should be written, and validation of what is.

    Attributes
    ----------
    objective : Objective
        Weights of the losses, which subclasses set.
    """

    objective: Objective

    def make_batch(self, drawn: Drawn, stage: str) -> Batch:
        """Windows of what a data loader of this task has drawn."""
        raise NotImplementedError

    def setup_validation_metric(self):
        super().setup_validation_metric()
        # Beside the tokens: what the auxiliary head says, and "one speaker wherever somebody
        # speaks". A model below that last one may not diarize at all (DESIGN.md, section 6).
        self.model.head_metric = DiarizationErrorRate().to(self.model.device)
        self.model.oracle_activity_metric = DiarizationErrorRate().to(self.model.device)

    def _losses(self, batch: Batch, stage: str) -> tuple[dict[str, Tensor], Memory, Targets]:
        """Losses of a batch, what was heard and what should have been written."""
        model, v, objective = self.model, self.model.vocabulary, self.objective
        num_frames = model.bins_per_position * batch.features.num_positions
        # Made first, on the CPU, while a GPU is still busy with what came before.
        targets = make_targets(v, batch.turns, batch.prompted, num_frames, model.device)
        memory = model.prefill(batch.features, batch.prompt_positions)
        num_bins = memory.bin_keys.shape[1]
        written = targets.tokens[:, :-1]
        if stage == "train":
            written = corrupt(v, written, targets.given[:, :-1], objective, num_bins)
        losses = {
            "activity": activity_loss(memory.activity, targets.activity),
            "tokens": token_loss(v, model.logits(written, memory), targets, objective, num_bins),
        }
        total = losses["tokens"] + objective.activity_weight * losses["activity"]
        return {"loss": total, **losses}, memory, targets

    def training_step(self, drawn: Drawn, batch_idx: int) -> Tensor | None:
        # Dropout and noise are those of the batch, also after a run was killed and goes on.
        seed = np.random.SeedSequence([3, *drawn.cuts[0].seed]).generate_state(1)
        torch.manual_seed(int(seed[0]))
        with torch.autocast(self.model.device.type, enabled=False):
            batch = self.make_batch(drawn, "train")
        losses, *_ = self._losses(batch, "train")
        if not torch.isfinite(losses["loss"]):
            return None  # as pyannote.audio does: one bad batch must not end a long run
        for name, value in losses.items():
            self.model.log(
                f"loss/train/{name}" if name != "loss" else "loss/train",
                value.detach(),
                on_step=True,
                on_epoch=False,
                prog_bar=name == "loss",
                batch_size=len(batch.turns),
            )
        return losses["loss"]

    def validation_step(self, drawn: Drawn, batch_idx: int) -> None:
        """Decode, and compare with the reference frame by frame (a frame is a time bin)."""
        model, v = self.model, self.model.vocabulary
        with torch.autocast(self.model.device.type, enabled=False):
            batch = self.make_batch(drawn, "val")
        losses, memory, targets = self._losses(batch, "val")
        head = memory.activity.float().sigmoid().transpose(1, 2)  # (batch, speakers, frames)
        target = targets.activity.float().transpose(1, 2)
        rows = decode(model, memory).tokens.tolist()
        decoded = torch.stack(
            [activity_of(v.to_triplets(row), head.shape[-1], v.max_speakers) for row in rows]
        )
        decoded = decoded.to(model.device).float().transpose(1, 2)
        anybody = torch.zeros_like(target)
        anybody[:, 0] = target.amax(1)

        model.validation_metric(decoded, target)
        model.head_metric(head, target)
        model.oracle_activity_metric(anybody, target)
        size = len(batch.turns)
        model.log_dict(model.validation_metric, on_epoch=True, prog_bar=True, batch_size=size)
        for name, value in (
            ("loss/val", losses["loss"]),
            ("DiarizationErrorRate/activity_head", model.head_metric),
            ("DiarizationErrorRate/oracle_activity", model.oracle_activity_metric),
        ):
            model.log(name, value, on_epoch=True, batch_size=size, sync_dist=True)

    def default_metric(self) -> Sequence[Metric]:
        """Diarization error rate and its parts."""
        return [
            DiarizationErrorRate(),
            FalseAlarmRate(),
            MissedDetectionRate(),
            SpeakerConfusionRate(),
        ]
