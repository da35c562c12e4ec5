"""What the encoders are compared with."""

import pytest


@pytest.fixture(scope="session")
def onnx_output(shared):
    """`onnx_output(name, x)`: what ONNX Runtime makes of an array by a peer's file."""
    runtime = pytest.importorskip("onnxruntime")

    def run(name: str, x):
        path = shared.parent / "peers" / f"{name}.onnx"
        if not path.is_file():
            pytest.skip(f"no {path}")
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]

    return run
