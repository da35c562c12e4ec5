import pytest
import torch
import yaml
from pyannote.audio import Pipeline

from pyannote_drz.pipelines.hyper_parameters import DEFAULTS
from pyannote_drz.pipelines.packaging import load_pretrained, save_pretrained

PARAMS = {
    "threshold": 0.25,
    "newcomer_bias": 0.5,
    "min_duration_on": 0.1,
    "min_duration_off": 0.5,
    "clustering_threshold": 0.3,
    "num_passes": 1,
}


FILES = ["config.yaml", "diarizer/model.json", "diarizer/model.safetensors"]


def files_in(folder) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_round_trip(model, tmp_path):
    folder = save_pretrained(model, tmp_path / "new" / "folder", PARAMS, context=3.0)

    assert files_in(folder) == FILES
    pipeline = Pipeline.from_pretrained(folder)
    assert pipeline.parameters(instantiated=True) == PARAMS
    assert pipeline.context == 3.0
    assert not pipeline.model.training
    for name, value in model.state_dict().items():
        assert torch.equal(pipeline.model.state_dict()[name], value)
    assert Pipeline.from_pretrained(folder / "config.yaml").context == 3.0


def test_what_does_not_load_does_not_replace(model, tmp_path):
    folder = save_pretrained(model, tmp_path, PARAMS)
    before = {name: (folder / name).read_bytes() for name in files_in(folder)}

    for params in ({"tempo": 1.0}, {**PARAMS, "tempo": 1.0}):
        with pytest.raises(ValueError):
            save_pretrained(model, folder, params)
    with pytest.raises(ValueError, match="context"):
        save_pretrained(model, folder, PARAMS, context=7.0)

    assert {name: (folder / name).read_bytes() for name in files_in(folder)} == before


def test_what_is_not_given_has_its_default(model, tmp_path):
    """Folders from before a hyper-parameter existed load, and new ones tell all of them."""
    folder = save_pretrained(model, tmp_path, {"threshold": 0.25})
    params = Pipeline.from_pretrained(folder).parameters(instantiated=True)
    assert params == {**DEFAULTS, "threshold": 0.25} and isinstance(params["num_passes"], int)

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["params"] == params
    config["params"] = {"threshold": 0.5, "min_duration_off": 0.0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    pipeline = Pipeline.from_pretrained(folder)
    assert pipeline.instantiated
    assert pipeline.parameters(instantiated=True) == {**DEFAULTS, **config["params"]}


def test_configurations_of_tuning(model, tmp_path):
    """`pyannote-audio optimize` writes FOLDER/config.NAME.yaml, with a section of its own."""
    folder = save_pretrained(model, tmp_path, PARAMS)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["params"] = {**PARAMS, "threshold": 0.5}
    config["optimization"] = {"protocol": "X", "status": {"best_loss": 0.1}}
    (folder / "config.X.yaml").write_text(yaml.safe_dump(config))
    assert load_pretrained(folder / "config.X.yaml").threshold == 0.5
    assert load_pretrained(folder).threshold == 0.25
