#!/usr/bin/env bash
# The packaged model, from nothing, on a CPU: two stages, an hour and a half on one core of an EPYC
# 9005 and a third of a second one, which renders. Interrupted, it goes on where it was.
#
#   bash recipes/synthetic/train_cpu.sh DATA RUNS     # DATA: the folder described in database.yml
#
# First only voices: who is who among the turns of short, at first clean conversations, by the lower
# layers alone. Then everything, from these weights, with prompts and longer chunks.
set -euo pipefail
data=${1:?folder of voices, noise and scripts, see database.yml}
runs=${2:-runs/synthetic-cpu}
export PYANNOTE_METRICS_ENABLED=0 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

stage() {  # NAME …
    local name=$1
    shift
    pyannote-audio-train registry="$data/database.yml" \
        protocol=Voices.SpeakerDiarization.Voices \
        task=SyntheticPix2SeqDiarization task.speeds=[0.9,1.1] \
        task.scripts="$data/ami/only_words/rttms/train" \
        task.noise="$data/noise/manifest.csv" task.num_workers=1 task.batch_size=8 \
        trainer.accelerator=cpu trainer.precision=bf16-mixed trainer.num_sanity_val_steps=0 \
        trainer.log_every_n_steps=20 last_every_minutes=5 \
        hydra.run.dir="$runs/$name" resume=auto "$@"
}

stage voices model=Pix2SeqDiarizer model.num_layers=6 model.dropout=0.0 \
    task.duration=15 task.min_duration=8 task.scripts_ratio=0.4 task.prompt_ratio=0 \
    task.random_turns='{min_speakers: 2, silence_max: 0.6, interrupt_max: 0, turn_s: [1, 4], backchannel_share: 0}' \
    task.objective='{token_weight: 0, contrast_weight: 1, voice_weight: 0.5}' \
    task.ramp_epochs=8 task.chunks_per_epoch=8000 task.validation_conversations=64 \
    optimizer.lr=7e-4 scheduler.warmup_steps=100 scheduler.final_ratio=0.05 \
    trainer.max_steps=15000 seed=1
stage diarize model=Pretrained model.checkpoint="$runs/voices/best.ckpt" \
    task.duration=30 task.min_duration=8 task.scripts_ratio=0.7 task.prompt_ratio=0.4 \
    task.simulation='{empty_share: 0.06}' \
    task.objective='{contrast_weight: 1, voice_weight: 0.2}' \
    task.chunks_per_epoch=4000 task.validation_conversations=32 \
    optimizer.lr=6e-4 scheduler.warmup_steps=150 scheduler.final_ratio=0.01 ema=0.998 \
    trainer.max_steps=3700 seed=11

echo "package it: python recipes/synthetic/package.py $runs/diarize/best.ckpt FOLDER"
