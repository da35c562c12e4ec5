"""Can it learn at all? A tiny model learns eight conversations by heart."""

import numpy as np
import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from pyannote_drz.decoding import decode
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.simulation import RandomTurns, SimulationConfig, Simulator
from pyannote_drz.tasks.objective import Objective, activity_loss, make_targets, token_loss

DURATION_S, LONGEST_S = 5.0, 6.0  # of the conversations, of what the model can read
NUM_SPEAKERS = 4
MAX_STEPS, EVERY = 600, 25
GOAL = 0.05  # DER


def eight_conversations(bank):
    turns = RandomTurns(max_speakers=3, silence_max=1.0, interrupt_max=0.5, turn_s=(0.6, 3.0))
    simulator = Simulator(bank, turns, SimulationConfig.clean())
    rng = np.random.default_rng(7)
    drawn = [simulator.draw(rng, DURATION_S, with_prompts=False) for _ in range(8)]
    return simulator.render(drawn, "cpu")


def tiny_model() -> Pix2SeqDiarizer:
    model = Pix2SeqDiarizer(
        num_mels=40, dim=64, num_layers=3, num_heads=2, num_halvings=3, voice_dim=32, dropout=0.0
    )
    model.specifications = Specifications(
        problem=Problem.MULTI_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=LONGEST_S,
        classes=list("ABCDEFGH"[:NUM_SPEAKERS]),
        permutation_invariant=True,
    )
    model.build()
    return model


def error_rate(model: Pix2SeqDiarizer, batch) -> float:
    """DER of what is decoded, against the turns as they were drawn; no collar."""
    model.eval()
    with torch.inference_mode():
        written = decode(model, model.listen(batch.waveforms)).tokens.tolist()
    model.train()
    metric = DiarizationErrorRate()
    for row, turns in zip(written, batch.turns):
        reference = Annotation()
        for track, turn in enumerate(turns):
            reference[Segment(turn.start_s, turn.end_s), track] = turn.speaker
        metric(reference, model.vocabulary.decode(row), uem=Timeline([Segment(0, DURATION_S)]))
    return abs(metric)


def test_eight_conversations_by_heart(bank):
    torch.manual_seed(1)
    batch, model = eight_conversations(bank), tiny_model()
    numbers = {len({turn.speaker for turn in turns}) for turns in batch.turns}
    assert max(numbers) > 1, "nobody to tell apart"
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    objective, vocabulary = Objective(), model.vocabulary
    num_frames = model.num_frames(batch.waveforms.shape[1])
    targets = make_targets(vocabulary, batch.turns, batch.prompted, batch.voices, num_frames)

    rates = [error_rate(model, batch)]
    for step in range(1, MAX_STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, step / 20)
        memory = model.listen(batch.waveforms)
        logits = model.write(targets.tokens[:, :-1], memory)
        num_bins = memory.bin_keys.shape[1]
        loss = token_loss(vocabulary, logits, targets, objective, num_bins)
        loss = loss + objective.activity_weight * activity_loss(memory.activity, targets.activity)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % EVERY == 0:
            rates.append(error_rate(model, batch))
            if rates[-1] < GOAL:
                break
    assert rates[0] > 0.5, "untrained, and yet it knows"
    assert rates[-1] < GOAL, [round(rate, 3) for rate in rates]
