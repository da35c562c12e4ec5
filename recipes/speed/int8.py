"""CAM++ in int8: speed, what it changes, and what it costs to install, beside what is packaged.

    python recipes/speed/int8.py campplus.onnx --registry database.yml \
        --protocol RealDev.SpeakerDiarization.mixed [--voices Voices.SpeakerDiarization.Voices]

needs `pip install onnx onnxruntime`. Quantized statically (activations and weights, QDQ format,
per channel), with ranges of minutes of training voices; one thread of this CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from itertools import islice
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from pyannote.database import FileFinder, registry
from pyannote.metrics.diarization import DiarizationErrorRate
from torch import Tensor

import pyannote_drz
from pyannote_drz.io.audio import Audio
from pyannote_drz.pipelines.packaging import load_pretrained

FRAMES = "/xvector/out_nonlinear/relu/Relu_output_0"  # what statistics are pooled from
WINDOW_S = 32.0  # a block and its context
NUM_CALIBRATION = 12  # windows
ROWS = 2


class Ranges(CalibrationDataReader):
    """Log-mel windows of training voices, one after the other."""

    def __init__(self, windows: list[Tensor]):
        self.windows = iter([{"x": window.numpy()} for window in windows])

    def get_next(self) -> dict | None:
        return next(self.windows, None)


def quantized(path: Path, windows: list[Tensor], folder: Path) -> tuple[Path, Path]:
    """CAM++ up to its frames, as it is and in int8."""
    whole, plain, ready, small = (folder / f"{name}.onnx" for name in "wpri")
    model = onnx.load(str(path))
    onnx.save(model, str(whole))
    onnx.utils.extract_model(str(whole), str(plain), ["x"], [FRAMES], check_model=False)
    quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(small),
        Ranges(windows),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
    )
    return plain, small


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def size_mb(package: str) -> float:
    """What a package takes on the disk."""
    folder = Path(importlib.util.find_spec(package).origin).parent
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--protocol", action="append", required=True)
    parser.add_argument("--voices", default="Voices.SpeakerDiarization.Voices")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry.load_database(arguments.registry)
    pipeline = load_pretrained(pyannote_drz.PRETRAINED)
    encoder, audio, find = pipeline.model.encoder, Audio(16000, mono="downmix"), FileFinder()

    def windows_of(protocol: str, subset: str, count: int) -> list[Tensor]:
        files = getattr(registry.get_protocol(protocol), subset)()
        waveform = torch.cat([audio(find(file))[0][0] for file in islice(files, 15 * count)])
        rows = waveform[: count * round(WINDOW_S * 16000)].unflatten(0, (count, -1))
        return list(encoder.campplus.fbank(rows)[:, None].unbind(0))

    calibration = windows_of(arguments.voices, "train", NUM_CALIBRATION)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        plain, small = quantized(arguments.onnx, calibration, Path(folder))
        sessions = {"ONNX Runtime, fp32": session(plain), "ONNX Runtime, int8": session(small)}
        ours = encoder.campplus.frames

        def in_bf16(x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return ours(x)

        ways = {"packaged, fp32": ours, "packaged, bf16": in_bf16}
        for name, one in sessions.items():
            ways[name] = lambda x, one=one: torch.from_numpy(one.run(None, {"x": x.numpy()})[0])
        print(f"onnxruntime: {size_mb('onnxruntime'):.0f} MB installed")
        heard = torch.cat(windows_of(arguments.voices, "development", 2 * ROWS)).split(ROWS)
        exact = torch.cat([ours(x) for x in heard])
        for name, way in ways.items():
            way(heard[0])
            began = time.perf_counter()
            for _ in range(3):
                frames = torch.cat([way(x) for x in heard]).float()
            took_s = (time.perf_counter() - began) / 3
            cosine = torch.cosine_similarity(
                *(encoder._embeddings(x[..., :1600], 25) for x in (frames, exact)), dim=-1
            )
            speed = 2 * ROWS * WINDOW_S / took_s
            print(
                f"{name}: {speed:.0f} x real time, cosine to fp32 {cosine.mean():.4f}", flush=True
            )
        for protocol in arguments.protocol:
            for name in ("packaged, bf16", "ONNX Runtime, int8"):
                encoder.campplus.frames = ways[name] if "int8" in name else ours
                metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
                for file in registry.get_protocol(protocol).development():
                    answer = pipeline(find(file)).speaker_diarization
                    metric(file["annotation"], answer, uem=file["annotated"])
                print(f"{protocol}, {name}: {100 * abs(metric):.1f} % DER", flush=True)


if __name__ == "__main__":
    main()
