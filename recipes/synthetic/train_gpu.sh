#!/usr/bin/env bash
# A larger model and larger batches, on a GPU, for as long as there is time: it simulates and encodes
# conversations as it learns, and never hears one twice. Interrupted, it goes on where it was.
#
#   bash recipes/synthetic/train_gpu.sh DATA RUN [KEY=VALUE …]     # DATA: see database.yml
#
#   MINUTES=480          of training; the learning rate comes to its end when the time does
#   WORKERS=14           processes that draw conversations; the GPU renders and encodes them
#   INIT=FILE            begin with the model of this checkpoint
#   SIZE="model.dim=512 model.num_heads=8"    another size, where there is no INIT
#   PYTHON=python3
#
# KEY=VALUE come last: trainer.devices=8 trainer.strategy=ddp, task.batch_size=256, task.features=….
set -euo pipefail
data=${1:?folder of voices, noise, scripts and development sets, see database.yml}
run=${2:?folder of the run}
shift 2
minutes=${MINUTES:-480}
workers=${WORKERS:-$(($(nproc) > 4 ? $(nproc) - 2 : 1))}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# One thread in each process: workers are many, and the one that trains has a GPU.
export PYANNOTE_METRICS_ENABLED=0 OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True} # lengths vary

model=(model=Pix2SeqDiarizer model.dim=384 model.num_layers=12 model.num_heads=6 ${SIZE:-})
if [[ -n "${INIT:-}" ]]; then
    model=(model=Pretrained model.checkpoint="$INIT")
fi
"${PYTHON:-python3}" -m pyannote_drz.cli.train \
    registry="[$data/database.yml,$here/development.yml]" \
    protocol=Voices.SpeakerDiarization.Voices task.real=X.SpeakerDiarization.Development \
    task=SyntheticPix2SeqDiarization \
    task.scripts="$data/ami/only_words/rttms/train" task.fitted_ratio=0.2 \
    task.noise="$data/noise/manifest.csv" \
    task.min_duration=1 task.batch_size=128 task.prompt_ratio=0.3 \
    task.num_workers="$workers" task.chunks_per_epoch=64000 task.validation_conversations=32 \
    optimizer=MuonAdamW optimizer.hidden=[blocks.] optimizer.lr=1e-3 \
    lr_ratios='{audio_factors: 20, token_factors: 20, evidence_factors: 20, voice_score.scale: 20, voice_score.bias: 20}' \
    scheduler.warmup_steps=300 scheduler.final_ratio=0.01 ema=0.999 \
    trainer.accelerator=gpu trainer.precision=bf16-mixed trainer.gradient_clip_val=1 \
    trainer.num_sanity_val_steps=0 trainer.max_steps=-1 \
    trainer.max_time="$(printf '%02d:%02d:%02d:00' $((minutes / 1440)) $((minutes / 60 % 24)) $((minutes % 60)))" \
    last_every_minutes=2 hydra.run.dir="$run" resume=auto "${model[@]}" "$@"
echo "package it: python recipes/synthetic/package.py $run/best.ckpt FOLDER"
