#!/usr/bin/env bash
# The stages of train_cpu.sh with a larger model and larger batches, on a GPU, for as long as there
# is time. Interrupted, it goes on where it was, to the step.
#
#   bash recipes/synthetic/train_gpu.sh DATA RUNS [KEY=VALUE …]     # DATA: see database.yml
#
#   MINUTES=480          of training, a third of it on short chunks (or SHORT_MINUTES, LONG_MINUTES)
#   WORKERS=14           processes that draw conversations; the GPU renders them
#   INIT=FILE            begin with the model of this checkpoint
#   SIZE="model.dim=512 model.num_heads=8"    another size, where there is no INIT
#   STAGES="long"        only that, from INIT
#   PYTHON=python3
#
# KEY=VALUE go to both stages, at last: trainer.devices=8 trainer.strategy=ddp, task.batch_size=256.
# The learning rate follows the clock: it comes to its end when the time does.
set -euo pipefail
data=${1:?folder of voices, noise, scripts and development sets, see database.yml}
runs=${2:?folder of runs}
shift 2
minutes=${MINUTES:-480}
workers=${WORKERS:-$(($(nproc) > 4 ? $(nproc) - 2 : 1))}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# One thread in each process: workers are many, and the one that trains has a GPU.
export PYANNOTE_METRICS_ENABLED=0 OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True} # lengths vary

stage() {  # NAME MINUTES KEY=VALUE …
    local name=$1 time
    time=$(printf '%02d:%02d:%02d:00' $(($2 / 1440)) $(($2 / 60 % 24)) $(($2 % 60)))
    shift 2
    "${PYTHON:-python3}" -m pyannote_drz.cli.train \
        registry="[$data/database.yml,$here/development.yml]" \
        protocol=Voices.SpeakerDiarization.Voices task.real=X.SpeakerDiarization.Development \
        task=SyntheticPix2SeqDiarization task.speeds=[0.85,0.93,1.08,1.17] \
        task.scripts="$data/ami/only_words/rttms/train" task.scripts_ratio=0.6 \
        task.fitted_ratio=0.2 task.simulation='{empty_share: 0.08}' \
        task.noise="$data/noise/manifest.csv" \
        task.render=device task.num_workers="$workers" task.chunks_per_epoch=64000 \
        task.validation_conversations=32 \
        optimizer=MuonAdamW scheduler.warmup_steps=300 scheduler.final_ratio=0.01 \
        trainer.accelerator=gpu trainer.precision=bf16-mixed trainer.gradient_clip_val=1 \
        trainer.num_sanity_val_steps=0 trainer.max_steps=-1 trainer.max_time="$time" ema=0.999 \
        last_every_minutes=2 hydra.run.dir="$runs/$name" resume=auto "$@"
}

stages=${STAGES:-short long}
model=(model=Pix2SeqDiarizer model.dim=384 model.num_layers=12 model.num_heads=6 model.dropout=0.0
    ${SIZE:-})
if [[ -n "${INIT:-}" ]]; then
    model=(model=Pretrained model.checkpoint="$INIT")
fi
if [[ " $stages " == *" short "* ]]; then
    stage short "${SHORT_MINUTES:-$((minutes / 3))}" \
        task.duration=12 task.min_duration=4 task.batch_size=256 task.prompt_ratio=0.25 \
        task.objective='{contrast_weight: 0.3, voice_weight: 0.3}' \
        optimizer.lr=1e-3 seed=1 "${model[@]}" "$@"
    model=(model=Pretrained model.checkpoint="$runs/short/best.ckpt")
fi
if [[ " $stages " == *" long "* ]]; then
    stage long "${LONG_MINUTES:-$((minutes - minutes / 3))}" \
        task.duration=30 task.min_duration=8 task.batch_size=128 task.prompt_ratio=0.5 \
        task.halves_ratio=0.4 \
        task.objective='{contrast_weight: 0.5, voice_weight: 0.5}' \
        optimizer.lr=7e-4 seed=31 "${model[@]}" "$@"
    echo "package it: python recipes/synthetic/package.py $runs/long/best.ckpt FOLDER --context 2"
fi
