"""RoIBench: which vision model should I use, and what does its accuracy cost in milliseconds?"""

from importlib.metadata import version

__version__ = version("roibench")
