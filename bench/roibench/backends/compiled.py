"""torch.compile: Inductor writes kernels for a network, and fuses what lies between its convolutions."""

import torch
from torch import nn

from roibench.backend import BackendError, Network, Run


class Compiled:
    """Shapes that come up after the warm-up run as they are, not compiled: compiling would be timed."""

    needs_networks = False
    calibrates = False
    is_exact = True

    def __init__(self) -> None:
        self.version = f"torch.compile {torch.__version__}"

    def refusal(self, device: torch.device, precision: str) -> str | None:
        return None

    def take(self, network: Network, device: torch.device) -> Run:
        compiled = torch.compile(network.module)
        return lambda tensors: _called(compiled, tensors, network.name)

    def settle(self) -> None:
        torch.compiler.set_stance("eager_on_recompile")


def _called(compiled: nn.Module, tensors: list[torch.Tensor], name: str) -> list[torch.Tensor]:
    try:
        return compiled(*tensors)
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = " ".join(str(error).split())[:300]
        raise BackendError(f"torch.compile can't compile {name}: {reason}") from error
