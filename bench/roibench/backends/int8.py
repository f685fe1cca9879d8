"""Eight bits: onnxruntime.quantization writes an ONNX file of integers, in the standard's own operators (QDQ), and
OpenVINO runs it, on processors without VNNI faster than ONNX Runtime.

Static quantization: weights have a scale per channel, activations one per tensor, from the smallest to the largest
value that the calibration images gave. Weights use 7 of the 8 bits: a processor without VNNI adds two products in 16
bits, and with all 8 the sum overflows, in OpenVINO as in ONNX Runtime.
"""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from roibench.backend import BackendError, Network, Tensors
from roibench.backends.runtimes import Runtime
from roibench.sources import need


class Int8(Runtime):
    calibrates = True
    is_exact = False

    def __init__(self) -> None:
        super().__init__("openvino", "int8")
        self.version += f", quantized by onnxruntime {need('onnxruntime', 'backend int8')}"

    def exported(self, network: Network, folder: Path) -> Path:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        exact, folded, file = super().exported(network, folder), folder / "folded.onnx", folder / "int8.onnx"
        calls = _Calls(network)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # onnxruntime.quantization logs there that batch norms were folded too late
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Folds batch norms into convolutions, which are then quantized with them.
                quant_pre_process(exact, folded, skip_symbolic_shape=True)
                quantize_static(
                    folded,
                    file,
                    calls,
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    reduce_range=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
        except Exception as error:  # of onnx, protobuf and onnxruntime
            reason = " ".join(str(error).split())[:300]
            raise BackendError(f"{network.name} can't be quantized: {type(error).__name__}: {reason}") from error
        finally:
            root.setLevel(level)
        return file


class _Calls:
    """A network's calibration calls as onnxruntime.quantization reads them: a dict of arrays, then None."""

    def __init__(self, network: Network) -> None:
        self._calls: Iterator[Tensors] = iter(network.calibration)

    def get_next(self) -> dict[str, object] | None:
        tensors = next(self._calls, None)
        if tensors is None:
            return None
        return {f"input{index}": tensor.contiguous().numpy() for index, tensor in enumerate(tensors)}
