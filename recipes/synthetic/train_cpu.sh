#!/usr/bin/env bash
# The packaged model, from nothing, on a CPU: two stages, one hour and a quarter on one core of an
# EPYC 9005 and a fifth of a second one, which renders. Interrupted, it goes on where it was.
#
#   bash recipes/synthetic/train_cpu.sh DATA RUNS     # DATA: the folder described in database.yml
#
# Every stage begins with the weights of the one before: short chunks hold few speakers and cost
# little, so the time pointer and speech activity are learnt there; long ones are what is needed.
set -euo pipefail
data=${1:?folder of voices, noise and scripts, see database.yml}
runs=${2:-runs/synthetic-cpu}
export PYANNOTE_METRICS_ENABLED=0 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

stage() {  # NAME DURATION MIN_DURATION BATCH_SIZE CHUNKS_PER_EPOCH STEPS …
    local name=$1 duration=$2 min_duration=$3 batch_size=$4 chunks=$5 steps=$6
    shift 6
    pyannote-audio-train registry="$data/database.yml" \
        protocol=Voices.SpeakerDiarization.Voices \
        task=SyntheticPix2SeqDiarization model=Pix2SeqDiarizer \
        task.scripts="$data/ami/only_words/rttms/train" task.scripts_ratio=0.7 \
        task.noise="$data/noise/manifest.csv" task.num_workers=1 \
        task.duration="$duration" task.min_duration="$min_duration" \
        task.batch_size="$batch_size" task.chunks_per_epoch="$chunks" \
        model.num_layers=6 model.dropout=0.0 \
        trainer.accelerator=cpu trainer.precision=bf16-mixed trainer.max_steps="$steps" \
        trainer.log_every_n_steps=20 last_every_minutes=5 \
        hydra.run.dir="$runs/$name" resume=auto "$@"
}

stage short 12 4 16 16000 4000 task.prompt_ratio=0.25 task.validation_conversations=64 \
    optimizer.lr=8e-4 scheduler.warmup_steps=300 scheduler.final_ratio=0.3 seed=1
stage long 30 10 8 4000 1000 task.prompt_ratio=0.3 task.validation_conversations=24 \
    optimizer.lr=5e-4 scheduler.warmup_steps=50 scheduler.final_ratio=0.01 seed=2 \
    ema=0.995 init="$runs/short/best.ckpt"

echo "package it: python recipes/synthetic/package.py $runs/long/best.ckpt FOLDER"
