"""Features: one position every 80 ms, the same however a recording is cut into blocks."""

import copy

import pytest
import soundfile
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.models.encoders import FeatureEncoder, Features
from pyannote_drz.models.encoders.features import (
    BLOCK_S,
    CONTEXT,
    GROUP,
    POSITION_SAMPLES,
    SAMPLE_RATE,
    best_order,
    groups_of,
    windows_of,
)
from pyannote_drz.models.encoders.segmentation import activities

settings.register_profile("busy", deadline=None, max_examples=25)  # a busy machine is no failure
settings.load_profile("busy")


# ---- frozen -------------------------------------------------------------------------------------


def test_always_in_evaluation_mode():
    encoder = FeatureEncoder()
    parent = torch.nn.Sequential(encoder, torch.nn.Dropout())
    for mode in (True, False, True):
        parent.train(mode)
        assert not any(module.training for module in encoder.modules())
    encoder.train()
    assert not any(module.training for module in encoder.modules())


def test_nothing_is_learnt(encoder):
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(x.requires_grad for x in encoder(torch.randn(1, 3200)))


def test_checkpoints_do_not_hold_it(encoder):
    parent = torch.nn.ModuleDict({"linear": torch.nn.Linear(2, 2), "encoder": encoder})
    state = parent.state_dict()
    assert sorted(state) == ["linear.bias", "linear.weight"]
    assert encoder.state_dict() == {} == encoder.state_dict(prefix="encoder.")
    missing, unexpected = parent.load_state_dict(state)
    assert not missing and not unexpected
    assert sorted(state) == ["linear.bias", "linear.weight"]


@pytest.mark.parametrize("first", ["linear", "encoder"])
def test_what_else_is_missing_in_a_checkpoint_is_told(encoder, first):
    layers = {"linear": torch.nn.Linear(2, 2), "encoder": encoder}
    parent = torch.nn.ModuleDict({first: layers.pop(first), **layers})
    with pytest.raises(RuntimeError, match="linear.bias"):
        parent.load_state_dict({"linear.weight": torch.zeros(2, 2)})
    missing, _ = parent.load_state_dict({"linear.weight": torch.zeros(2, 2)}, strict=False)
    assert missing == ["linear.bias"]


def test_weights_stay_those_of_the_package(encoder):
    """Whatever a checkpoint says, and in copies, which averages of weights begin with."""
    other = copy.deepcopy(encoder)
    before = [parameter.clone() for parameter in other.parameters()]
    state = {"campplus.mean": torch.ones(192)}
    other.load_state_dict(state, strict=False)
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))
    assert torch.equal(other.campplus.mean, encoder.campplus.mean)


# ---- positions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1, 100, 1279, 1280, 1281, 16000, 40001])
def test_shapes(encoder, num_samples):
    features = encoder(torch.randn(2, num_samples))
    positions = -(-num_samples // POSITION_SAMPLES)
    assert features.num_positions == positions
    assert features.probabilities.shape == (2, positions, 4, 7)
    assert features.short.shape == features.long.shape == (2, positions, 192)
    assert all(tensor.isfinite().all() for tensor in features)
    torch.testing.assert_close(
        features.probabilities.sum(-1), torch.ones(2, positions, 4), atol=0.01, rtol=0
    )


def test_silence_is_nobody(encoder):
    features = encoder(torch.zeros(1, 2 * SAMPLE_RATE))
    assert features.probabilities[..., 0].min() > 0.8
    assert all(tensor.isfinite().all() for tensor in features)


def test_batch_equals_its_rows(encoder, sample):
    """Three rows: more than are encoded at once."""
    waveforms = sample[: 3 * 2 * SAMPLE_RATE].view(3, -1)
    together = encoder(waveforms)
    for row in range(3):
        for tensor, alone in zip(together, encoder(waveforms[row : row + 1]), strict=True):
            torch.testing.assert_close(tensor[row], alone[0], atol=1e-3, rtol=1e-3)


def test_autocast_does_not_reach_pyannet(encoder, sample):
    waveform = sample[None, 7 * SAMPLE_RATE : 9 * SAMPLE_RATE]
    expected = encoder(waveform)
    with torch.autocast("cpu", torch.bfloat16):
        actual = encoder(waveform)
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b)


