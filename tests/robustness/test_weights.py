"""Folders of weights that are cut, altered, foreign or hostile: one sentence each, nothing runs."""

import hashlib
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyannote.audio import Model, Pipeline

import pyannote_drz
from pyannote_drz.io.errors import InputError
from pyannote_drz.pipelines.packaging import load_pretrained, save_pretrained
from pyannote_drz.pipelines.pix2seq import Pix2SeqDiarization
from pyannote_drz.storage.pickled import load_checkpoint
from pyannote_drz.storage.sources import find_model, model_of
from pyannote_drz.storage.weights import load_model, save_model

ran = []


def run_me() -> None:
    ran.append("code of a pickle")


class Hostile:
    def __reduce__(self):
        return run_me, ()


@pytest.fixture(scope="session")
def original(model, tmp_path_factory) -> Path:
    return save_pretrained(model, tmp_path_factory.mktemp("original"), {})


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A pipeline, to be spoilt."""
    return Path(shutil.copytree(original, tmp_path / "pipeline"))


# ---- what is right ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip(model, tmp_path, dtype):
    loaded = load_model(save_model(model, tmp_path, dtype, keep=["bin_key."]))
    assert type(loaded) is type(model) and not loaded.training
    assert dict(loaded.hparams) == dict(model.hparams)
    assert loaded.specifications == model.specifications
    for name, value in loaded.state_dict().items():
        expected = model.state_dict()[name]
        assert value.dtype == expected.dtype
        exact = dtype == torch.float32 or name.startswith("bin_key.")
        tolerance = 0 if exact else 1e-2
        torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance)
    save_model(model, tmp_path)  # again, over it
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_what_belongs_to_training_is_left_out(model, tmp_path):
    model.loss_func = torch.nn.Linear(2, 2)
    try:
        save_model(model, tmp_path)
    finally:
        del model.loss_func
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert not [name for name in stored if name.startswith("loss_func")]


def test_packaged_weights_load_with_pickle_disabled():
    """What docs/safety.md shows; in a process of its own, as pickle is everybody's."""
    code = (
        "import pyannote_drz, pickle, torch; from pyannote.audio import Pipeline\n"
        "def refuse(*args, **kwargs): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse\n"
        "print(Pipeline.from_pretrained(pyannote_drz.PRETRAINED).instantiated)\n"
        "from pyannote_drz.pipelines.packaging import load_pretrained\n"
        "print(load_pretrained(pyannote_drz.PRETRAINED).instantiated)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_packaged_folder_holds_no_pickle():
    files = sorted(p.name for p in pyannote_drz.PRETRAINED.rglob("*") if p.is_file())
    assert files == ["config.yaml", "model.json", "model.safetensors"]


def test_checkpoints_load_where_they_are_named(model, tmp_path):
    checkpoint = {
        "state_dict": {**model.state_dict(), "loss_func.weight": torch.zeros(2)},
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": "2.6.0",
    }
    model.on_save_checkpoint(checkpoint)
    path = tmp_path / "pytorch_model.bin"
    torch.save(checkpoint, path)
    for loaded in (load_checkpoint(path), model_of(str(path)), Model.from_pretrained(path)):
        assert torch.equal(loaded.bin_key.weight, model.bin_key.weight)
        assert loaded.specifications == model.specifications
    assert Pix2SeqDiarization(path).model.specifications == model.specifications
    with pytest.raises(InputError, match="an older pickle, which is only read where it is named"):
        Pix2SeqDiarization(str(tmp_path))


# ---- files of weights ---------------------------------------------------------------------------


def rewrite(folder: Path, change) -> None:
    """Change tensors, and let the description say so: whoever alters weights can do that."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    content = safetensors.torch.save(tensors)
    path.write_bytes(content)
    describe(folder, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def describe(folder: Path, **changes) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def as_tensors(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    describe(folder, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def set_nan(tensors, value=float("nan")) -> None:
    tensors["diarize"][3] = value


def specify(folder: Path, **changes) -> None:
    described = json.loads((folder / "model.json").read_text())["specifications"][0]
    describe(folder, specifications=[described | changes])


def hyper(folder: Path, **changes) -> None:
    described = json.loads((folder / "model.json").read_text())["hyper_parameters"]
    describe(folder, hyper_parameters=described | changes)


def text(content: str | bytes):
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "model.json").write_bytes(content)


BAD_MODELS = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors' does not exist"),
    "no description": (lambda f: (f / "model.json").unlink(), "model.json' does not exist"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "has 0 bytes instead"),
    "half": (lambda f: cut(f / "model.safetensors", 0.5), "it was cut, or is another file"),
    "one byte less": (lambda f: cut(f / "model.safetensors", -1), "it was cut, or is another"),
    "a bit": (lambda f: flip(f / "model.safetensors", -5), "was altered: its SHA-256 is"),
    "a bit of the header": (lambda f: flip(f / "model.safetensors", 20), "was altered"),
    "random": (lambda f: as_tensors(f, bytes(range(256)) * 9), "holds no tensors"),
    "a pickle": (lambda f: as_tensors(f, pickle.dumps(Hostile())), "holds no tensors"),
    "a huge header": (lambda f: as_tensors(f, b"\xff" * 8 + b"{}"), "holds no tensors"),
    "nan": (lambda f: rewrite(f, set_nan), "weights of diarize are not all finite"),
    "infinite": (lambda f: rewrite(f, lambda t: set_nan(t, -float("inf"))), "are not all finite"),
    "a tensor less": (lambda f: rewrite(f, lambda t: t.pop("role")), "role is absent there"),
    "a tensor more": (lambda f: rewrite(f, lambda t: t.update(x=torch.ones(1))), "x is (1,) there"),
    "a shape": (lambda f: rewrite(f, lambda t: t.update(role=torch.ones(32, 3))), "role is (32, 3)"),
    "a type": (
        lambda f: rewrite(f, lambda t: t.update(role=torch.ones(3, 32, dtype=torch.int8))),
        "role is torch.int8 there",
    ),
    "nothing": (text(""), "is no description of a model"),
    "no JSON": (text("weights"), "is no description of a model"),
    "half a description": (lambda f: cut(f / "model.json", 0.5), "is no description of a model"),
    "bytes": (text(b"\xff\xfe\x00"), "is no description of a model"),
    "deep": (text("[" * 100_000), "is no description of a model"),
    "long": (text(" " * 2**21 + "{}"), "is longer than 1048576 bytes"),
    "a list": (text("[]"), "model.json': input should be a valid dictionary"),
    "nan in JSON": (text('{"format": NaN}'), "it holds NaN"),
    "nothing in it": (text("{}"), "field required"),
    "unknown field": (lambda f: describe(f, run="me"), "run: extra inputs are not permitted"),
    "a later format": (lambda f: describe(f, format=2), "a newer pyannote_drz wrote it"),
    "a format in words": (lambda f: describe(f, format="new"), "got 'new'"),
    "another class": (lambda f: describe(f, **{"class": "os.system"}), "no model of class 'os.sys"),
    "a module to run": (lambda f: describe(f, **{"class": "antigravity.Model"}), "is not ours"),
    "no such class": (
        lambda f: describe(f, **{"class": "pyannote_drz.models.pix2seq.Pix3"}),
        "no model of class 'pyannote_drz.models.pix2seq.Pix3'",
    ),
    "no such module": (
        lambda f: describe(f, **{"class": "pyannote_drz.models.pix3.Pix3"}), "there is no class"
    ),
    "no name": (lambda f: describe(f, **{"class": "../x"}), "class: string should match pattern"),
    "hyper-parameter": (lambda f: hyper(f, depth=3), "unexpected keyword argument 'depth'"),
    "another size": (lambda f: hyper(f, dim=48), "does not fit the model: activity.weight"),
    "a size in words": (lambda f: hyper(f, dim="wide"), "no pyannote_drz.models.pix2seq"),
    "layers": (lambda f: hyper(f, num_layers=10**9), "its layers hold more than the"),
    "thin layers": (lambda f: hyper(f, dim=2, num_heads=1, num_layers=10**9), "its layers hold more"),
    "width": (lambda f: hyper(f, dim=10**5), "its layers hold more than the"),
    "a width beyond all": (lambda f: hyper(f, dim=10**400), "can be built so"),
    "half a layer": (lambda f: hyper(f, num_layers=2.5), "can be built so"),
    "dropout": (lambda f: hyper(f, dropout=5), "dropout probability has to be between 0 and 1"),
    "many classes": (lambda f: specify(f, classes=["A"] * 10**5), "its layers hold more than the"),
    "no classes": (lambda f: specify(f, classes=None), "can be built so"),
    "an hour": (lambda f: specify(f, duration=3600), "chunks of 3600.0 s are longer than 60.0 s"),
    "no duration": (lambda f: specify(f, duration=0), "resolution must be between 0 and duration (0.0 s)"),
    "no specifications": (lambda f: describe(f, specifications=[]), "specifications: there are none"),
    "a problem": (lambda f: specify(f, problem="HARD"), "problem: must be one of BINARY"),
    "a duration": (lambda f: specify(f, duration="long"), "got 'long'"),
    "a specification": (lambda f: specify(f, mood="good"), "specifications.mood is unknown"),
    "fewer classes": (lambda f: specify(f, classes=["A"]), "does not fit the model"),
}  # fmt: skip


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content)) if 0 < share < 1 else int(share)])


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_model(folder, name):
    spoil, said = BAD_MODELS[name]
    spoil(folder / "diarizer")
    for load in (load_pretrained, Pipeline.from_pretrained):
        with pytest.raises(InputError, match=re.escape(said)) as caught:
            load(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    assert not ran


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.floats(0, 1), byte=st.integers(0, 255), keep=st.floats(0, 1))
def test_damaged_files(original, tmp_path_factory, at, byte, keep):
    """Any file of the folder, with a byte changed and cut: a pipeline or one sentence."""
    for name in ("config.yaml", "diarizer/model.json", "diarizer/model.safetensors"):
        spoilt = Path(shutil.copytree(original, tmp_path_factory.mktemp("spoilt") / "pipeline"))
        content = bytearray((spoilt / name).read_bytes())
        content[int(at * (len(content) - 1))] = byte
        (spoilt / name).write_bytes(content[: 1 + int(keep * len(content))])
        try:
            load_pretrained(spoilt)
        except InputError as error:
            assert "\n" not in str(error)


def test_not_finite_is_not_written(model, tmp_path):
    with pytest.raises(InputError, match="model: weights of role are not all finite"):
        with torch.no_grad():
            model.role.fill_(1e5)  # half precision ends at 65504
        try:
            save_model(model, tmp_path / "half", torch.float16)
        finally:
            torch.nn.init.normal_(model.role)
    assert not (tmp_path / "half").exists()


# ---- pickles ------------------------------------------------------------------------------------


def test_pickles_do_not_run(model, tmp_path):
    checkpoint = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint | {"callbacks": Hostile()}, tmp_path / "hostile.ckpt")
    with pytest.raises(InputError, match="objects that are neither weights nor settings"):
        load_checkpoint(tmp_path / "hostile.ckpt")
    (tmp_path / "legacy.ckpt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match="legacy.ckpt"):
        model_of(tmp_path / "legacy.ckpt")
    assert not ran


BAD_CHECKPOINTS = {
    "empty": (b"", "is no checkpoint"),
    "text": (b"no pickle", "is no checkpoint"),
    "random": (bytes(range(256)), "is no checkpoint"),
    "zip": (b"PK\x03\x04" + 100 * b"\0", "is no checkpoint"),
}


@pytest.mark.parametrize("name", BAD_CHECKPOINTS)
def test_bad_checkpoint(tmp_path, name):
    content, said = BAD_CHECKPOINTS[name]
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize("source, said", [
    ("no/such/folder", "there is no such checkpoint"),
    ("none.ckpt", "there is no such checkpoint"),
    (3, "model must be a Model, a path, or a mapping, got int"),
    ({"folder": "x"}, "model has no 'checkpoint', got"),
    ({"checkpoint": "x", "run": "me"}, "model has an unknown 'run'"),
])  # fmt: skip
def test_bad_source(source, said):
    with pytest.raises(InputError, match=re.escape(said)):
        model_of(source)


def test_several_models(original, tmp_path):
    for name in "ab":
        shutil.copytree(original / "diarizer", tmp_path / name)
    with pytest.raises(InputError, match="has several models"):
        find_model(tmp_path)


# ---- configurations -----------------------------------------------------------------------------


def configure(**changes):
    """Change sections of config.yaml; what has dots goes into them."""

    def write(path: Path) -> None:
        config = yaml.safe_load(path.read_text())
        for name, value in changes.items():
            *sections, last = name.split("__")
            at = config
            for section in sections:
                at = at[section]
            at[last] = value
        path.write_text(yaml.safe_dump(config))

    return write


def literally(content: str | bytes):
    content = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(content)


BOMB = "a: &a [x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
BAD_CONFIGS = {
    "empty": (literally(""), "must hold names and values, got NoneType"),
    "a list": (literally("[1]"), "must hold names and values, got list"),
    "a tag": (literally("!!python/object/apply:os.system ['true']"), "is no YAML"),
    "no YAML": (literally("{a: ["), "is no YAML"),
    "bytes": (literally(b"\xff\xff\x00"), "is no YAML"),
    "deep": (literally("[" * 20_000), "is no YAML"),
    "a bomb": (literally(BOMB), "pipeline: field required"),
    "long": (literally("#" * 2**17), "is longer than 65536 bytes"),
    "a key twice nested": (literally("? {a: 1}\n: 1"), "is no YAML"),
    "unknown section": (configure(run="me"), "run: extra inputs are not permitted"),
    "preprocessors": (
        configure(preprocessors={"x": {"name": "os.system"}}), "preprocessors: extra inputs",
    ),
    "another pipeline": (configure(pipeline__name="os.system"), "pipeline.name: input should be"),
    "no pipeline": (configure(pipeline=None), "pipeline: input should be"),
    "another model": (configure(pipeline__params__model="/etc"), "params.model: string should"),
    "outside": (configure(pipeline__params__model="$model/../x"), "params.model: string should"),
    "no such folder": (configure(pipeline__params__model="$model/other"), "has no model.safetensors"),
    "context": (configure(pipeline__params__context="long"), "params.context: input should be"),
    "context nan": (configure(pipeline__params__context=float("nan")), "context: input should be a f"),
    "too much context": (configure(pipeline__params__context=6.0), "context must be from 0 s to"),
    "batch": (configure(pipeline__params__batch_size=0), "batch_size: input should be greater"),
    "a token": (configure(pipeline__params__token="x"), "token: extra inputs are not permitted"),
    "threshold": (configure(params__threshold=2), "threshold must be from 0 to 1, got 2"),
    "threshold nan": (configure(params__threshold=float("nan")), "from 0 to 1, got nan"),
    "threshold in words": (configure(params__threshold="high"), "must be a number, got 'high'"),
    "threshold true": (configure(params__threshold=True), "must be a number, got True"),
    "no threshold": (configure(params__threshold=None), "must be a number, got None"),
    "passes": (configure(params__num_passes=7), "num_passes must be from 1 to 2, got 7"),
    "half a pass": (configure(params__num_passes=1.5), "must be a whole number, got 1.5"),
    "unknown": (configure(params__tempo=1.0), "there is no hyper-parameter 'tempo', but threshold"),
    "numbers": (configure(params={1: 2}), "params.1: input should be a valid string, got 1"),
    "frozen": (configure(freeze={"threshold": 7}), "threshold must be from 0 to 1, got 7"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_config(folder, name):
    spoil, said = BAD_CONFIGS[name]
    spoil(folder / "config.yaml")
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
