"""Two forms of prompts, compared: ours, and the one of the seed idea (nanodrz).

    python recipes/long/prompt_forms.py PIPELINE [SEED_PIPELINE] --registry database.yml

    ours   [A] voice of A <sep>  [B] voice of B <sep>   chunk   <diarize>        A, B and others …
    seed   voice of A, 200 ms of silence, voice of B, 200 ms of silence, chunk, <diarize>, and
           `start end A start end B`, which is written for the model

Chunks of 10 s of development meetings, prompted with 3 s of each of their people, cut out of the
same meeting by its reference, at least 30 s away. No collar, overlap scored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from evaluate import Meeting, Registry, load, meetings
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.metrics.identification import IdentificationErrorRate
from torch import Tensor

from pyannote_drz.decoding import Cache, transcribe
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.pipelines.chunks import as_prompts

CHUNK_S, PROMPT_S, APART_S = 10.0, 3.0, 30.0
SILENCE_S = 0.2  # nanodrz, between prompts
RATE = 16000


def cut(meeting: Meeting, start_s: float, end_s: float) -> Tensor:
    return meeting.waveform[round(start_s * RATE) : round(end_s * RATE)]


def prompts_of(meeting: Meeting, chunk: Segment) -> dict[str, Tensor]:
    """The middle of the longest stretch of everybody alone, away from the chunk."""
    near = Timeline([Segment(chunk.start - APART_S, chunk.end + APART_S)])
    overlap, found = meeting.reference.get_overlap(), {}
    for label in meeting.reference.labels():
        alone = meeting.reference.label_timeline(label).extrude(overlap).extrude(near)
        if alone:
            best = max(alone, key=lambda segment: segment.duration)
            half = min(PROMPT_S, best.duration) / 2
            if half >= 0.5:
                found[label] = cut(meeting, best.middle - half, best.middle + half)
    return found


@torch.inference_mode()
def written_on(model: Pix2SeqDiarizer, waveform: Tensor, begun: list[int]) -> list[int]:
    """Tokens of one chunk, the first of which are given."""
    memory, vocabulary = model.listen(waveform[None]), model.vocabulary
    bins = torch.tensor(min(memory.bin_keys.shape[1], vocabulary.num_bins))
    grammar = vocabulary.grammar(1, num_bins=bins)
    cache, tokens = Cache(memory, 1 + vocabulary.max_tokens), torch.zeros(1, 0, dtype=torch.long)
    while not grammar.over:
        step = tokens.shape[1]
        logits = model.write(tokens, memory, cache, first=step)[:, -1]
        token = logits.masked_fill(~grammar.mask(), -torch.inf).argmax(-1)
        if step < len(begun):
            token = torch.tensor(begun[step : step + 1])
        grammar.advance(token)
        tokens = torch.cat([tokens, token[:, None]], 1)
    return tokens[0].tolist()


def turns_of(model: Pix2SeqDiarizer, tokens: list[int]) -> list[tuple[float, float, int]]:
    """(start_s, end_s, letter) of what was written."""
    bin_s = model.vocabulary.resolution
    return [(a * bin_s, b * bin_s, k) for a, b, k in model.vocabulary.to_triplets(tokens)]


def ours(model: Pix2SeqDiarizer, chunk: Tensor, voices: list[Tensor]):
    """(start_s, end_s, letter) of a chunk."""
    prompts = as_prompts([tuple(voices)]) if voices else None
    return turns_of(model, transcribe(model, chunk[None], prompts).tokens[0].tolist())


def none(model: Pix2SeqDiarizer, chunk: Tensor, voices: list[Tensor]):
    """(start_s, end_s, letter) of a chunk; letters are nobody's."""
    return [(a, b, len(voices) + k) for a, b, k in ours(model, chunk, [])]


def seed(model: Pix2SeqDiarizer, chunk: Tensor, voices: list[Tensor]):
    """(start_s, end_s, letter) of a chunk."""
    silence, parts, begun, at = torch.zeros(round(SILENCE_S * RATE)), [], [], 0
    bin_s = model.vocabulary.resolution
    for letter, voice in enumerate(voices):
        begun.append((round(at / RATE / bin_s), round((at + len(voice)) / RATE / bin_s), letter))
        parts += [voice, silence]
        at += len(voice) + len(silence)
    tokens = written_on(
        model, torch.cat([*parts, chunk]), model.vocabulary.from_triplets(begun)[:-1]
    )
    first_s = at / RATE
    turns = turns_of(model, tokens)
    return [(max(a - first_s, 0.0), b - first_s, k) for a, b, k in turns if b > first_s]


def main(
    folder: Path,
    seed_folder: Annotated[Path | None, typer.Argument(help="Weights for the seed form.")] = None,
    registry_yml: Registry = Path("database.yml"),
    protocol: str = "SimDev.SpeakerDiarization.meetings",
    every: Annotated[float, typer.Option(min=CHUNK_S, help="s; a chunk of so many.")] = 20.0,
) -> None:
    """DER (letters mapped) and identification error (letters are who was prompted)."""
    model = load(folder).model
    models = {none: model, ours: model, seed: load(seed_folder).model if seed_folder else model}
    metrics = {form: (DiarizationErrorRate(), IdentificationErrorRate()) for form in models}
    num_chunks = 0
    for meeting in meetings(protocol, registry_yml, 1, None):
        for start in torch.arange(0, len(meeting.waveform) / RATE - CHUNK_S, every).tolist():
            chunk = Segment(start, start + CHUNK_S)
            voices = prompts_of(meeting, chunk)
            reference = meeting.reference.crop(chunk)
            audio = cut(meeting, chunk.start, chunk.end)
            names = [*voices, *(f"new {k}" for k in range(2 * model.vocabulary.max_speakers))]
            num_chunks += 1
            for form, of_form in models.items():
                said = Annotation(uri=meeting.uri)
                answer = form(of_form, audio, list(voices.values()))
                for track, (first, last, letter) in enumerate(answer):
                    said[Segment(start + first, start + last), track] = names[letter]
                for metric in metrics[form]:
                    metric(reference, said, uem=Timeline([chunk]))
    print(f"{num_chunks} chunks of {CHUNK_S:g} s\n\n| form | DER % | identification error % |")
    print("|---|--:|--:|")
    for form, (diarization, identification) in metrics.items():
        print(
            f"| {form.__name__} | {100 * abs(diarization):.1f} | {100 * abs(identification):.1f} |"
        )


if __name__ == "__main__":
    typer.run(main)
