"""RoIBench: which vision model should I use, and what does its accuracy cost in milliseconds?"""

from importlib.metadata import version
from typing import Any

__version__ = version("roibench")


def __getattr__(name: str) -> Any:
    """roibench.wrap, which brings torch along, is imported when it is asked for."""
    if name == "wrap":
        from roibench.outside.callables import wrap

        return wrap
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
