"""Exact numbers: random integers, sines and geometric steps that are the same on every machine.

Generator methods of numpy may change between versions and libm differs between platforms, so neither is used: raw
Philox words are specified to the bit, and everything else here is integer arithmetic.
"""

from collections.abc import Iterator
from functools import cache
from math import isqrt

import numpy as np

TURN = 256  # steps of a full turn
SINE_BITS = 14
# fmt: off
_QUARTER = (  # round(2**14 * sin(k / 256 of a turn)), k = 0..64
    0, 402, 804, 1205, 1606, 2006, 2404, 2801, 3196, 3590, 3981, 4370, 4756, 5139, 5520, 5897, 6270, 6639, 7005, 7366,
    7723, 8076, 8423, 8765, 9102, 9434, 9760, 10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665,
    12916, 13160, 13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557, 15679,
    15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384,
)
# fmt: on


def sine(angle: int) -> int:
    """2**14 * sin(angle), the angle in 1/256 of a turn."""
    half, angle = divmod(angle % TURN, TURN // 2)
    value = _QUARTER[min(angle, TURN // 2 - angle)]
    return -value if half else value


def cosine(angle: int) -> int:
    """2**14 * cos(angle), the angle in 1/256 of a turn."""
    return sine(angle + TURN // 4)


@cache
def geometric(low: int, high: int) -> tuple[int, ...]:
    """256 integers from low towards high in equal ratios: floor(low * (high / low) ** (k / 256))."""

    def root256(number: int) -> int:
        for _ in range(8):
            number = isqrt(number)
        return number

    return tuple(root256(low ** (256 - k) * high**k) for k in range(256))


class Draws:
    """Random integers of one stream of one scene: a function of (split, index, stream) alone."""

    def __init__(self, split: int, index: int, stream: int):
        # Philox takes 128 bits of key and 256 bits of counter; the lowest word of the counter counts within the stream.
        self._bits = np.random.Philox(key=[split, 0x5363656E6573], counter=[0, index, stream, 0])
        self._words = self._refill()

    def _refill(self) -> Iterator[int]:
        while True:
            yield from self._bits.random_raw(256).tolist()

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return (next(self._words) >> 32) * bound >> 32

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return low + self.below(high - low + 1)

    def octets(self, count: int) -> np.ndarray:
        """uint8 [count]; take them from a stream of their own, for `below` reads ahead."""
        words = self._bits.random_raw(-(-count // 8))
        return words.astype("<u8").view(np.uint8)[:count]
