"""Caches heal, and are no more than a convenience; processes end with their parents."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from pyannote.audio import Pipeline

from pyannote_drz.pipelines.packaging import save_pretrained
from pyannote_drz.simulation.speakers.voices import VoiceBank, VoiceFile
from pyannote_drz.tasks.material import bank_embeddings


@pytest.fixture
def voices(tmp_path) -> list[VoiceFile]:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", noise, 16000)
    return [VoiceFile(tmp_path / f"{name}.wav", name, "x", [(0, 1)]) for name in "ab"]


def flipped(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]  # fmt: skip


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[: len(content) // 2], flipped,
    lambda content: b"no bank", lambda content: content[:-1],
])  # fmt: skip
def test_a_damaged_cache_is_made_again(voices, tmp_path, damage):
    cache = tmp_path / "cache"
    before = VoiceBank.cached(voices, cache)
    [path] = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with pytest.warns(UserWarning, match="build it again"):
        bank = VoiceBank.cached(voices, cache)
    assert torch.equal(bank.samples, before.samples) and (bank.pieces == before.pieces).all()
    again = VoiceBank.cached(voices, cache)  # silently
    assert torch.equal(again.samples, before.samples)


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[: len(content) // 2], flipped,
    lambda content: content[:-1],
])  # fmt: skip
def test_damaged_embeddings_are_made_again(voices, tmp_path, encoder, damage):
    bank, cache = VoiceBank.from_files(voices), tmp_path / "cache"
    before = bank_embeddings(bank, encoder.campplus, cache)
    [path] = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="is made again"):
        assert (bank_embeddings(bank, encoder.campplus, cache) == before).all()
    assert (bank_embeddings(bank, encoder.campplus, cache) == before).all()  # silently
    with pytest.warns(UserWarning, match="cannot be kept for the next time"):
        bank_embeddings(bank, encoder.campplus, tmp_path / "a.wav" / "cache")


def test_a_cache_that_cannot_be_written_is_a_warning(voices, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be kept for the next time"):
        assert len(VoiceBank.cached(voices, tmp_path / "file" / "cache")) == 2


def test_workers_end_with_their_parent(tmp_path):
    code = """
import multiprocessing, os, threading, time
from pyannote_drz.simulation.writing.workers import _end_with_parent
def work():
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(os.getpid(), flush=True)
    time.sleep(600)
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(600)
"""
    (tmp_path / "main.py").write_text(code)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "main.py"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline()
    parent.kill()
    assert parent.stdout.read() == ""  # ends when the worker does, which holds the other end
    parent.wait()


def test_a_move_that_fails_leaves_the_pipeline_as_it_was(model, tmp_path):
    pipeline = Pipeline.from_pretrained(save_pretrained(model, tmp_path, {}))
    device = torch.device("cuda:7") if not torch.cuda.is_available() else torch.device("xpu")
    with pytest.raises((RuntimeError, AssertionError)):
        pipeline.to(device)
    noise = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(1))
    pipeline({"waveform": noise, "sample_rate": 16000})
    with pytest.raises(ValueError, match="known speaker 'Ann' is digital silence"):
        silence = {"waveform": torch.zeros(1, 16000), "sample_rate": 16000}
        pipeline({"waveform": noise, "sample_rate": 16000}, known_speakers={"Ann": silence})