def test_embeddings_are_those_of_their_window(encoder, sample):
    """Mean and deviation over 25 and 75 frames, centred 30 ms before the middle of a position."""
    waveform = sample[7 * SAMPLE_RATE : 13 * SAMPLE_RATE]
    features = encoder(waveform[None])
    padded = F.pad(waveform, (0, 400 + 3 * 320))
    with torch.inference_mode():
        frames = encoder.campplus.frames(encoder.campplus.fbank(padded[None]))[0]
        for position in (0, 30, 74):
            for found, width in ((features.short, 25), (features.long, 75)):
                centre = 4 * position
                window = frames[:, max(centre - width // 2, 0) : centre + width // 2 + 1]
                window = window[:, : 300 - max(centre - width // 2, 0)]
                expected = encoder.campplus.embed(window.mean(-1), window.std(-1, unbiased=False))
                cosine = F.cosine_similarity(found[0, position], expected, dim=0)
                assert cosine > 0.99  # convolutions may run in bf16


def test_silence_beside_speech_leaves_voices_alone(encoder, sample):
    """Exact zeros do not count in the log-mel mean; context beyond ±2 s is all that differs."""
    speech = sample[round(10.56 * SAMPLE_RATE) : round(14.4 * SAMPLE_RATE)]
    num = len(speech) // POSITION_SAMPLES
    silence = torch.zeros(50 * POSITION_SAMPLES)
    alone = encoder(speech[None])
    heard = encoder(torch.cat([silence, speech, silence])[None]).part(50, 50 + num)
    inner = slice(10, num - 10)
    for a, b in ((alone.short, heard.short), (alone.long, heard.long)):
        assert F.cosine_similarity(a[0, inner], b[0, inner], dim=-1).min() > 0.7
    speaks = [1 - x.probabilities[0, :num, :, 0] for x in (alone, heard)]
    assert ((speaks[0] > 0.5) == (speaks[1] > 0.5)).float().mean() > 0.95


# ---- features as such ---------------------------------------------------------------------------


def test_parts_and_joins(make_features):
    features = Features(*(tensor[0] for tensor in make_features(1, 20)))
    parts = [features.part(0, 7), features.part(7, 8), features.part(8, 20)]
    assert [part.num_positions for part in parts] == [7, 1, 12]
    for a, b in zip(Features.join(parts), features, strict=True):
        assert torch.equal(a, b)
    stacked = Features.stack([features, features.part(0, 20)])
    assert stacked.short.shape == (2, 20, 192)
    assert features.to(torch.float16).long.dtype == torch.float16


def test_silent_features():
    silence = Features.silence(3)
    assert silence.num_positions == 3 and not activities(silence.probabilities).any()
    assert Features.silence(0).num_positions == 0
    assert not silence.short.any() and not silence.long.any()


@given(st.permutations(range(3)), st.integers(0, 100))
def test_local_speakers_are_found_again(make_features, order, seed):
    features = Features(*(tensor[0] for tensor in make_features(1, 30, seed)))
    back = best_order(features.permuted(tuple(order)), features)
    assert [back[to] for to in order] == [0, 1, 2]


# ---- blocks -------------------------------------------------------------------------------------


def check_seams(encoder, waveform: torch.Tensor) -> None:
    """Encoded block by block, and as a whole: the same voices and the same speakers."""
    whole = Features(*(tensor[0] for tensor in encoder(waveform[None])))
    blocks = encoder.encode_file(waveform)
    assert blocks.num_positions == whole.num_positions
    order = best_order(blocks, whole)  # one for all of it: numbers are the same over seams
    said = activities(blocks.permuted(order).probabilities).flatten(0, 1) > 0.5
    expected = activities(whole.probabilities).flatten(0, 1) > 0.5
    wrong = (said != expected).any(-1)
    assert wrong.float().mean() < 0.06

    seam = round(BLOCK_S * SAMPLE_RATE) // POSITION_SAMPLES
    speaks = whole.probabilities[..., 0].mean(1) < 0.5
    for ours, theirs in ((blocks.short, whole.short), (blocks.long, whole.long)):
        cosines = F.cosine_similarity(ours, theirs, dim=-1)
        assert cosines[speaks].quantile(0.1) > 0.8
        # A seam is no worse than anything else.
        for at in range(seam, len(cosines), seam):
            near = cosines[at - 5 : at + 5][speaks[at - 5 : at + 5]]
            assert not len(near) or near.mean() > cosines[speaks].mean() - 0.1


def test_seams_of_a_call(encoder, sample):
    check_seams(encoder, torch.cat([sample[6 * SAMPLE_RATE :]] * 3))  # 72 s


def test_seams_of_a_talk(encoder, shared):
    path = shared / "real_dev" / "audio" / "voxconverse_akthc.ogg"
    if not path.is_file():
        pytest.skip(f"no {path}")
    waveform, rate = soundfile.read(path, dtype="float32", frames=60 * SAMPLE_RATE)
    assert rate == SAMPLE_RATE
    check_seams(encoder, torch.from_numpy(waveform))


@pytest.mark.parametrize(
    "num_samples", [1, 5000, 28 * SAMPLE_RATE, 28 * SAMPLE_RATE + 1, 70 * SAMPLE_RATE + 1]
)
def test_any_length(encoder, num_samples):
    waveform = 0.01 * torch.randn(num_samples, generator=torch.Generator().manual_seed(0))
    features = encoder.encode_file(waveform)
    assert features.num_positions == -(-num_samples // POSITION_SAMPLES)
    assert all(tensor.isfinite().all() for tensor in features)


@given(st.integers(1, 3000))
def test_windows_tile_a_recording(num_positions):
    windows = windows_of(num_positions)
    assert [w.start for w in windows] == [0, *(w.stop for w in windows[:-1])]
    assert windows[-1].stop == num_positions
    lengths = {w.last - w.first for w in windows}
    assert len(lengths) == 1  # which can be encoded together
    for window in windows:
        assert 0 <= window.first <= window.start < window.stop <= window.last <= num_positions
        assert window.start - window.first >= min(CONTEXT, window.start)
        assert window.last - window.stop >= min(CONTEXT, num_positions - window.stop)
    assert [w for group in groups_of(windows) for w in group] == windows
    assert all(1 <= len(group) <= GROUP for group in groups_of(windows))


def test_threads_make_no_difference(encoder, sample):
    waveform = torch.cat([sample[6 * SAMPLE_RATE :]] * 3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = encoder.encode_file(waveform)
        torch.set_num_threads(2)
        two = encoder.encode_file(waveform)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)
