"""CAM++: the same as ONNX Runtime makes of the original."""

import pytest
import torch
import torch.nn.functional as F
from torchaudio.compliance import kaldi

from pyannote_drz.models.encoders.campplus import SAMPLE_RATE, Fbank


@pytest.fixture(scope="module")
def fbank() -> Fbank:
    return Fbank()


def kaldi_fbank(waveform: torch.Tensor) -> torch.Tensor:
    """What 3D-Speaker computes, (samples,) -> (1, frames, 80)."""
    log_mel = kaldi.fbank(
        waveform[None] * 32768, num_mel_bins=80, sample_frequency=SAMPLE_RATE, dither=0.0
    )
    return (log_mel - log_mel.mean(0))[None]


@pytest.mark.parametrize("start_s, seconds", [(0, 3), (6.7, 0.5), (10, 20)])
def test_equals_onnx(onnx_output, encoder, sample, start_s, seconds):
    waveform = sample[round(start_s * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)]
    expected = torch.from_numpy(onnx_output("campplus", kaldi_fbank(waveform).numpy()))
    with torch.inference_mode():
        embedding = encoder.campplus(waveform[None])
    # ONNX ends with a ReLU, which is not wanted where embeddings are compared.
    torch.testing.assert_close(embedding.relu(), expected, atol=1e-3, rtol=1e-3)
    assert (embedding < 0).float().mean() > 0.3


def test_fbank_is_kaldis(fbank, sample):
    waveform = sample[: 5 * SAMPLE_RATE]
    torch.testing.assert_close(fbank(waveform[None]), kaldi_fbank(waveform), atol=1e-3, rtol=1e-3)


def test_digital_silence_does_not_move_the_mean(fbank, sample):
    """It is put at the mean instead, wherever it is."""
    speech = sample[7 * SAMPLE_RATE : 9 * SAMPLE_RATE]
    alone = fbank(speech[None])[0]
    silence = torch.zeros(3 * SAMPLE_RATE)
    # Windows are 25 ms long: those on the border hear some speech, and count.
    heard = fbank(torch.cat([silence, speech, silence])[None])[0]
    first = 3 * SAMPLE_RATE // 160
    torch.testing.assert_close(heard[first : first + len(alone)], alone, atol=0.2, rtol=0)
    assert not heard[: first - 3].any() and not heard[first + len(alone) + 3 :].any()


def test_silence_alone(fbank, encoder):
    assert not fbank(torch.zeros(2, SAMPLE_RATE)).any()
    with torch.inference_mode():
        assert encoder.campplus(torch.zeros(2, SAMPLE_RATE)).isfinite().all()


def test_level_does_not_matter(encoder, sample):
    waveform = sample[7 * SAMPLE_RATE : 9 * SAMPLE_RATE]
    with torch.inference_mode():
        one, other = encoder.campplus(torch.stack([waveform, 0.1 * waveform]))
    assert F.cosine_similarity(one, other, dim=0) > 0.99


def test_it_knows_voices(encoder, sample):
    """Of the call, by its reference: two turns of one person are nearer than turns of two."""
    with torch.inference_mode():
        a, same, b, other = (
            encoder.campplus(sample[None, round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)])[0]
            for start, end in [(10.57, 14.4), (18.6, 21.4), (14.8, 17.9), (21.8, 28.4)]
        )
    cosine = F.cosine_similarity
    alike = min(cosine(a, same, dim=0), cosine(b, other, dim=0))
    assert alike > max(cosine(x, y, dim=0) for x in (a, same) for y in (b, other)) + 0.1
