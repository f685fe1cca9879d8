"""Integers, sines and rasterization against their slow, obvious definitions."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roibench.datasets.scenes import integers
from roibench.datasets.scenes.integers import Draws, cosine, geometric, sine
from roibench.datasets.scenes.raster import Disc, Frame, Part, Polygon, Window, count, rasterize

WORD = 2**64


def philox4x64(counter: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    """Philox4x64 with ten rounds, from the paper (Salmon et al. 2011, section 3.3)."""
    a, b, c, d = counter
    left, right = key
    for _ in range(10):
        high_a, low_a = divmod(0xD2E7470EE14C6C93 * a, WORD)
        high_c, low_c = divmod(0xCA5A826395121157 * c, WORD)
        a, b, c, d = high_c ^ b ^ left, low_c, high_a ^ d ^ right, low_a
        left, right = (left + 0x9E3779B97F4A7C15) % WORD, (right + 0xBB67AE8584CAA73B) % WORD
    return [a, b, c, d]


def test_the_reference_gives_the_known_answer_of_random123():
    want = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox4x64((0, 0, 0, 0), (0, 0)) == want


@given(split=st.integers(0, 2), index=st.integers(0, 2**63 - 1), stream=st.integers(0, 5))
def test_draws_are_philox(split, index, stream):
    words = philox4x64((1, index, stream, 0), (split, 0x5363656E6573))
    words += philox4x64((2, index, stream, 0), (split, 0x5363656E6573))
    draws = Draws(split, index, stream)
    assert [draws.below(2**32) for _ in words] == [word >> 32 for word in words]
    octets = b"".join(word.to_bytes(8, "little") for word in words)
    assert Draws(split, index, stream).octets(61).tobytes() == octets[:61]


@given(low=st.integers(-1000, 1000), span=st.integers(0, 1000))
def test_draws_stay_within_their_bounds(low, span):
    draws = Draws(0, 1, 2)
    values = [draws.between(low, low + span) for _ in range(50)]
    assert low <= min(values)
    assert max(values) <= low + span


def test_the_sine_table_is_rounded_from_exact_halvings_of_the_right_angle():
    bits = 200
    one = 1 << bits
    c, s = 0, one
    for _ in range(6):  # 64 steps make a quarter of a turn
        c, s = isqrt((one + c) << (bits - 1)), isqrt((one - c) << (bits - 1))
    x, y = one, 0
    for angle in range(integers.TURN // 4 + 1):
        want = ((y << integers.SINE_BITS) + one // 2) >> bits
        assert sine(angle) == sine(128 - angle) == -sine(-angle) == -sine(angle + 128) == want
        assert cosine(64 - angle) == cosine(angle - 64) == sine(angle)
        x, y = (x * c - y * s) >> bits, (x * s + y * c) >> bits


@settings(max_examples=20)
@given(low=st.integers(1, 600), more=st.integers(1, 5000))
def test_geometric_steps_are_rounded_down_from_the_exact_value(low, more):
    high = low + more
    for k, step in enumerate(geometric(low, high)):
        exact = low ** (256 - k) * high**k  # to the 256th
        assert step**256 <= exact < (step + 1) ** 256


def sample_points(window: Window):
    for row in range(4 * (window.bottom - window.top)):
        for column in range(4 * (window.right - window.left)):
            yield row, column, window.left * 64 + 16 * column + 8, window.top * 64 + 16 * row + 8


def in_polygon(corners, x, y) -> bool:
    """Even-odd rule, in exact fractions: how many edges does the ray to the left cross?"""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            crossings += x > x0 + Fraction((y - y0) * (x1 - x0), y1 - y0)
    return crossings % 2 == 1


points = st.tuples(st.integers(-200, 600), st.integers(-200, 600))


@settings(max_examples=40)  # the reference is slow
@given(corners=st.lists(points, min_size=3, max_size=8), disc=st.builds(Disc, points, st.integers(1, 300)))
def test_rasterize_is_the_definition_of_inside(corners, disc):
    window, covered = rasterize((Part(Polygon(tuple(corners))), Part(disc, subtract=True)))
    (cx, cy), r = disc
    for row, column, x, y in sample_points(window):
        want = in_polygon(corners, x, y) and (x - cx) ** 2 + (y - cy) ** 2 > r * r
        assert covered[row, column] == want, (x, y)


def test_a_disc_holds_the_samples_at_exactly_its_radius():
    window, covered = rasterize((Part(Disc((8, 8), 16)),))
    assert [(x, y) for row, column, x, y in sample_points(window) if covered[row, column]] == [
        (8, -8), (-8, 8), (8, 8), (24, 8), (8, 24),
    ]  # fmt: skip


@given(parts=st.lists(st.builds(Disc, points, st.integers(1, 200)), min_size=1, max_size=3))
def test_the_window_holds_every_part(parts):
    window, covered = rasterize(tuple(map(Part, parts)))
    for (x, y), r in parts:
        assert window.left * 64 <= x - r <= x + r < window.right * 64
        assert window.top * 64 <= y - r <= y + r < window.bottom * 64
    assert covered.shape == (4 * (window.bottom - window.top), 4 * (window.right - window.left))


def test_count_adds_up_the_sixteen_samples_of_a_pixel():
    samples = np.random.default_rng(0).random((40, 28)) < 0.5
    assert np.array_equal(count(samples), samples.reshape(10, 4, 7, 4).sum((1, 3)))


@pytest.mark.parametrize(
    ("turn", "want"), [(0, (1300, 900)), (64, (1100, 1300)), (128, (700, 1100)), (192, (900, 700))]
)
def test_a_frame_turns_clockwise_and_scales(turn, want):
    assert Frame(1000, 1000, 512, turn).point((600, -200)) == want


@given(
    window=st.builds(Window, *[st.integers(-50, 50)] * 2, *[st.integers(51, 150)] * 2), height=st.integers(1, 100),
    width=st.integers(1, 100),
)  # fmt: skip
def test_clip_and_within_select_the_same_pixels_of_window_and_image(window, height, width):
    part = window.clip(height, width)
    pixels = np.stack(np.mgrid[window.top : window.bottom, window.left : window.right])
    inside = ((pixels >= 0) & (pixels < np.array((height, width))[:, None, None])).all(axis=0)
    rows, columns = part.within(window)
    assert np.array_equal(pixels[:, rows, columns].reshape(2, -1), pixels[:, inside])
