#!/usr/bin/env bash
# One call on the lent machine; all calls are alike, and do what there is to do.
#
#   bash recipes/synthetic/lent_gpu/call.sh SECONDS [KEY=VALUE …]
#
# Installs wheels and unpacks parts that were carried; tries everything once, as soon as there is a
# first part; trains, in the background, as soon as all parts are there, and goes on between calls;
# watches until SECONDS are over, and leaves weights, log and results under $OUT. Training minutes
# and the like are variables, see train_gpu.sh. KEY=VALUE count when training begins.
set -euo pipefail
SECONDS=0
until_s=${1:?seconds that this call may take}
shift
lent=${LENT:-/tmp/lent}
out=${OUT:?folder of what comes back}
tree=$PWD
export PYTHON=${PYTHON:-python3} LENT=$lent PYTHONPATH=$lent/code:$lent/site
export PYANNOTE_METRICS_ENABLED=0 PYANNOTE_DRZ_CACHE=$lent/cache
mkdir -p "$lent"/{data,runs,parts}

say() { echo "[$SECONDS s] $*" | tee -a "$lent/session.log"; }

if [[ -d .lent/wheels && ! -d $lent/site ]]; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
        --target "$lent/site.part" .lent/wheels/*.whl
    mv "$lent/site.part" "$lent/site"
    say "wheels installed"
fi
for part in .lent/part[0-9]*; do
    name=${part##*/}
    [[ -f $part/data.tgz && ! -f $lent/parts/$name ]] || continue
    tar -C "$lent/data" -xzf "$part/data.tgz"
    cp "$part/of" "$lent/parts/$name"
    say "$name unpacked"
done
num_parts=$(cat "$lent"/parts/* 2>/dev/null | sed -n 1p)
there=$(ls "$lent/parts" | wc -l)
running() { [[ -f $lent/pid ]] && kill -0 "$(cat "$lent/pid")" 2>/dev/null; }

if ! running; then
    rm -rf "$lent/code" && mkdir "$lent/code"
    cp -r pyannote_drz recipes "$lent/code/"
fi
if [[ ! -d $lent/site || -z $num_parts ]]; then
    say "nothing to train with yet: carry .lent/wheels and .lent/part1"
    exit 0
fi

# ---- a first try, on the voices that are there --------------------------------------------------
if [[ ! -f $lent/tried ]]; then
    rm -rf "$lent/try" && mkdir "$lent/try"
    cp -r "$lent/data" "$lent/try/data"
    (cd "$lent/try/data/voices" && while read -r uri; do
        [[ ! -f audio/$uri.opus ]] || echo "$uri"
    done <train.lst | sed -n "1,${TRY_VOICES:-300}p" >present.lst && mv present.lst train.lst)
    if (cd "$lent/code" && time SHORT_MINUTES=1 LONG_MINUTES=1 \
        bash recipes/synthetic/train_gpu.sh "$lent/try/data" "$lent/try/runs" \
        task.speeds=null task.chunks_per_epoch="${TRY_CHUNKS:-6400}" trainer.max_epochs=1 \
        logger=CSV "$@") >"$lent/try/log" 2>&1; then
        touch "$lent/tried"
    fi
    grep -v Warning "$lent/try/log" | tail -40
    cp "$lent/try/log" "$out/try.log"
    [[ -f $lent/tried ]] || { say "the first try failed: see try.log"; exit 1; }
    rm -rf "$lent/try"
fi
if ((there < num_parts)) || [[ -n ${HOLD:-} ]]; then
    say "$there of $num_parts parts are there; nothing is trained yet"
    exit 0
fi

# ---- training, which outlives this call ---------------------------------------------------------
if [[ -d .lent/checkpoint && ! -f $lent/start.ckpt && ! -d $lent/runs/short ]]; then
    STAGE=$("$PYTHON" recipes/synthetic/lent_gpu/shards.py merge .lent/checkpoint "$lent/start.ckpt")
    say "weights of stage $STAGE merged"
    export INIT=$lent/start.ckpt
    [[ $STAGE != long ]] || export STAGES=long
fi
if ! running && [[ ! -f $lent/done || $(cat "$lent/done") != 0 ]]; then
    # A session of its own: what a command leaves running is killed, but for such.
    setsid nohup bash "$lent/code/recipes/synthetic/lent_gpu/session.sh" "$@" \
        >>"$lent/train.log" 2>&1 </dev/null &
    echo $! >"$lent/pid"
    say "training began"
fi

# ---- what comes back ----------------------------------------------------------------------------
deliver() {
    local stage=short from
    [[ ! -f $lent/runs/long/last.ckpt ]] || stage=long
    from=$lent/runs/$stage/last.ckpt
    [[ ! -f $lent/done || ! -f $lent/runs/$stage/best.ckpt ]] || from=$lent/runs/$stage/best.ckpt
    if [[ -f $from && ( ! -f $lent/sent || $from -nt $lent/sent ) ]]; then
        touch -r "$from" "$lent/sent"
        OMP_NUM_THREADS=1 "$PYTHON" "$tree/recipes/synthetic/lent_gpu/shards.py" \
            split "$from" "$lent/shards" --stage "$stage" || return 0
    fi
    mkdir -p "$out/checkpoint"
    cp "$lent"/shards/weights.*.pt "$out/checkpoint/" 2>/dev/null || true
    cat "$lent/session.log" "$lent/train.log" >"$out/train.log"
    cp "$lent/scores.md" "$out/" 2>/dev/null || true
    tar -C "$lent/runs" -czf "$out/runs.tgz" --exclude='*.ckpt' . 2>/dev/null || true
}
while running && ((SECONDS < until_s - ${RESERVE_S:-25})); do
    sleep 5
    if ((SECONDS % 60 < 5)); then
        say "$(grep -E '^step|Best|come from' "$lent/train.log" | tail -1)"
        nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader 2>/dev/null || true
        deliver
    fi
done
deliver
grep -vE 'Warning|warn' "$lent/train.log" | tail -"${LINES_SHOWN:-25}"
[[ ! -f $lent/scores.md ]] || cat "$lent/scores.md"
running && say "training goes on: call again within 30 s" || say "training is over"
