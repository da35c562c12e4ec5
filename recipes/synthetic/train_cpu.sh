#!/usr/bin/env bash
# From nothing on a CPU, in two stages: an hour and two on one core of an EPYC 9005, and a third of a
# second one, which renders. Interrupted, it goes on where it was.
#
#   bash recipes/synthetic/train_cpu.sh DATA RUNS     # DATA: the folder described in database.yml
#
# Short chunks first, where few people speak, then long ones, some of them with prompts, some cut in
# two so that voices are learnt across chunks. The packaged weights took more detours: RUNS.md.
set -euo pipefail
data=${1:?folder of voices, noise and scripts, see database.yml}
runs=${2:-runs/synthetic-cpu}
export PYANNOTE_METRICS_ENABLED=0 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

stage() {  # NAME …
    local name=$1
    shift
    pyannote-audio-train registry="$data/database.yml" \
        protocol=Voices.SpeakerDiarization.Voices \
        task=SyntheticPix2SeqDiarization task.speeds=[0.85,0.93,1.08,1.17] \
        task.scripts="$data/ami/only_words/rttms/train" task.scripts_ratio=0.6 task.fitted_ratio=0.2 \
        task.noise="$data/noise/manifest.csv" task.simulation='{empty_share: 0.08}' \
        task.num_workers=1 task.chunks_per_epoch=8000 task.validation_conversations=40 \
        optimizer=MuonAdamW scheduler.warmup_steps=100 scheduler.final_ratio=0.01 ema=0.9995 \
        trainer.accelerator=cpu trainer.precision=bf16-mixed trainer.num_sanity_val_steps=0 \
        trainer.log_every_n_steps=20 last_every_minutes=5 \
        hydra.run.dir="$runs/$name" resume=auto "$@"
}

stage short model=Pix2SeqDiarizer model.num_layers=6 model.dropout=0.0 \
    task.duration=12 task.min_duration=4 task.batch_size=16 task.prompt_ratio=0.25 \
    task.objective='{contrast_weight: 0.3, voice_weight: 0.3}' \
    optimizer.lr=8e-4 trainer.max_steps=4000 seed=1
stage long model=Pretrained model.checkpoint="$runs/short/best.ckpt" \
    task.duration=30 task.min_duration=8 task.batch_size=8 task.prompt_ratio=0.5 \
    task.halves_ratio=0.4 task.objective='{contrast_weight: 0.5, voice_weight: 0.5}' \
    optimizer.lr=7e-4 trainer.max_time=00:02:05:00 seed=31

echo "package it: python recipes/synthetic/package.py $runs/long/last.ckpt FOLDER --context 2"
