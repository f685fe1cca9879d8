"""What runs networks in torch's place: torch.compile, ONNX Runtime, OpenVINO, and int8."""
