"""How hard is a set to hear? PyanNet and CAM++, which know real audio, tell.

    python recipes/synthetic/judge.py ../shared/data AMIExcerpts.SpeakerDiarization.only_words …
    python recipes/synthetic/judge.py ../shared/data --simulate recipes/synthetic/features.yaml

For each protocol (development subset) and each simulator configuration, by number of speakers:

    miss, false alarm, confusion   of PyanNet's own classes as speakers, in windows of 30 s, gaps
                                   under 0.5 s closed; % of speech, no collar
    same, different                quartiles of cosines of two stretches (1.5 s or more alone) of
                                   one person and of two people of a window

Simulations that are harder to hear than real recordings teach to distrust what is heard.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from make_features import make_task
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import FileFinder, registry
from pyannote.metrics.diarization import DiarizationErrorRate

from pyannote_drz.io.audio import Audio
from pyannote_drz.models.encoders import FeatureEncoder, Features
from pyannote_drz.models.encoders.features import BIN_SAMPLES, POSITION_SAMPLES, SAMPLE_RATE
from pyannote_drz.models.encoders.segmentation import local_speakers
from pyannote_drz.simulation import Turn
from pyannote_drz.tasks.windows import alone

WINDOW_S = 30.0
POSITION_S = POSITION_SAMPLES / SAMPLE_RATE
LONG_ENOUGH_S = 1.5  # s; of stretches whose cosines are compared


class Tally:
    """Errors and cosines of windows with the same number of speakers."""

    def __init__(self):
        self.error = DiarizationErrorRate()
        self.same: list[float] = []
        self.different: list[float] = []
        self.windows = 0

    def add(self, features: Features, reference: Annotation, annotated: Timeline) -> None:
        self.windows += 1
        heard = local_speakers(features.probabilities, BIN_SAMPLES / SAMPLE_RATE)
        self.error(reference, heard, uem=annotated)
        labels = reference.labels()
        turns = [
            Turn(segment.start, segment.end, labels.index(label))
            for segment, _, label in reference.itertracks(yield_label=True)
        ]
        stretches = []
        for speaker in range(len(labels)):
            for start_s, end_s in alone(turns, speaker):
                first, stop = int(np.ceil(start_s / POSITION_S)), int(end_s / POSITION_S)
                if end_s - start_s >= LONG_ENOUGH_S:
                    part = features.part(first, stop)
                    stretches.append((speaker, F.normalize(part.short.float().mean(0), dim=0)))
        for (a, x), (b, y) in combinations(stretches, 2):
            (self.same if a == b else self.different).append(float(x @ y))

    def __str__(self) -> str:
        total = max(self.error["total"], 1e-9)
        parts = ("missed detection", "false alarm", "confusion")
        rates = " / ".join(f"{100 * self.error[part] / total:5.1f}" for part in parts)
        quartiles = (
            " ".join(f"{q:5.2f}" for q in np.quantile(values, [0.25, 0.5, 0.75])) if values else "-"
            for values in (self.same, self.different)
        )
        return f"{self.windows:5d} windows | {rates} | " + " | ".join(quartiles)


def recordings(name: str, encoder: FeatureEncoder) -> Iterator[tuple]:
    """Windows of a protocol's development files: features, reference, what is annotated."""
    protocol = registry.get_protocol(name, preprocessors={"audio": FileFinder(registry)})
    audio = Audio(sample_rate=SAMPLE_RATE, mono="downmix")
    for file in protocol.development():
        waveform, _ = audio(file)
        window = round(WINDOW_S * SAMPLE_RATE)
        for start in range(0, max(waveform.shape[1] - SAMPLE_RATE, 1), window):
            focus = Segment(start / SAMPLE_RATE, start / SAMPLE_RATE + WINDOW_S)
            features = encoder(waveform[:, start : start + window])
            yield (
                Features(*(tensor[0] for tensor in features)),
                _moved(file["annotation"].crop(focus), focus.start),
                Timeline([Segment(s.start - focus.start, s.end - focus.start)
                          for s in file["annotated"].crop(focus)]),
            )  # fmt: skip


def _moved(annotation: Annotation, by_s: float) -> Annotation:
    moved = Annotation()
    for k, (segment, _, label) in enumerate(annotation.itertracks(yield_label=True)):
        moved[Segment(segment.start - by_s, segment.end - by_s), k] = label
    return moved


def simulated(settings: Path, data: Path, encoder: FeatureEncoder, windows: int) -> Iterator[tuple]:
    """Simulated conversations of 30 s."""
    task = make_task(yaml.safe_load(settings.read_text()), data)
    for first in range(0, windows, 8):
        drawn = [
            task.simulator.draw(np.random.default_rng([5, first, row]), WINDOW_S, False)
            for row in range(8)
        ]
        batch = task.simulator.render(drawn, torch.device("cpu"))
        features = encoder(batch.waveforms)
        for row, turns in enumerate(batch.turns):
            reference = Annotation()
            for k, turn in enumerate(turns):
                reference[Segment(turn.start_s, min(turn.end_s, WINDOW_S)), k] = turn.speaker
            heard = Features(*(tensor[row] for tensor in features))
            yield heard, reference, Timeline([Segment(0, WINDOW_S)])


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of database.yml, scripts and noise")
    parser.add_argument("protocols", nargs="*")
    parser.add_argument("--simulate", type=Path, nargs="*", default=[], help="see features.yaml")
    parser.add_argument("--windows", type=int, default=160, help="simulated, of each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry.load_database(arguments.data / "database.yml")
    encoder = FeatureEncoder()
    sets = {name: recordings(name, encoder) for name in arguments.protocols}
    for path in arguments.simulate:
        sets[str(path)] = simulated(path, arguments.data, encoder, arguments.windows)
    print("set, speakers | windows | miss / false alarm / confusion | same | different")
    for name, windows in sets.items():
        tallies: dict[str, Tally] = {}
        for features, reference, annotated in windows:
            number = len(reference.labels())
            kind = str(number) if number < 4 else "4 and more"
            tallies.setdefault(kind, Tally()).add(features, reference, annotated)
            if number > 1:
                tallies.setdefault("2 and more", Tally()).add(features, reference, annotated)
        for kind, tally in sorted(tallies.items()):
            print(f"{name}, {kind} | {tally}", flush=True)


if __name__ == "__main__":
    main()
