r"""Clusterings of the same local speakers, compared: ours, pyannote.audio's, spectral, VBx.

    python recipes/long/clusterings.py PIPELINE PROTOCOL … --registry database.yml \
        --tune PROTOCOL --voices Voices.SpeakerDiarization.Voices

Every file is encoded and written once; then its local speakers are clustered in each way, and all
that follows is the same. Thresholds are chosen on the files of `--tune`. No collar, overlap scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple
from unittest.mock import patch

import numpy as np
import typer
from pyannote.audio.pipelines.clustering import AgglomerativeClustering
from pyannote.audio.utils.vbx import cluster_vbx
from pyannote.core import Annotation, Timeline
from scipy.linalg import eigh
from scipy.optimize import linear_sum_assignment
from torch import Tensor, zeros

from pyannote_drz.cli.protocols import get_protocol, load_database
from pyannote_drz.evaluation.evaluate import hardware, protocol_files
from pyannote_drz.evaluation.scores import score, summarize
from pyannote_drz.io.audio import Audio
from pyannote_drz.models.encoders import FeatureEncoder, Features
from pyannote_drz.pipelines import offline
from pyannote_drz.pipelines.agglomerative import agglomerate
from pyannote_drz.pipelines.batches import no_hook, run
from pyannote_drz.pipelines.chunks import ChunkResult
from pyannote_drz.pipelines.clustering import cluster
from pyannote_drz.pipelines.embeddings import embed, unit
from pyannote_drz.pipelines.output import annotate
from pyannote_drz.pipelines.packaging import load_pretrained
from pyannote_drz.pipelines.pix2seq import Pix2SeqDiarization
from pyannote_drz.pipelines.spectral import spectral
from pyannote_drz.pipelines.stitching import Turn

FEWEST_OF_GRAPH = 10  # local speakers
# s; of which a voice's utterances are, for the PLDA, and of whom there are at least two.
UTTERANCE_S = 3.0
TRAINING_SPEAKERS = 400
PLDA_DIM = 128  # as pyannote.audio's VBxClustering
FA, FB = 0.07, 0.8  # as community-1's configuration


class Written(NamedTuple):
    """A file, whose chunks are written."""

    uri: str
    reference: Annotation
    uem: Timeline
    features: Features
    waveform: Tensor
    results: list[ChunkResult]


# (embeddings, chunks, threshold, fewest, most speakers) -> labels, as `clustering.cluster`
Clustering = Callable[[np.ndarray, np.ndarray, float, int, float], np.ndarray]


def constrained(embeddings: np.ndarray, chunks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Local speakers of one chunk are of different clusters, as those of pyannote.audio are."""
    sums = np.stack([unit(embeddings[labels == k, :-1]).mean(0) for k in range(labels.max() + 1)])
    alike = unit(embeddings[:, :-1]) @ unit(sums).T
    again = alike.argmax(1)
    for chunk in np.unique(chunks):
        rows = np.flatnonzero(chunks == chunk)
        taken, column = linear_sum_assignment(-alike[rows])
        again[rows[taken]] = column
    return np.unique(again, return_inverse=True)[1]


def pyannotes(size: int) -> Clustering:
    """pyannote.audio's agglomerative clustering by centroids, with clusters of at least `size`."""

    def labels_of(embeddings, chunks, threshold, fewest, most):
        clustering = AgglomerativeClustering(metric="cosine").instantiate(
            {"threshold": threshold, "method": "centroid", "min_cluster_size": size}
        )
        units = unit(embeddings[:, :-1].astype(np.float64))
        labels = clustering.cluster(units, fewest, min(most, len(units)), None).astype(int)
        return constrained(embeddings, chunks, labels)

    return labels_of


def by_graph(embeddings, chunks, threshold, fewest, most):
    """The graph alone, whose share of neighbours and number of speakers nobody has to choose."""
    if len(embeddings) < FEWEST_OF_GRAPH:
        return agglomerate(embeddings, chunks, threshold, fewest, most)
    return spectral(embeddings, fewest, most)


