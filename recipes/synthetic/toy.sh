#!/usr/bin/env bash
# A toy: a small model on short conversations of one or two speakers without rooms or noise, a few
# minutes on a CPU. Its validation error falls from one line to the next.
#
#   bash recipes/synthetic/toy.sh DATA [RUN]
set -euo pipefail
data=${1:?folder of voices, see database.yml}
run=${2:-runs/toy}
export PYANNOTE_METRICS_ENABLED=0
pyannote-audio-train registry="$data/database.yml" protocol=Voices.SpeakerDiarization.Voices \
    task=SyntheticPix2SeqDiarization model=Pix2SeqDiarizer \
    task.duration=6 task.batch_size=16 task.num_workers=1 task.prompt_ratio=0 \
    task.random_turns='{max_speakers: 2}' task.other_ratio=0 task.chunks_per_epoch=640 \
    task.validation_conversations=32 \
    task.simulation='{similar_share: 0, bleed_share: 0, rooms: {room_share: 0}, noise: {recorded_share: 0}}' \
    model.dim=64 model.num_layers=3 model.dropout=0 \
    optimizer.lr=2e-3 scheduler.warmup_steps=20 ema=0.95 \
    lr_ratios='{audio_factors: 20, token_factors: 20, evidence_factors: 20}' \
    trainer.accelerator=cpu trainer.precision=bf16-mixed trainer.max_steps=160 \
    trainer.num_sanity_val_steps=0 hydra.run.dir="$run"
