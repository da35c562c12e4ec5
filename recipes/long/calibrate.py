"""Fit the probability that two embeddings are of one speaker: constants of pipelines/enrollment.py.

    python recipes/long/calibrate.py PROTOCOL … --registry database.yml

Pairs are of the same recording, which is harder than pairs of two: some turns of one speaker, by
the reference, and other turns of the same or of another, of 0.5 to 60 s heard alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from sklearn.linear_model import LogisticRegression

from pyannote_drz.cli.protocols import load_database
from pyannote_drz.evaluation.evaluate import protocol_files
from pyannote_drz.io.audio import Audio
from pyannote_drz.models.encoders import FeatureEncoder
from pyannote_drz.pipelines.embeddings import embed, unit
from pyannote_drz.pipelines.stitching import Turn, clip

DRAWS = 12  # of the turns of each file
ENROLLED_S, TESTED_S = (2, 30), (1, 60)  # s, wanted; uniform logarithms
SHORTEST_S = 0.5


def pairs(embeddings: np.ndarray, speakers: np.ndarray, rng: np.random.Generator):
    """(cosine, logarithm of seconds, 1) and whether it is the same speaker, of a draw."""
    known, tested = {}, {}
    for speaker in np.unique(speakers):
        rows = list(rng.permutation(np.flatnonzero(speakers == speaker)))
        for sums, (low, high) in ((known, ENROLLED_S), (tested, TESTED_S)):
            wanted, total = np.exp(rng.uniform(np.log(low), np.log(high))), np.zeros(193)
            while len(rows) > (sums is known) and total[-1] < wanted:
                total = total + embeddings[rows.pop()]
            if total[-1] > SHORTEST_S:
                sums[speaker] = total
    for i, a in known.items():
        for j, b in tested.items():
            cosine = unit(a[:-1]) @ unit(b[:-1])
            yield (cosine, np.log(min(a[-1], b[-1])), 1.0), i == j


def main(
    protocols: list[str],
    registry_yml: Annotated[Path, typer.Option("--registry", exists=True)] = Path("database.yml"),
) -> None:
    load_database(registry_yml)
    encoder, audio, rng = FeatureEncoder(), Audio(16000, mono="downmix"), np.random.default_rng(0)
    found = []
    for file in (file for name in protocols for file in protocol_files(name, "development")):
        waveform = audio(file)[0][0]
        labels = file["annotation"].labels()
        turns = sorted(
            Turn(segment.start, segment.end, labels.index(label), 1.0)
            for segment, _, label in file["annotation"].itertracks(yield_label=True)
        )
        turns = clip(turns, 0.0, len(waveform) / 16000)
        embeddings = embed(turns, encoder.encode_file(waveform))
        speakers = np.array([turn.speaker for turn in turns])
        for _ in range(DRAWS):
            found += pairs(embeddings, speakers, rng)
    inputs, same = np.array([x for x, _ in found]), np.array([y for _, y in found])
    weights = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum()) * len(same)
    fit = LogisticRegression(C=1e4, fit_intercept=False).fit(inputs, same, sample_weight=weights)
    print(f"{len(same)} pairs, {same.sum()} of one speaker: SAME = {fit.coef_[0].round(1)}")
    probabilities = fit.predict_proba(inputs)[:, 1]
    for accept in (0.3, 0.5, 0.7, 0.9):
        accepted = probabilities >= accept
        print(
            f"from {accept}: false acceptance {100 * accepted[~same].mean():.1f} %, "
            f"false rejection {100 * (~accepted[same]).mean():.1f} %"
        )


if __name__ == "__main__":
    typer.run(main)
