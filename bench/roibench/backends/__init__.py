"""What runs networks in torch's place: torch.compile, ONNX Runtime, OpenVINO, and int8."""

from roibench.hookspecs import hookimpl
from roibench.specs import BackendSpec


@hookimpl
def register_backends(register):
    for name, path, description in (
        ("compile", "compiled:Compiled", "torch.compile with Inductor"),
        ("onnx", "runtimes:open_onnx", "exported to ONNX, by ONNX Runtime"),
        ("openvino", "runtimes:open_openvino", "exported to ONNX, by OpenVINO"),
        ("int8", "int8:Int8", "exported to ONNX, quantized by ONNX Runtime's tools, by OpenVINO"),
    ):
        register(BackendSpec(name, f"roibench.backends.{path}", description))
