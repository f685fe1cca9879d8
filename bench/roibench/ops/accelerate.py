"""Our kernels behind torchvision's operators: existing models get faster without a changed line."""

from contextlib import AbstractContextManager
from threading import Lock

from roibench import _C


def accelerate_torchvision() -> AbstractContextManager[None]:
    """Puts these kernels behind torchvision's nms, roi_align, roi_pool and ps_roi_pool, and behind their derivatives.

    As a plain call it holds until the process ends; as a context manager, until the block is left, also by an
    exception. Either may be repeated and nested, in any order and by any number of threads: these kernels are in use
    until the last block is left, then what was in place before is in use again.

        >>> with ops.accelerate_torchvision():
        ...     detections = torchvision.models.detection.fasterrcnn_resnet50_fpn()([image])

    Results differ from torchvision's by rounding, and where torchvision's are wrong. Every thread of the process is
    affected, and every device for which the operator is built. Models that were compiled before keep what they were
    compiled with, which calls the operators by name: they are affected, too.
    """
    import torchvision  # noqa: F401 - declares the operators that are overridden; slow to load

    return _Block()


class _Block(AbstractContextManager[None]):
    def __init__(self) -> None:
        _C.open_torchvision()
        self._open = True
        self._lock = Lock()

    def __exit__(self, *_: object) -> None:
        with self._lock:  # leaving twice is leaving once
            if self._open:
                _C.close_torchvision()
            self._open = False
