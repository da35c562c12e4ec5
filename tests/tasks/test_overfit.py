"""Can it learn at all? A tiny model learns eight conversations by heart."""

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from pyannote_drz.decoding import decode
from pyannote_drz.models.encoders import Features
from pyannote_drz.models.encoders.segmentation import CLASSES
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.simulation import RandomTurns, Turn
from pyannote_drz.tasks.objective import Objective, activity_loss, make_targets, token_loss

DURATION_S, LONGEST_S = 5.0, 6.0  # of the conversations, of what the model can read
POSITIONS, BINS = 63, 4
MAX_STEPS, EVERY = 600, 25
GOAL = 0.05  # DER


def heard(turns: list[Turn], rng: np.random.Generator) -> Features:
    """What encoders would make of it: classes, not always sure, and noisy voices."""
    at_s = 0.02 * (np.arange(POSITIONS * BINS) + 0.5)
    order = rng.permutation(3)  # PyanNet's numbers mean nothing
    logits = rng.normal(0, 1, (len(at_s), len(CLASSES)))
    voices = rng.normal(0, 1, (3, 192))
    sound = 0.3 * rng.normal(0, 1, (POSITIONS, 192))
    for k, now in enumerate(at_s):
        who = tuple(sorted({order[t.speaker] for t in turns if t.start_s <= now < t.end_s}))[:2]
        logits[k, CLASSES.index(tuple(int(speaker) for speaker in who))] += 5
        for speaker in who:
            sound[k // BINS] += voices[speaker] / BINS
    probabilities = torch.tensor(logits).softmax(-1).view(POSITIONS, BINS, -1).float()
    embeddings = 14 * F.normalize(torch.tensor(sound), dim=-1).float()
    return Features(probabilities, embeddings, embeddings)


def error_rate(model: Pix2SeqDiarizer, features: Features, conversations: list) -> float:
    """DER of what is decoded, against the turns as they were drawn; no collar."""
    model.eval()
    with torch.inference_mode():
        written = decode(model, model.prefill(features)).tokens.tolist()
    model.train()
    metric = DiarizationErrorRate()
    for row, turns in zip(written, conversations):
        reference = Annotation()
        for track, turn in enumerate(turns):
            reference[Segment(turn.start_s, turn.end_s), track] = turn.speaker
        metric(reference, model.vocabulary.decode(row), uem=Timeline([Segment(0, DURATION_S)]))
    return abs(metric)


def test_eight_conversations_by_heart(make_model):
    rng = np.random.default_rng(7)
    source = RandomTurns(max_speakers=3, silence_max=1.0, interrupt_max=0.5, turn_s=(0.6, 3.0))
    conversations = [source.sample(rng, DURATION_S) for _ in range(8)]
    assert max(len({turn.speaker for turn in turns}) for turns in conversations) > 1
    features = Features.stack([heard(turns, rng) for turns in conversations])

    model = make_model(LONGEST_S, 4, seed=1, dim=64, dropout=0.0)
    for module in model.children():  # as it is before training
        if module is not model.encoder:
            module.apply(model._initialize)
    model.voice_score.start_from_cosines()
    quick = [model.audio_factors, model.token_factors, model.evidence_factors]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not q for q in quick)]
    optimizer = torch.optim.AdamW(
        [{"params": others, "lr": 2e-3}, {"params": quick, "lr": 2e-2}], weight_decay=0.0
    )
    objective, vocabulary = Objective(), model.vocabulary
    targets = make_targets(vocabulary, conversations, [[]] * 8, POSITIONS * BINS)

    rates = [error_rate(model, features, conversations)]
    for step in range(1, MAX_STEPS + 1):
        memory = model.prefill(features)
        logits = model.logits(targets.tokens[:, :-1], memory)
        num_bins = memory.bin_keys.shape[1]
        loss = token_loss(vocabulary, logits, targets, objective, num_bins)
        loss = loss + objective.activity_weight * activity_loss(memory.activity, targets.activity)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % EVERY == 0:
            rates.append(error_rate(model, features, conversations))
            if rates[-1] < GOAL:
                break
    assert rates[0] > 0.3, "untrained, and yet it knows"
    assert rates[-1] < GOAL, [round(rate, 3) for rate in rates]
