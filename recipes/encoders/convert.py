"""Convert the open encoders from ONNX to safetensors, for the package.

    python recipes/encoders/convert.py campplus.onnx segmentation-3.0.onnx

needs `pip install onnx`. CAM++ is 3D-Speaker's "campplus zh_en common advanced" (Apache-2.0),
segmentation-3.0 is pyannote's (MIT), both as sherpa-onnx publishes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn

from pyannote_drz.models.encoders.campplus import CAMPPlus
from pyannote_drz.models.encoders.features import WEIGHTS
from pyannote_drz.models.encoders.segmentation import segmentation_3


def initializers(path: str | Path) -> tuple[onnx.ModelProto, dict[str, Tensor]]:
    """Graph and its weights by name."""
    model = onnx.load(str(path))
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
    return model, weights


@torch.no_grad()
def convert_campplus(path: str | Path) -> CAMPPlus:
    """CAM++ from ONNX: its convolutions come in the order of the graph, its norms by name."""
    model, weights = initializers(path)
    encoder = CAMPPlus()
    convolutions = (node for node in model.graph.node if node.op_type == "Conv")

    def load(convolution: nn.Conv1d | nn.Conv2d) -> None:
        names = next(convolutions).input
        convolution.weight.copy_(weights[names[1]])
        if (convolution.bias is None) != (len(names) == 2):
            raise ValueError(f"{names[1]} has an unexpected bias: {list(names)}.")
        if convolution.bias is not None:
            convolution.bias.copy_(weights[names[2]])

    def load_norm(norm: nn.BatchNorm1d, name: str) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, key).copy_(weights[f"{name}.{key}"])

    load(encoder.conv_in)
    for block in encoder.residual:
        load(block.first)
        load(block.second)
        if block.shortcut is not None:
            load(block.shortcut)
    load(encoder.conv_out)
    load(encoder.tdnn)
    blocks = zip(encoder.dense, encoder.transit_norm, encoder.transit)
    for b, (layers, norm, transit) in enumerate(blocks, start=1):
        for k, layer in enumerate(layers, start=1):
            load_norm(layer.norm, f"xvector.block{b}.tdnnd{k}.nonlinear1.batchnorm")
            for part in (layer.bottleneck, layer.local, layer.context_in, layer.context_out):
                load(part)
        load_norm(norm, f"xvector.transit{b}.nonlinear.batchnorm")
        load(transit)
    encoder.project.weight.copy_(weights[next(convolutions).input[1]][..., 0])
    encoder.mean.copy_(weights["xvector.dense.nonlinear.batchnorm.running_mean"])
    encoder.variance.copy_(weights["xvector.dense.nonlinear.batchnorm.running_var"])
    return encoder


@torch.no_grad()
def convert_segmentation(path: str | Path):
    """PyanNet from ONNX, whose LSTM has its gates in another order: i o f c instead of i f c o."""
    model, weights = initializers(path)
    encoder = segmentation_3()
    state = encoder.sincnet.state_dict()
    for key in state:
        if f"sincnet.{key}" in weights:
            state[key] = weights[f"sincnet.{key}"].reshape(state[key].shape)
    encoder.sincnet.load_state_dict(state)
    # torch's exporter leaves the filters of the sinc layer as a constant: they follow from
    # low_hz_ and band_hz_ above, which it leaves, too.

    def gates(tensor: Tensor) -> Tensor:
        i, o, f, c = tensor.chunk(4, 0)
        return torch.cat([i, f, c, o], 0)

    layers = [node for node in model.graph.node if node.op_type == "LSTM"]
    for number, node in enumerate(layers):
        inputs, hidden, biases = (weights[name] for name in node.input[1:4])
        for direction, suffix in enumerate(("", "_reverse")):
            half = biases.shape[1] // 2
            for name, value in (
                ("weight_ih", inputs[direction]),
                ("weight_hh", hidden[direction]),
                ("bias_ih", biases[direction][:half]),
                ("bias_hh", biases[direction][half:]),
            ):
                getattr(encoder.lstm, f"{name}_l{number}{suffix}").copy_(gates(value))
    products = [node.input[1] for node in model.graph.node if node.op_type == "MatMul"][-3:]
    names = ["linear.0", "linear.1", "classifier"]
    for linear, name, product in zip([*encoder.linear, encoder.classifier], names, products):
        linear.weight.copy_(weights[product].T)
        linear.bias.copy_(weights[f"{name}.bias"])
    return encoder


def main() -> None:
    campplus, segmentation = sys.argv[1:]
    for name, encoder in (
        ("campplus", convert_campplus(campplus)),
        ("segmentation-3.0", convert_segmentation(segmentation)),
    ):
        path = WEIGHTS / f"{name}.safetensors"
        state = {key: value.contiguous() for key, value in encoder.state_dict().items()}
        save_file({key: value for key, value in state.items() if value.is_floating_point()}, path)
        print(path, f"{path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
