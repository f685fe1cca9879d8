"""Models from outside: ONNX files, torchvision's, transformers' and timm's models, ultralytics' checkpoints, any Python
callable; and registered ones before they are trained. Each is an ordinary model behind the hooks, opened from
SCHEME:REST.
"""

from roibench.hookspecs import hookimpl
from roibench.specs import SourceSpec


@hookimpl
def register_sources(register):
    for scheme, module, description, example in (
        ("onnx", "onnx_models:open_onnx", "an ONNX file, by ONNX Runtime", "onnx:best.onnx"),
        ("openvino", "onnx_models:open_openvino", "an ONNX or OpenVINO file, by OpenVINO", "openvino:best.onnx"),
        ("torchvision", "torchvision_models:open_source", "torchvision's models by name", "torchvision:ssd300_vgg16"),
        ("hf", "hub:open_source", "transformers' models, of the hub or a folder", "hf:facebook/detr-resnet-50"),
        ("timm", "timm_models:open_source", "timm's classifiers by name", "timm:resnet18.a1_in1k"),
        ("ultralytics", "ultralytics_models:open_source", "a checkpoint of ultralytics", "ultralytics:best.pt"),
        ("untrained", "untrained:open_source", "a registered model with random weights: its speed", "untrained:fcn"),
        ("python", "callables:open_source", "a callable of a module or file", "python:detector.py:detect"),
    ):
        register(SourceSpec(scheme, f"roibench.outside.{module}", description, example))
