"""Blocks of the model: what is heard is heard in the right place."""

import math

import pytest
import torch

from pyannote_drz.models.blocks import (
    LOG_RANGE,
    POWER_FLOOR,
    Block,
    LogMel,
    Stem,
    TimeCode,
    rotary,
    rotate,
)

SAMPLE_RATE = 16000
HOP = 160  # samples
NUM_MELS = 20


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(SAMPLE_RATE, NUM_MELS)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tone(hertz: float, num_samples: int, amplitude: float = 1.0) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(num_samples) / SAMPLE_RATE)


# ---- log-mel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_hops", [1, 2, 8, 101])
def test_log_mel_has_a_frame_for_every_hop(log_mel, num_hops):
    assert log_mel(noise(3, num_hops * HOP)).shape == (3, NUM_MELS, num_hops)


@pytest.mark.parametrize("hop", [20, 33])
@pytest.mark.parametrize("offset, left, right", [(HOP // 2, 1, 1), (8, 1, 0), (HOP - 8, 0, 1)])
def test_log_mel_frames_are_centred_on_hops(log_mel, hop, offset, left, right):
    """A click in the middle of a hop is loudest there; at an edge, both sides hear it."""
    waveform = torch.zeros(1, 60 * HOP)
    waveform[0, hop * HOP + offset] = 1.0
    energy = log_mel(waveform).mean(1)[0]  # the mean over frames that hear the click is constant
    assert energy.argmax() == hop
    heard = energy > energy.min() + 1e-3
    assert heard.nonzero()[:, 0].tolist() == list(range(hop - left, hop + right + 1))


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_log_mel_bands_follow_pitch(hertz):
    log_mel = LogMel(SAMPLE_RATE, 40)
    # A tone in the second half: the mean does not hide it.
    waveform = noise(1, 100 * HOP) * 0.01
    waveform[0, 50 * HOP :] += tone(hertz, 50 * HOP, 0.5)
    band = (
        log_mel(waveform)[0, :, 60:90].mean(1) - log_mel(waveform)[0, :, 10:40].mean(1)
    ).argmax()
    mel = 2595 * math.log10(1 + hertz / 700)
    low, high = (2595 * math.log10(1 + f / 700) for f in (20, 8000))
    assert abs(band + 1 - 41 * (mel - low) / (high - low)) <= 1.0


def test_power_floor_is_below_any_microphone(log_mel):
    """A full-scale tone lies about 100 dB above the floor; 16-bit dither still counts as heard."""
    with torch.no_grad():
        real, imaginary = log_mel.stft(tone(1000.0, 16000)[None, None]).chunk(2, dim=1)
    power = ((real.square() + imaginary.square()).transpose(1, 2) @ log_mel.mel).amax()
    assert 10 * math.log10(power / POWER_FLOOR) > 90
    dither = (torch.rand(1, 16000, generator=torch.Generator().manual_seed(0)) - 0.5) / 32768
    assert log_mel(dither).abs().mean() < LOG_RANGE / 2


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
def test_log_mel_does_not_hear_level(log_mel, gain):
    waveform = noise(2, 100 * HOP)
    torch.testing.assert_close(log_mel(gain * waveform), log_mel(waveform), atol=1e-3, rtol=0)


def test_log_mel_does_not_hear_a_channel(log_mel):
    """Bands are centred, each on its own mean."""
    features = log_mel(noise(2, 100 * HOP))
    assert features.mean(-1).abs().max() < 0.02  # not quite 0, since clipped


def test_log_mel_of_silence(log_mel):
    features = log_mel(torch.zeros(2, 50 * HOP))
    assert features.isfinite().all()
    assert (features == features[0, 0, 0]).all()


def test_digital_silence_does_not_count_in_the_mean(log_mel):
    waveform = noise(1, 100 * HOP)
    padded = torch.cat([waveform, torch.zeros(1, 300 * HOP)], dim=1)
    torch.testing.assert_close(
        log_mel(padded)[..., :99], log_mel(waveform)[..., :99], atol=0.05, rtol=0
    )
    assert (log_mel(padded)[..., 101:] == -LOG_RANGE).all()


def test_padding_does_not_count_in_the_mean(log_mel):
    """Also where it is not silent, as what follows a prompt in a longer recording."""
    waveform = noise(2, 100 * HOP)
    loud = waveform.clone()
    loud[:, 61 * HOP :] *= 30  # analysis windows reach 7.5 ms beyond their hop
    lengths = torch.tensor([60 * HOP, 50 * HOP])
    torch.testing.assert_close(
        log_mel(loud, lengths)[..., :60], log_mel(waveform, lengths)[..., :60]
    )
    assert (log_mel(loud) - log_mel(waveform))[..., :60].abs().mean() > 1  # it would count


def test_log_mel_range(log_mel):
    waveform = noise(1, 100 * HOP) * 1e-4
    waveform[0, 8000:8020] = 1.0
    assert log_mel(waveform).abs().max() <= LOG_RANGE


def test_log_mel_has_nothing_to_learn(log_mel):
    assert not any(parameter.requires_grad for parameter in log_mel.parameters())


# ---- stem ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_halvings", [1, 2, 3])
def test_stem_positions_are_centred(num_halvings):
    """Position i sees as far to the left of its stride as to the right."""
    torch.manual_seed(0)
    stem = Stem(NUM_MELS, 16, num_halvings)
    stride = 2**num_halvings
    features = torch.randn(1, NUM_MELS, 20 * stride, requires_grad=True)
    positions = stem(features)
    assert positions.shape == (1, 20, 16)
    (gradient,) = torch.autograd.grad((positions[0, 10] * torch.randn(16)).sum(), features)
    seen = gradient[0].abs().amax(0).nonzero()[:, 0]
    left, right = 10 * stride - seen.min(), seen.max() - (11 * stride - 1)
    assert left == right > 0
    assert len(seen) == left + stride + right  # and everything in between


# ---- clocks -------------------------------------------------------------------------------------


def test_time_code_tells_bins_apart():
    code = TimeCode(num_periods=16)(0.02 * torch.arange(1501))
    assert code.shape == (1501, 32)
    distances = torch.cdist(code, code)
    distances.fill_diagonal_(torch.inf)
    assert distances.min() > 0.3


def test_time_code_of_scalars_and_batches():
    code = TimeCode(num_periods=4)
    seconds = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert code(seconds).shape == (2, 2, 8)
    torch.testing.assert_close(code(seconds)[1, 0], code(torch.tensor(2.0)))
    torch.testing.assert_close(code(torch.tensor(0.0)), torch.tensor([0.0] * 4 + [1.0] * 4))


def test_rotary_is_relative():
    """Dot products depend on distances only, also at negative positions."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=generator)

    def dot(i, j):
        rotated = [
            rotate(x, *rotary(torch.tensor([position]), 16)) for x, position in ((q, i), (k, j))
        ]
        return (rotated[0] * rotated[1]).sum()

    torch.testing.assert_close(dot(3, 10), dot(-70, -63), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dot(5, 0), dot(2, -3), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dot(0, 0), (q * k).sum())
    assert (dot(3, 10) - dot(10, 3)).abs() > 1e-2


def test_rotation_keeps_length():
    x = torch.randn(2, 3, 7, 16)
    torch.testing.assert_close(
        rotate(x, *rotary(torch.arange(-3, 4), 16)).norm(dim=-1), x.norm(dim=-1)
    )


# ---- transformer block --------------------------------------------------------------------------


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    return Block(dim=32, num_heads=2, dropout=0.1).eval()


def apply(block: Block, x: torch.Tensor, mask=None) -> torch.Tensor:
    q, k, v = block.keys(x, *rotary(torch.arange(x.shape[1]), 16))
    assert q.shape == k.shape == v.shape == (x.shape[0], 2, x.shape[1], 16)
    return block.attend(x, q, k, v, mask)


def test_block_shape(block):
    x = torch.randn(3, 7, 32)
    assert apply(block, x).shape == x.shape


def test_block_attends_where_its_mask_is_true(block):
    x = torch.randn(2, 7, 32)
    changed = x.clone()
    changed[:, 5] += torch.randn(32)
    mask = torch.ones(1, 1, 7, 7, dtype=torch.bool)
    mask[..., 5] = False  # nobody sees 5
    same = [0, 1, 2, 3, 4, 6]
    torch.testing.assert_close(apply(block, x, mask)[:, same], apply(block, changed, mask)[:, same])
    difference = (apply(block, x) - apply(block, changed)).abs().amax((0, 2))
    assert (difference > 1e-5).all()  # without a mask, all see all


def test_block_knows_where_things_are(block):
    x = torch.randn(1, 7, 32)
    assert (apply(block, x.flip(1)).flip(1) - apply(block, x)).abs().max() > 1e-3


def test_dropout_only_in_training(block):
    x = torch.randn(1, 7, 32)
    torch.testing.assert_close(apply(block, x), apply(block, x))
    block.train()
    assert (apply(block, x) - apply(block, x)).abs().max() > 1e-3
