"""Points that fill the unit cube more evenly than chance does: Sobol's sequence, scrambled.

Pure, and any point can be had without those before it. Direction numbers: Joe and Kuo, "Constructing Sobol
sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30 (2008), the set new-joe-kuo-6.
Scrambling: nested uniform (Owen 1995) by a hash, after Laine and Karras (2011) and Burley, "Practical
hash-based Owen scrambling", JCGT 9 (2020).
"""

from __future__ import annotations

from functools import cache

_BITS = 32
_MASK = (1 << _BITS) - 1

# Of each dimension after the first: the primitive polynomial's inner coefficients as a number, then m_1, m_2, ….
_TABLE: tuple[tuple[int, tuple[int, ...]], ...] = (
    (0, (1,)),
    (1, (1, 3)),
    (1, (1, 3, 1)),
    (2, (1, 1, 1)),
    (1, (1, 1, 3, 3)),
    (4, (1, 3, 5, 13)),
    (2, (1, 1, 5, 5, 17)),
    (4, (1, 1, 5, 5, 5)),
    (7, (1, 1, 7, 11, 19)),
    (11, (1, 1, 5, 1, 1)),
    (13, (1, 1, 1, 3, 11)),
    (14, (1, 3, 5, 5, 31)),
    (1, (1, 3, 3, 9, 7, 49)),
    (13, (1, 1, 1, 15, 21, 21)),
    (16, (1, 3, 1, 13, 27, 49)),
    (19, (1, 1, 1, 15, 7, 5)),
    (22, (1, 3, 1, 15, 13, 25)),
    (25, (1, 1, 5, 5, 19, 61)),
    (1, (1, 3, 7, 11, 23, 15, 103)),
    (4, (1, 3, 7, 13, 13, 15, 69)),
)

#: Beyond these the sequence is not known here: draw at random.
DIMENSIONS = len(_TABLE) + 1


@cache
def _directions(dimension: int) -> tuple[int, ...]:
    if dimension == 0:
        return tuple(1 << (_BITS - 1 - k) for k in range(_BITS))
    inner, start = _TABLE[dimension - 1]
    degree = len(start)
    m = list(start)
    while len(m) < _BITS:
        new = m[-degree] ^ (m[-degree] << degree)
        for k in range(1, degree):
            if inner >> (degree - 1 - k) & 1:
                new ^= m[-k] << k
        m.append(new)
    return tuple(m[k] << (_BITS - 1 - k) for k in range(_BITS))


def sobol(index: int, dimension: int, scramble: int) -> float:
    """Coordinate ``dimension`` of point ``index`` in [0, 1); ``scramble`` (32 bits) is its own for each dimension."""
    x = 0
    for direction in _directions(dimension):
        if not index:
            break
        if index & 1:
            x ^= direction
        index >>= 1
    # Owen's scrambling flips each bit by a hash of the bits above it; reversed, of those below it.
    x = _reverse(x)
    x = (x + scramble) & _MASK
    x ^= (x * 0x6C50B47C) & _MASK
    x ^= (x * 0xB82F1E52) & _MASK
    x ^= (x * 0xC7AFE638) & _MASK
    x ^= (x * 0x8D22F6E6) & _MASK
    return _reverse(x) / (1 << _BITS)


def _reverse(x: int) -> int:
    x = (x >> 16) | (x << 16) & _MASK
    x = ((x & 0xFF00FF00) >> 8) | ((x & 0x00FF00FF) << 8)
    x = ((x & 0xF0F0F0F0) >> 4) | ((x & 0x0F0F0F0F) << 4)
    x = ((x & 0xCCCCCCCC) >> 2) | ((x & 0x33333333) << 2)
    return ((x & 0xAAAAAAAA) >> 1) | ((x & 0x55555555) << 1)
