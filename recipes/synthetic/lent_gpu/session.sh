#!/usr/bin/env bash
# On the lent machine, in a process session of its own: train, then score. Started by call.sh.
set -euo pipefail
lent=${LENT:-/tmp/lent}
cd "$lent/code"
rm -f "$lent/done"
trap 'echo $? >"$lent/done"' EXIT
python=${PYTHON:-python3}

bash recipes/synthetic/train_gpu.sh "$lent/data" "$lent/runs" "$@"

run=$lent/runs/diarize
[[ -d $run ]] || run=$lent/runs/voices
[[ $run == */diarize ]] || exit 0
"$python" recipes/synthetic/package.py "$run/best.ckpt" "$lent/pipeline"
# A few files of each set: file by file, a GPU is hardly faster than a CPU, where shards are scored
# in full at home.
timeout "${SCORE_S:-90}" "$python" -m pyannote_drz.evaluate "$lent/pipeline" \
    --registry "$lent/data/database.yml" --limit "${SCORE_FILES:-6}" \
    --device "${DEVICE:-cuda}" >"$lent/scores.md" 2>/dev/null || true
