"""PyanNet of segmentation-3.0: the same as ONNX Runtime makes of the original."""

from itertools import permutations

import pytest
import torch
from pyannote.audio.utils.powerset import Powerset

from pyannote_drz.models.encoders.segmentation import (
    CLASSES,
    FIRST_CENTRE,
    NUM_LOCAL,
    STEP,
    activities,
    at_bins,
    local_speakers,
    log_probabilities_of,
    permuted,
)

SAMPLE_RATE = 16000


@pytest.mark.parametrize("start_s, seconds", [(0, 10), (5, 25), (12.3, 1)])
def test_equals_onnx(onnx_output, encoder, sample, start_s, seconds):
    waveform = sample[round(start_s * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)]
    expected = onnx_output("segmentation-3.0", waveform[None, None].numpy())
    with torch.inference_mode():
        log_probabilities = encoder.segmentation(waveform[None, None])
    torch.testing.assert_close(log_probabilities, torch.from_numpy(expected), atol=1e-3, rtol=1e-3)


def test_faster_is_the_same(encoder, sample):
    model, waveforms = encoder.segmentation, sample[: 28 * SAMPLE_RATE].unflatten(0, (4, -1))
    with torch.inference_mode():
        expected = model(waveforms[:, None])
        torch.testing.assert_close(log_probabilities_of(model, waveforms), expected)


def test_classes_are_pyannotes():
    mapping = Powerset(NUM_LOCAL, 2).mapping  # (classes, speakers)
    assert [tuple(row.nonzero()[:, 0].tolist()) for row in mapping] == list(CLASSES)
    torch.testing.assert_close(activities(torch.eye(7)), mapping)


def test_frames_are_where_they_are_said_to_be(encoder):
    model = encoder.segmentation
    frames = model.receptive_field
    assert model.receptive_field_center(0) == FIRST_CENTRE
    assert frames.step * SAMPLE_RATE == pytest.approx(STEP)


def test_bins_are_interpolated():
    """A ramp over time is a ramp over bins; before the first and after the last frame it stays."""
    centres = FIRST_CENTRE + STEP * torch.arange(100.0)
    bins = at_bins(centres[None, :, None], num_bins=90, bin_samples=320)[0, :, 0]
    middles = 320 * (torch.arange(90) + 0.5)
    expected = middles.clamp(FIRST_CENTRE, centres[-1].item())
    torch.testing.assert_close(bins, expected)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_hardly_any_frames(num_frames):
    frames = torch.rand(1, num_frames, 7)
    assert at_bins(frames, 5, 320).shape == (1, 5, 7)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_local_speakers_are_renamed(order):
    probabilities = torch.rand(4, 7).softmax(-1)
    renamed = permuted(probabilities, order)
    for k in range(3):
        torch.testing.assert_close(
            activities(renamed)[:, order[k]], activities(probabilities)[:, k]
        )
    torch.testing.assert_close(renamed[:, 0], probabilities[:, 0])  # nobody stays nobody
    back = tuple(order.index(k) for k in range(3))
    torch.testing.assert_close(permuted(renamed, back), probabilities)


def test_local_speakers_as_a_baseline():
    """0.8 s of a, 0.4 s of a and b, a gap of 0.4 s, which is closed, 0.4 s of a."""
    classes = torch.tensor([1] * 40 + [4] * 20 + [0] * 20 + [1] * 20 + [0] * 20)
    probabilities = torch.eye(7)[classes].view(-1, 4, 7)
    found = local_speakers(probabilities, 0.02)
    assert [tuple(segment) for segment in found.label_timeline(0)] == [(0.0, 2.0)]
    assert [tuple(segment) for segment in found.label_timeline(1)] == [
        (pytest.approx(0.8), pytest.approx(1.2))
    ]
    assert not local_speakers(torch.eye(7)[torch.zeros(40, dtype=int)].view(-1, 4, 7), 0.02)
