"""Checkpoints that travel in parts."""

import pytest
import torch
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def shards(recipe):
    return recipe("synthetic/lent_gpu/shards.py")


@pytest.fixture
def run(shards, tmp_path, monkeypatch):
    """Run the command in an empty folder; (exit code, what it says)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "MAX_BYTES", 4000)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(shards.app, arguments)
        return result.exit_code, " ".join(result.output.replace("│", " ").split())

    return run


def checkpoint(step: int = 7, scale: float = 1.0) -> dict:
    torch.manual_seed(step)
    return {
        "state_dict": {
            "log_mel.filters": torch.randn(50),
            "blocks.weight": scale * torch.randn(4, 300),
            "blocks.bias": torch.randn(900),
            "count": torch.tensor(3),
        },
        "global_step": step,
        "hyper_parameters": {"dim": 300},
        "optimizer_states": [{"state": torch.randn(9999)}],
        "current_model_state": {},
    }


def test_there_and_back(run, tmp_path):
    sent = checkpoint()
    torch.save(sent, "last.ckpt")
    assert run("split", "last.ckpt", "parts", "--stage", "diarize")[0] == 0
    paths = sorted((tmp_path / "parts").iterdir())
    assert [path.name for path in paths] == ["weights.0.pt", "weights.1.pt"]
    assert run("merge", "parts", "start.ckpt") == (0, "diarize")
    come = torch.load("start.ckpt")
    assert come["hyper_parameters"] == {"dim": 300} and come["global_step"] == 7
    assert "optimizer_states" not in come and "current_model_state" not in come
    assert list(come["state_dict"]) == list(sent["state_dict"])
    for name, weights in sent["state_dict"].items():
        assert come["state_dict"][name].dtype == weights.dtype
        torch.testing.assert_close(come["state_dict"][name], weights, rtol=2**-11, atol=1e-7)
    assert torch.equal(come["state_dict"]["log_mel.filters"], sent["state_dict"]["log_mel.filters"])


def test_what_does_not_belong_together_is_refused(run, tmp_path):
    for step, folder in ((1, "one"), (2, "two")):
        torch.save(checkpoint(step), "last.ckpt")
        run("split", "last.ckpt", folder)
    (tmp_path / "two" / "weights.1.pt").replace(tmp_path / "one" / "weights.1.pt")
    code, said = run("merge", "one", "start.ckpt")
    assert code and "not of one checkpoint" in said
    code, said = run("merge", "two", "start.ckpt")
    assert code and "two has 1 of 2 shards" in said
    code, said = run("merge", "nowhere", "start.ckpt")
    assert code and "no shard in nowhere" in said
    assert not (tmp_path / "start.ckpt").exists()


def test_what_cannot_travel_is_refused(run, shards, tmp_path, monkeypatch):
    torch.save(checkpoint(scale=1e5), "large.ckpt")
    with pytest.raises(ValueError, match="blocks.weight is not finite in half precision"):
        shards.split(tmp_path / "large.ckpt", tmp_path / "parts")
    monkeypatch.setattr(shards, "MAX_SHARDS", 1)
    torch.save(checkpoint(), "last.ckpt")
    code, said = run("split", "last.ckpt", "parts")
    assert code and "makes 2 shards" in said
    torch.save([1], "list.ckpt")
    code, said = run("split", "list.ckpt", "parts")
    assert code and "no checkpoint" in said
    assert not (tmp_path / "parts").exists()
