"""PTX, nvcc's output before ptxas, as C++ for the emulator."""

from simt.ptx.translate import translate

__all__ = ["translate"]
