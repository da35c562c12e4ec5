#!/usr/bin/env bash
# What travels to the lent machine, made here: .lent/wheels, and the data in .lent/part1, part2, …
#
#   bash recipes/synthetic/lent_gpu/pack.sh DATA [MIB]     # MIB: of data in a part (default 39)
#
# A call carries 64 MiB: 13.4 of working tree, 7 of wheels, one part. Git does not see .lent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
data=${1:?folder of voices, noise, scripts and development sets}
mib=${2:-39}
here=recipes/synthetic/lent_gpu
mkdir -p .git/info
grep -qxF /.lent/ .git/info/exclude 2>/dev/null || echo /.lent/ >>.git/info/exclude
rm -rf .lent
mkdir -p .lent/wheels

# antlr4, of hydra-core, is on PyPI as source only.
platforms=(any)
for glibc in 2_17 2_24 2_27 2_28 2_31 2_34 2_35; do platforms+=("manylinux_${glibc}_x86_64"); done
platforms+=(manylinux2014_x86_64 manylinux1_x86_64)
grep -v '^#' "$here/wheels.txt" | while read -r name; do
    grep -m1 "^$name==[^;]*$" constraints.txt ||
        grep "^$name==" constraints.txt | grep ">= '3.11'" | grep -o '^[^ ;]*' ||
        grep -m1 -o "^$name==[^ ;]*" constraints.txt
done >.lent/wheels.txt
grep -v '^antlr4' .lent/wheels.txt >.lent/binary.txt
"${PYTHON:-python3}" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp "${platforms[@]/#/--platform=}" -d .lent/wheels -r .lent/binary.txt
"${PYTHON:-python3}" -m pip wheel -q --no-deps -w .lent/wheels \
    "$(grep '^antlr4' .lent/wheels.txt)"
rm .lent/wheels.txt .lent/binary.txt

# Development voices, noise and sets come first: with the first part alone something can be tried.
repository=$PWD
cd "$data"
{
    ls database.yml voices/*.* # lists and tables
    ls -d ami/only_words/rttms/train/* noise/* ami_excerpts/*.* ami_excerpts/*/*
    ls -d simulated_dev/*.* simulated_dev/chunks*/*
    sed 's|.*|voices/audio/&.opus|' voices/development.lst
    sed 's|.*|voices/audio/&.opus|' voices/train.lst | sort -R --random-source=database.yml
} | xargs -d '\n' stat -c '%s %n' | awk -v limit=$((mib * 2**20)) -v to="$repository/.lent" '
    { name = substr($0, length($1) + 2) }
    { size = 64 + (name ~ /[.](rttm|uem|lst|csv)$/ ? $1 / 3 : $1) } # zipped
    size + sum > limit || !part { part += 1; sum = 0 }
    { sum += size; print name > (to "/part" part ".txt") }'
cd "$repository"
num_parts=$(ls .lent/part*.txt | wc -l)
for k in $(seq "$num_parts"); do
    mkdir ".lent/part$k"
    tar -C "$data" --mtime=@0 --owner=0 --group=0 -czf ".lent/part$k/data.tgz" -T ".lent/part$k.txt"
    echo "$num_parts" >".lent/part$k/of"
done
rm .lent/part*.txt
du -sm .lent/*
