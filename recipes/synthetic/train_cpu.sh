#!/usr/bin/env bash
# From nothing on two CPU cores: features of simulated conversations are made once, then learnt from.
# Interrupted, both go on where they were.
#
#   bash recipes/synthetic/train_cpu.sh DATA RUN [KEY=VALUE …]   # DATA: see database.yml
#
#   HOURS=60         of conversations, in RUN/features; 10 kB a second (2 GB), see features.yaml
#   MINUTES=480      of learning; the learning rate comes to its end when the time does
#   PROCESSES=2      as many as there are cores, one thread each, in both halves
set -euo pipefail
data=${1:?folder of voices, noise and scripts, see database.yml}
run=${2:-runs/synthetic-cpu}
shift $(($# > 1 ? 2 : 1))
hours=${HOURS:-60} minutes=${MINUTES:-480} processes=${PROCESSES:-2}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
export PYANNOTE_METRICS_ENABLED=0 OMP_NUM_THREADS=1
# glibc's own memory, not given back after every step: page faults took a third of the time.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=16000000000 MALLOC_TOP_PAD_=268435456 MALLOC_ARENA_MAX=2

# Noise that the voices' references take for speech: pauses would be taught to be none.
[ -f "$run/voices/database.yml" ] || "$python" "$here/trim_voices.py" "$data/database.yml" \
    Voices.SpeakerDiarization.Voices "$run/voices"

workers=()
for ((worker = 0; worker < processes; worker++)); do
    "$python" "$here/make_features.py" "$here/features.yaml" "$data" "$run/features" \
        --database "$run/voices/database.yml" --hours "$hours" --worker "$worker" --workers "$processes" &
    workers+=($!)
done
for worker in "${workers[@]}"; do wait "$worker"; done

# 16 windows a step, whoever learns from them. Factors of cosines and of evidence are few and far
# from where they end: they learn twenty times as fast.
"$python" -m pyannote_drz.cli.train registry="$run/voices/database.yml" \
    protocol=Voices.SpeakerDiarization.Voices \
    task=SyntheticPix2SeqDiarization task.features="$run/features" \
    task.scripts="$data/ami/only_words/rttms/train" task.fitted_ratio=0.2 \
    task.noise="$data/noise/manifest.csv" task.validation_conversations=40 \
    task.min_duration=1 task.batch_size=$((16 / processes)) task.prompt_ratio=0.2 \
    task.num_workers=0 task.chunks_per_epoch=16000 \
    model=Pix2SeqDiarizer model.dim=192 model.dropout=0.05 \
    optimizer=MuonAdamW optimizer.hidden=[blocks.] optimizer.lr=1.2e-3 \
    lr_ratios='{audio_factors: 20, token_factors: 20, evidence_factors: 20, voice_score.scale: 20, voice_score.bias: 20}' \
    scheduler.warmup_steps=100 scheduler.final_ratio=0.01 ema=0.998 \
    trainer.accelerator=cpu trainer.devices="$processes" trainer.strategy=ddp \
    trainer.precision=bf16-mixed trainer.num_sanity_val_steps=0 trainer.log_every_n_steps=20 \
    trainer.max_steps=-1 \
    trainer.max_time="$(printf '%02d:%02d:%02d:00' $((minutes / 1440)) $((minutes / 60 % 24)) $((minutes % 60)))" \
    last_every_minutes=5 hydra.run.dir="$run" resume=auto "$@"

echo "package it: python recipes/synthetic/package.py $run/last.ckpt FOLDER"
