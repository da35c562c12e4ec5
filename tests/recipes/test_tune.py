"""Recipes: tuning on several protocols, each chunk written once."""

import pytest
import torch
import yaml
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.core import Annotation, Segment, Timeline
from typer import Typer
from typer.testing import CliRunner

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.pipelines.chunks import ChunkRequest
from pyannote_drz.pipelines.packaging import save_pretrained
from pyannote_drz.prompting import Prompts

PROTOCOL = "AMIExcerpts.SpeakerDiarization.only_words"


@pytest.fixture(scope="module")
def tune(recipe):
    return recipe("synthetic/tune.py")


def chunk(value: float, max_speakers: int = 4, **prompts) -> ChunkRequest:
    features = Features(*(value + tensor for tensor in Features.silence(8)))
    return ChunkRequest(features, max_speakers, **prompts)


def test_each_chunk_is_written_once(tune):
    calls = []

    def decode(requests):
        calls.append(len(requests))
        return [float(request.features.short[0, 0]) for request in requests]

    remembered = tune.Remembered(decode)
    assert remembered([chunk(1), chunk(2), chunk(1)]) == [1, 2, 1]
    assert remembered([chunk(2)]) == [2]
    assert calls == [2]


def test_prompts_are_part_of_what_is_remembered(tune):
    """Their features, where one ends and the next begins, and how many speakers there may be."""
    calls = []

    def decode(requests):
        calls.append(len(requests))
        return requests

    remembered = tune.Remembered(decode)
    prompts = Prompts(Features.silence(8), [(0.0, 0.1), (0.2, 0.3)])
    other = Features(*(1 + tensor for tensor in prompts.features))
    requests = [
        chunk(1),
        chunk(1, 3),
        chunk(1, prompts=prompts),
        chunk(1, prompts=prompts._replace(features=other)),
        chunk(1, prompts=prompts._replace(spans=[(0.0, 0.3)])),
    ]
    remembered(requests)
    again = Prompts(Features.silence(8), list(prompts.spans))
    assert remembered([chunk(1, prompts=again)])[0] is requests[2]
    assert calls == [5]


def test_protocols_weigh_the_same(tune):
    metric = tune.MeanOfProtocols({"a": "small", "b": "large"})
    for uri, seconds, said in (("a", 1.0, 0.0), ("b", 100.0, 100.0)):
        reference, answer = Annotation(uri=uri), Annotation(uri=uri)
        reference[Segment(0, seconds)] = "x"
        if said:
            answer[Segment(0, said)] = "y"
        metric(reference, answer, uem=Timeline([Segment(0, 100)]))
    assert abs(metric) == pytest.approx(0.5)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = Pix2SeqDiarizer(dim=32, num_layers=2, num_heads=4)
    model.specifications = specifications()
    model.build()
    return save_pretrained(model.eval(), tmp_path / "folder", {"num_passes": 1}, context=2.0)


def specifications():
    return Specifications(
        problem=Problem.MULTI_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=list("ABCD"),
    )


def test_command(tune, shared, folder):
    app = Typer()
    app.command()(tune.main)
    common = ["--registry", str(shared / "database.yml"), "--trials", "3"]
    result = CliRunner().invoke(app, [str(folder), PROTOCOL, *common, "--passes", "1"])
    assert result.exit_code == 0, result.output
    rates = {}
    for line in result.output.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] in ("before", "after"):
            rates[cells[0]] = float(cells[2])
    assert rates["after"] <= rates["before"]  # the first trial is what there was
    made = yaml.safe_load((folder / "config.tuned.yaml").read_text())
    assert made["params"]["num_passes"] == 1
    assert made["pipeline"] == yaml.safe_load((folder / "config.yaml").read_text())["pipeline"]
    assert made["optimization"]["protocols"] == [PROTOCOL]

    result = CliRunner().invoke(app, [str(folder), PROTOCOL, PROTOCOL, *common])
    assert result.exit_code == 2 and "is in two protocols" in result.output
    result = CliRunner().invoke(app, [str(folder), "No.Such.Thing", *common])
    assert result.exit_code == 2 and "there is no protocol" in result.output
