#!/usr/bin/env bash
# On the lent machine, in a process session of its own: train, then score. Started by call.sh.
set -euo pipefail
lent=${LENT:-/tmp/lent}
cd "$lent/code"
rm -f "$lent/done"
trap 'echo $? >"$lent/done"' EXIT
python=${PYTHON:-python3}

bash recipes/synthetic/train_gpu.sh "$lent/data" "$lent/runs" "$@"

best=$lent/runs/long/best.ckpt
[[ -f $best ]] || exit 0
# A few files of each set: file by file, a GPU is hardly faster than a CPU, where shards are scored
# in full at home. What goes wrong here does not matter: the weights are safe.
"$python" recipes/synthetic/package.py "$best" "$lent/pipeline" &&
    timeout "${SCORE_S:-90}" "$python" -m pyannote_drz.evaluate "$lent/pipeline" \
        --registry "$lent/data/database.yml" --limit "${SCORE_FILES:-6}" \
        --device "${DEVICE:-cuda}" >"$lent/scores.md" || true
