"""Where does a pipeline err? Its errors on development files, taken apart.

    python recipes/synthetic/study.py PIPELINE [PROTOCOL ...] --registry database.yml --plot x.png
    python recipes/synthetic/study.py --rttm ANSWERS …         # somebody else's errors, likewise

Every row is a share of the same files: of whole files (by set, number of speakers, overlap), of
their time (by how many speak at once, by position) or of their turns (by length). Errors are those
of pyannote.metrics, no collar, overlap scored, speakers mapped once for each file. Beside them
stands what one speaker wherever the reference has speech would get there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from matplotlib.figure import Figure
from pyannote.core import Annotation, Segment, Timeline
from rich.console import Console
from rich.progress import track

from pyannote_drz.cli.comparison import KINDS, Comparison, Error, compare
from pyannote_drz.evaluation.evaluate import hardware, open_files
from pyannote_drz.evaluation.scores import COLLAR, Score, baselines, bootstrap, score

OVERLAP_EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 1.0)  # AMI's 30-s windows: 11 % of the time on average
TURN_EDGES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
POSITION_S = 5.0
COLOURS = ("#0072b2", "#e69f00", "#d55e00")  # Okabe and Ito: miss, false alarm, confusion


class Studied(NamedTuple):
    """A file and what is wrong with two answers for it."""

    protocol: str
    ours: Comparison
    oracle: Comparison  # of one speaker wherever anybody speaks
    score: Score
    extent_s: float  # end of what is annotated


class Share(NamedTuple):
    """Some of a file: seconds of reference speech, our errors there, those of the baseline."""

    speech: float
    errors: np.ndarray  # (3,) seconds, as KINDS
    oracle: float


# Rows of a table: name -> shares, one for each file that has any.
Rows = dict[str, list[Share]]


def study(protocol: str, reference: Annotation, answer: Annotation, uem: Timeline) -> Studied:
    """Compare an answer and the baseline with the reference, inside what is annotated."""
    extent_s = uem.extent().end
    one = baselines(reference, uem)["one speaker, oracle activity"]
    inside = reference.crop(uem)
    return Studied(
        protocol,
        compare(inside, answer.crop(uem), extent_s),
        compare(inside, one, extent_s),
        score(reference, answer, uem),
        extent_s,
    )


def _seconds(errors: Iterable[Error], within: list[Segment], who: str | None) -> np.ndarray:
    """(3,) seconds of errors by kind, in some of the time, of one speaker of the reference."""
    total = np.zeros(len(KINDS))
    for error in errors:
        if who is None or error.reference == who:
            shared = sum((error.segment & some).duration for some in within)
            total[KINDS.index(error.kind)] += shared
    return total


def share(file: Studied, within: list[Segment], who: str | None = None) -> Share:
    """What a file has in some of its time: all of it, or of one speaker of the reference."""
    reference = file.ours.reference
    speech = sum(
        (turn & some).duration
        for turn, _, label in reference.itertracks(yield_label=True)
        if who is None or label == who
        for some in within
    )
    oracle = _seconds(file.oracle.errors, within, who).sum()
    return Share(speech, _seconds(file.ours.errors, within, who), float(oracle))


def whole(file: Studied) -> Share:
    """All of a file."""
    return share(file, [Segment(0, file.extent_s)])


def overlap_share(reference: Annotation) -> float:
    """Share of the time with speech in which two or more speak."""
    activity = reference.get_timeline().support().duration()
    return reference.get_overlap().duration() / activity if activity else 0.0


def bins(edges: tuple[float, ...], unit: str) -> list[str]:
    """Names of the bins between edges."""
    names = [f"{low:g} to {high:g}{unit}" for low, high in zip(edges, edges[1:])]
    return [name.replace(f" to inf{unit}", f"{unit} and more") for name in names]


def bin_of(value: float, edges: tuple[float, ...]) -> int:
    """Number of the bin; the last edge belongs to the last bin."""
    return min(int(np.searchsorted(edges, value, side="right")), len(edges) - 1) - 1


def by_set(files: list[Studied]) -> Rows:
    rows: Rows = {}
    for file in files:
        rows.setdefault(file.protocol, []).append(whole(file))
    return rows


def by_speakers(files: list[Studied]) -> Rows:
    counts = sorted({file.score.reference_speakers for file in files})
    return {
        f"{count} speakers": [whole(f) for f in files if f.score.reference_speakers == count]
        for count in counts
    }


def by_overlap(files: list[Studied]) -> Rows:
    names = bins(tuple(100 * edge for edge in OVERLAP_EDGES), " %")
    rows: Rows = {name: [] for name in names}
    for file in files:
        rows[names[bin_of(overlap_share(file.ours.reference), OVERLAP_EDGES)]].append(whole(file))
    return rows


def at_once(reference: Annotation, extent_s: float) -> dict[str, list[Segment]]:
    """When nobody, one, two, three or more people speak."""
    names = ("nobody speaks", "one speaks", "two speak", "three or more speak")
    parts: dict[str, list[Segment]] = {name: [] for name in names}
    parts[names[0]] = list(reference.get_timeline().gaps(Segment(0, extent_s)))
    for piece in reference.get_timeline().segmentation():
        people = len(reference.crop(piece).labels())
        if people:
            parts[names[min(people, 3)]].append(piece)
    return parts


def by_concurrency(files: list[Studied]) -> Rows:
    rows: Rows = {}
    for file in files:
        for name, within in at_once(file.ours.reference, file.extent_s).items():
            rows.setdefault(name, []).append(share(file, within))
    return rows


def by_position(files: list[Studied]) -> Rows:
    rows: Rows = {}
    longest_s = max(file.extent_s for file in files)
    for start in np.arange(0, min(longest_s, 60), POSITION_S):  # further on it is no chunk
        within = [Segment(start, start + POSITION_S)]
        name = f"{start:g} to {start + POSITION_S:g} s"
        rows[name] = [share(file, within) for file in files if file.extent_s > start]
    return rows


def by_turn_length(files: list[Studied]) -> Rows:
    names = bins(TURN_EDGES_S, " s")
    rows: Rows = {name: [] for name in names}
    for file in files:
        reference = file.ours.reference
        found: dict[str, list[Share]] = {}
        for label in reference.labels():
            for turn in reference.label_timeline(label).support():
                name = names[bin_of(turn.duration, TURN_EDGES_S)]
                found.setdefault(name, []).append(share(file, [turn], label))
        for name, shares in found.items():
            parts = [sum(part) for part in zip(*shares)]  # a file is what is drawn anew
            rows[name].append(Share(*parts))
    return rows


TABLES = {
    "set": by_set,
    "speakers in the file": by_speakers,
    "overlap in the file, of the time with speech": by_overlap,
    "at once": by_concurrency,
    "position": by_position,
    "length of the reference's turn (no false alarm is in one)": by_turn_length,
}


def table(title: str, rows: Rows, all_speech: float) -> str:
    """A Markdown table: rates by speech of the row, and what the row adds to the whole's DER."""
    lines = [
        f"| {title} | files | speech, s | error % | 95 % interval | miss | false alarm | confusion "
        "| points of the DER | one speaker, oracle activity |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, shares in rows.items():
        if not shares:
            continue
        speech = sum(s.speech for s in shares)
        errors = sum(s.errors for s in shares)
        rate = [100 * x / speech if speech else np.nan for x in (errors.sum(), *errors)]
        low, high = bootstrap([s.errors.sum() for s in shares], [s.speech for s in shares])
        oracle = 100 * sum(s.oracle for s in shares) / speech if speech else np.nan
        cells = [*rate[:1], low, high, *rate[1:], 100 * errors.sum() / all_speech, oracle]
        total, low, high, *rest = ("–" if np.isnan(x) else f"{x:.1f}" for x in cells)
        lines.append(
            f"| {name} | {len(shares)} | {speech:.0f} | {total} | {low} to {high} | "
            + " | ".join(rest)
            + " |"
        )
    return "\n".join(lines)


def collars(files: list[Studied]) -> str:
    """How much of the error lies at boundaries."""
    lines = [f"| set | DER % | DER %, ±{COLLAR} s collar |", "|---|--:|--:|"]
    for protocol in dict.fromkeys(file.protocol for file in files):
        scores = [file.score for file in files if file.protocol == protocol]
        pairs = [("error", "speech"), ("collar_error", "collar_speech")]
        sums = [[sum(getattr(s, name) for s in scores) for name in pair] for pair in pairs]
        cells = [f"{100 * error / speech:.1f}" if speech else "–" for error, speech in sums]
        lines.append(f"| {protocol} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def draw(tables: dict[str, Rows], path: Path) -> None:
    """One panel a table: bars of miss, false alarm and confusion."""
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    panels = figure.subplots(2, 3)
    for (title, rows), panel in zip(tables.items(), panels.flat):
        rows = {n: s for n, s in rows.items() if sum(x.speech for x in s) > 0}
        speech = [sum(s.speech for s in shares) for shares in rows.values()]
        bottom = np.zeros(len(rows))
        for kind, (name, colour) in enumerate(zip(KINDS, COLOURS)):
            height = [sum(s.errors[kind] for s in shares) for shares in rows.values()]
            height = 100 * np.array(height) / speech
            panel.bar(range(len(rows)), height, 0.7, bottom, color=colour, label=name)
            bottom += height
        oracle = [sum(s.oracle for s in shares) for shares in rows.values()]
        panel.plot(100 * np.array(oracle) / speech, "k_", ms=12, label="one speaker, oracle")
        short = [name.split(".")[-1] if title == "set" else name for name in rows]
        panel.set_xticks(range(len(rows)), short, rotation=30, ha="right", fontsize=8)
        panel.set_title(title, fontsize=9)
        panel.set_ylabel("% of its speech", fontsize=8)
    panels.flat[0].legend(fontsize=7)
    figure.savefig(path, dpi=90)


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[PIPELINE] [PROTOCOL]...")] = None,
    registry_yml: Annotated[Path, typer.Option("--registry", exists=True, dir_okay=False)] = Path(
        "database.yml"
    ),
    subset: Annotated[str, typer.Option(help="development, or another subset.")] = "development",
    rttm: Annotated[Path | None, typer.Option(exists=True, help="RTTM file or folder.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first files.")] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG to write.")] = None,
) -> None:
    """Print the tables, and draw them."""
    system, diarize, of_protocol = open_files(names, registry_yml, subset, rttm, limit)
    files = [(protocol, file) for protocol, some in of_protocol.items() for file in some]
    studied = [
        study(protocol, file["annotation"], diarize(file), file["annotated"])
        for protocol, file in track(files, "files", console=Console(stderr=True))
    ]
    speech = sum(file.score.speech for file in studied)
    print(f"system: {system}\n" + ("" if rttm else f"hardware: {hardware('cpu')}\n"))
    print(f"{len(studied)} files, {subset}, {speech:.0f} s of speech; no collar, overlap scored\n")
    tables = {title: by(studied) for title, by in TABLES.items()}
    for title, rows in tables.items():
        print(table(title, rows, speech) + "\n")
    print(collars(studied))
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        draw(tables, plot)


if __name__ == "__main__":
    typer.run(main)
