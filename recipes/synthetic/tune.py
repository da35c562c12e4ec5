"""Tune the hyper-parameters of a pipeline on several development protocols, each weighing the same.

    python recipes/synthetic/tune.py PIPELINE PROTOCOL … --registry database.yml --trials 100

pyannote.pipeline's optimizer searches, as in `pyannote-audio optimize`, which takes one protocol
and asks the model anew in every trial. Here every chunk is written once and remembered, as
thresholds decide only on what becomes of what was written: a trial costs clustering and scoring.
With two passes the prompts depend on the thresholds, so only chunks whose prompts are the same are
remembered. `num_passes`, and `newcomer_bias`, which decides what is written, are therefore not
searched but set.
"""

from __future__ import annotations

import hashlib
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from pyannote.core import Annotation, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.pipeline.optimizer import Optimizer

from pyannote_drz.cli.protocols import load_database
from pyannote_drz.evaluation.evaluate import hardware, protocol_files
from pyannote_drz.io.atomic import atomic_write
from pyannote_drz.io.audio import Audio
from pyannote_drz.pipelines.chunks import ChunkRequest, ChunkResult
from pyannote_drz.pipelines.packaging import load_pretrained
from pyannote_drz.pipelines.pix2seq import Pix2SeqDiarization


class Remembered:
    """Writes each chunk once.

    Parameters
    ----------
    decode : callable
        `Pix2SeqDiarization.decode`.
    """

    def __init__(self, decode: Callable[[list[ChunkRequest]], list[ChunkResult]]):
        self.decode = decode
        self.known: dict[bytes, ChunkResult] = {}

    def __call__(self, requests: list[ChunkRequest]) -> list[ChunkResult]:
        keys = [self.key(request) for request in requests]
        missing = {key: r for key, r in zip(keys, requests) if key not in self.known}
        if missing:
            self.known.update(zip(missing, self.decode(list(missing.values()))))
        return [self.known[key] for key in keys]

    @staticmethod
    def key(request: ChunkRequest) -> bytes:
        """Fingerprint of all that the answer depends on."""
        key = hashlib.blake2b(repr((request.max_speakers, request.prompts.spans)).encode())
        for features in (request.features, request.prompts.features):
            for tensor in features:
                key.update(tensor.contiguous().cpu().numpy())
        return key.digest()


class MeanOfProtocols:
    """Mean of the diarization error rates of several protocols: no collar, overlap scored.

    Pooled, sixty simulated files would leave six real ones no say.

    Parameters
    ----------
    protocols : dict
        URI -> name of its protocol.
    """

    def __init__(self, protocols: dict[str, str]):
        self.protocols = protocols
        self.of = {name: DiarizationErrorRate() for name in dict.fromkeys(protocols.values())}

    def __call__(self, reference: Annotation, hypothesis: Annotation, uem: Timeline) -> float:
        return self.of[self.protocols[reference.uri]](reference, hypothesis, uem=uem)

    def __abs__(self) -> float:
        return float(np.mean([abs(metric) for metric in self.of.values()]))

    def confidence_interval(self, alpha: float) -> tuple[float, tuple[float, float]]:
        """The mean alone: what the optimizer asks for and, for the average case, does not use."""
        return abs(self), (abs(self), abs(self))


def load_files(protocols: list[str], subset: str) -> tuple[list[dict], dict[str, str]]:
    """Files with their audio in memory, and the protocol of each URI.

    Raises
    ------
    ValueError
        If a protocol is unknown or has no speech, or a URI is in two of them.
    """
    files, of = [], {}
    audio = Audio(mono="downmix")
    for name in protocols:
        some = protocol_files(name, subset)
        if not any(file["annotation"].crop(file["annotated"]) for file in some):
            raise ValueError(f"protocol {name} has no speech: it has no error rate to minimise.")
        for file in some:
            if file["uri"] in of:
                raise ValueError(f"file {file['uri']!r} is in two protocols.")
            of[file["uri"]] = name
            waveform, sample_rate = audio(file)
            files.append(
                {
                    "uri": file["uri"], "waveform": waveform, "sample_rate": sample_rate,
                    "annotation": file["annotation"], "annotated": file["annotated"],
                }
            )  # fmt: skip
    return files, of


def measure(pipeline: Pix2SeqDiarization, files: list[dict], of: dict) -> dict[str, float]:
    """Diarization error rate of every protocol, and their mean, in percent."""
    metric = MeanOfProtocols(of)
    for file, (_, output) in zip(files, pipeline(files)):
        metric(file["annotation"], output.speaker_diarization, uem=file["annotated"])
    rates = {name: 100 * abs(one) for name, one in metric.of.items()}
    return rates | {"mean": 100 * abs(metric)}


def main(
    folder: Annotated[Path, typer.Argument(metavar="PIPELINE", exists=True, file_okay=False)],
    protocols: list[str],
    registry_yml: Annotated[Path, typer.Option("--registry", exists=True, dir_okay=False)] = Path(
        "database.yml"
    ),
    subset: Annotated[str, typer.Option(help="Never the one to be reported.")] = "development",
    trials: Annotated[int, typer.Option(min=1)] = 100,
    passes: Annotated[int | None, typer.Option(min=1, max=2, help="The folder's own else.")] = None,
    seed: int = 0,
    into: Annotated[
        Path | None, typer.Option(help="Configuration to write; PIPELINE/config.tuned.yaml else.")
    ] = None,
) -> None:
    """Search, print what was found, and write it as a configuration beside the one at hand."""
    load_database(registry_yml)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    pipeline = load_pretrained(folder)
    try:
        files, of = load_files(protocols, subset)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    print(f"system: {folder}\nhardware: {hardware('cpu')}\n{len(files)} files, {subset}")

    pipeline.decode = Remembered(pipeline.decode)
    began = time.perf_counter()
    before = pipeline.parameters(instantiated=True)
    passes = passes or int(before["num_passes"])
    rates = {"before": measure(pipeline, files, of)}
    wrote_s = time.perf_counter() - began

    pipeline.get_metric = types.MethodType(lambda self: MeanOfProtocols(of), pipeline)
    fixed = {"num_passes": passes, "newcomer_bias": before["newcomer_bias"]}
    pipeline.freeze(fixed)
    optimizer = Optimizer(pipeline, seed=seed, average_case=True)
    start = {name: value for name, value in before.items() if name not in fixed}
    began = time.perf_counter()
    found = optimizer.tune(files, n_iterations=trials, warm_start=start, show_progress=False)
    trial_s = (time.perf_counter() - began) / trials
    after = {**before, **found["params"], **fixed}
    pipeline.instantiate(after)
    rates["after"] = measure(pipeline, files, of)

    print(f"{trials} trials, seed {seed}: {wrote_s:.0f} s of writing, {trial_s:.1f} s a trial\n")
    print(f"| | {' | '.join(rates['before'])} | {' | '.join(before)} |")
    print("|---" + "|--:" * (len(rates["before"]) + len(before)) + "|")
    for name, values in (("before", before), ("after", after)):
        cells = [f"{rate:.1f}" for rate in rates[name].values()]
        cells += [f"{values[key]:.3g}" for key in before]
        print(f"| {name} | {' | '.join(cells)} |")
    into = into or folder / "config.tuned.yaml"
    config["params"] = {name: round(value, 4) for name, value in after.items()}
    config["optimization"] = {"protocols": protocols, "subset": subset, "trials": trials}
    with atomic_write(into) as part:
        part.write_text(yaml.safe_dump(config, sort_keys=False))
    print(f"\n{into} has what was found.")


if __name__ == "__main__":
    typer.run(main)