def vbx(plda: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Clustering:
    """VBx of pyannote.audio, whose threshold is that of the clusters which it begins with."""
    mean, transform, psi = plda

    def labels_of(embeddings, chunks, threshold, fewest, most):
        units = unit(embeddings[:, :-1].astype(np.float64))
        first = pyannotes(1)(embeddings, np.arange(len(units)), threshold, 1, np.inf)
        if first.max() == 0:
            return first
        gamma, prior = cluster_vbx(first, (units - mean) @ transform, psi, FA, FB)
        labels = gamma[:, prior > 1e-7].argmax(1)
        return constrained(embeddings, chunks, np.unique(labels, return_inverse=True)[1])

    return labels_of


def fit_plda(protocol: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, transform and between-class variances, by unit embeddings of training voices."""
    encoder, audio, of_speaker = FeatureEncoder(), Audio(16000, mono="downmix"), {}
    for file in get_protocol(protocol).train():
        turns = [
            (segment, label)
            for segment, _, label in file["annotation"].itertracks(yield_label=True)
            if segment.duration >= UTTERANCE_S
        ]
        for segment, label in turns[:8]:
            known = of_speaker.setdefault(label, [])
            if len(known) < 4 and (known or len(of_speaker) <= 2 * TRAINING_SPEAKERS):
                samples = audio(file)[0][0]
                part = samples[int(segment.start * 16000) :][: int(UTTERANCE_S * 16000)]
                heard = encoder.encode_file(part)
                known.append(embed([Turn(0.0, UTTERANCE_S, 0, 1.0)], heard)[0, :-1])
    groups = [unit(np.stack(some)) for some in of_speaker.values() if len(some) > 1]
    typer.echo(f"PLDA of {len(groups)} speakers, {sum(map(len, groups))} utterances")
    means = np.stack([group.mean(0) for group in groups])
    mean = means.mean(0)
    rest = np.concatenate([group - group.mean(0) for group in groups])
    within = rest.T @ rest / (len(rest) - len(groups)) + 1e-5 * np.eye(rest.shape[1])
    psi, transform = eigh((means - mean).T @ (means - mean) / len(means), within)
    best = np.argsort(-psi)[:PLDA_DIM]
    return mean, transform[:, best], psi[best]


def written(pipeline: Pix2SeqDiarization, protocol: str) -> Iterator[Written]:
    """Development files of a protocol, with the model's answer to each of their chunks."""
    settings, audio = pipeline.settings, Audio(16000, mono="downmix")
    for file in protocol_files(protocol, "development"):
        waveform = audio(file)[0][0]
        features = pipeline.encode(waveform)
        job = offline.diarize(features, waveform, settings, 1, np.inf, no_hook)

        def only_chunks(job=job):
            return (yield next(job))

        (results,) = run([(only_chunks(), no_hook)], pipeline.decode, pipeline.batch_size)
        silent = zeros(1).expand(len(waveform))  # prompts are cut out of it, and nobody asks
        yield Written(file["uri"], file["annotation"], file["annotated"], features, silent, results)


def rates(
    files: list[Written], clustering: Clustering, threshold: float, settings: offline.Settings
) -> tuple[float, float, float]:
    """Error and confusion, in % of all speech, and % of files with the right number of speakers."""
    scores = []
    for file in files:
        with patch.object(
            offline, "cluster", lambda e, c, _, low, high: clustering(e, c, threshold, low, high)
        ):
            job = offline.diarize(file.features, file.waveform, settings, 1, np.inf, no_hook)
            next(job)
            try:
                job.send(file.results)
            except StopIteration as stop:
                turns = stop.value.turns
        told = annotate(turns, {turn.speaker: str(turn.speaker) for turn in turns}, file.uri)
        scores.append(score(file.reference, told, file.uem, file.uri))
    summary = summarize(scores)
    return summary["der"], summary["confusion"], summary["right_speaker_count"]


def main(
    folder: Path,
    protocols: list[str],
    tune: Annotated[list[str], typer.Option(help="Protocols whose files choose thresholds.")],
    voices: Annotated[str, typer.Option(help="Training voices, for the PLDA.")],
    registry_yml: Annotated[list[Path], typer.Option("--registry", exists=True, dir_okay=False)],
) -> None:
    for path in registry_yml:
        load_database(path)
    pipeline = load_pretrained(folder)
    settings = pipeline.settings
    candidates: dict[str, tuple[Clustering, list[float]]] = {
        "ours": (cluster, [0.25, 0.3, 0.35, 0.4, 0.45]),
        "ours, agglomerative alone": (agglomerate, [0.25, 0.3, 0.35, 0.4, 0.45]),
        "ours, spectral alone": (by_graph, [0.35]),
        "AHC, clusters of 1": (pyannotes(1), [0.7, 0.8, 0.9, 1.0, 1.1]),
        "AHC, clusters of 3": (pyannotes(3), [0.7, 0.8, 0.9, 1.0, 1.1]),
        "VBx": (vbx(fit_plda(voices)), [0.5, 0.6, 0.7, 0.8, 0.9]),
    }
    tuned = [file for name in tune for file in written(pipeline, name)]
    files = {name: list(written(pipeline, name)) for name in protocols}
    print(f"{folder}, {hardware('cpu')}; DER / confusion % (speakers right %)\n")
    print(" | ".join(["| clustering", "threshold", *tune, *protocols]) + " |")
    print("|---" * (2 + 1 + len(protocols)) + "|")
    for name, (clustering, thresholds) in candidates.items():
        tried = {t: rates(tuned, clustering, t, settings) for t in thresholds}
        best = min(thresholds, key=lambda t: tried[t][0])
        rows = [tried[best], *(rates(some, clustering, best, settings) for some in files.values())]
        told = [f"{der:.1f} / {confusion:.1f} ({right:.0f})" for der, confusion, right in rows]
        print(" | ".join([f"| {name}", f"{best:g}", *told]) + " |", flush=True)


if __name__ == "__main__":
    typer.run(main)
