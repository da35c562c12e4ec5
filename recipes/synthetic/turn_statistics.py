"""Compare simulated windows with real ones, as a table.

python recipes/synthetic/turn_statistics.py ../shared/data/ami/only_words/rttms/train
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pyannote_drz.simulation import FittedTurns, RandomTurns, ReplayedTurns, read_rttm
from pyannote_drz.simulation.turn_taking.statistics import compare, measure_turns, windows_of
from pyannote_drz.simulation.turn_taking.transitions import KINDS

ROWS = {
    "silence_share": ("silence, % of time", 100),
    "overlap_share": ("two or more speak, % of time", 100),
    "crowd_share": ("three or more speak, % of time", 100),
    "num_speakers": ("speakers in a window", 1),
    "num_segments": ("segments in a window", 1),
    "segment_s": ("segment, s", 1),
    "pause_s": ("pause of a speaker, s", 1),
    "gap_s": ("gap between speakers, s", 1),
    "overlap_s": ("overlap, s", 1),
}


def main(
    references: Annotated[Path, typer.Argument(help="RTTM file, or folder of them")],
    model: Annotated[Path | None, typer.Option(help="fitted model; AMI's without")] = None,
    windows: Annotated[int, typer.Option(help="to simulate with each source")] = 2000,
    duration: Annotated[float, typer.Option(help="of a window, in seconds")] = 30.0,
    seed: int = 0,
):
    paths = sorted(references.glob("**/*.rttm")) if references.is_dir() else [references]
    try:
        sources = {
            "replay": ReplayedTurns.from_rttm(paths),
            "fitted": FittedTurns.load(model) if model else FittedTurns.ami(),
            "random": RandomTurns(),
        }
        real = measure_turns(windows_of(read_rttm(paths), duration), duration)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"{references}: {error}") from None

    simulated, milliseconds = {}, {}
    for name, source in sources.items():
        rng, begin = np.random.default_rng(seed), time.process_time()
        drawn = [source.sample(rng, duration) for _ in range(windows)]
        milliseconds[name] = 1000 * (time.process_time() - begin) / windows
        simulated[name] = measure_turns(drawn, duration)
    compared = {name: compare(real, found) for name, found in simulated.items()}

    print(f"| mean, difference, KS distance | real | {' | '.join(sources)} |")
    print("|---" * (2 + len(sources)) + "|")
    for k, (label, factor) in enumerate(ROWS.values()):
        cells = [
            f"{factor * c[k].mean:.2f} {100 * c[k].relative:+.0f} % {c[k].ks:.2f}"
            for c in compared.values()
        ]
        print(f"| {label} | {factor * compared['replay'][k].reference_mean:.2f} | "
              f"{' | '.join(cells)} |")  # fmt: skip
    for number in range(5):
        shares = [100 * np.mean(s.num_speakers == number) for s in (real, *simulated.values())]
        cells = " | ".join(f"{share:.1f}" for share in shares)
        print(f"| windows of {number} speakers, % | {cells} |")
    for kind in KINDS:
        shares = [100 * s.kind_shares()[kind] for s in (real, *simulated.values())]
        print(f"| {kind}, % of transitions | {' | '.join(f'{s:.1f}' for s in shares)} |")
    print(f"| windows | {len(real.num_speakers)} |" + f" {windows} |" * len(sources))
    cells = " | ".join(f"{ms:.2f}" for ms in milliseconds.values())
    print(f"| ms of CPU time a window | | {cells} |")


if __name__ == "__main__":
    typer.run(main)
