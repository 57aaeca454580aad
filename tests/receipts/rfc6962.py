"""RFC 6962 section 2.1, word for word and slow: what the tree is held against."""

from functools import cache

from receipts.merkle import EMPTY_ROOT, leaf_hash, node_hash


def leaf(index):
    return leaf_hash(b"entry %d" % index)


@cache
def mth(begin, end):
    """MTH(D[begin:end])."""
    if begin == end:
        return EMPTY_ROOT
    if end - begin == 1:
        return leaf(begin)
    k = largest_power_below(end - begin)
    return node_hash(mth(begin, begin + k), mth(begin + k, end))


def path(m, begin, end):
    """PATH(m, D[begin:end])."""
    if end - begin == 1:
        return []
    k = largest_power_below(end - begin)
    if m < k:
        return [*path(m, begin, begin + k), mth(begin + k, end)]
    return [*path(m - k, begin + k, end), mth(begin, begin + k)]


def subproof(m, begin, end, known):
    """SUBPROOF(m, D[begin:end], known); PROOF(m, D[n]) = SUBPROOF(m, D[n], true)."""
    if m == end - begin:
        return [] if known else [mth(begin, end)]
    k = largest_power_below(end - begin)
    if m <= k:
        return [*subproof(m, begin, begin + k, known), mth(begin + k, end)]
    return [*subproof(m - k, begin + k, end, False), mth(begin, begin + k)]


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def read(level, index):
    """A node reader over the same tree."""
    return mth(index << level, (index + 1) << level)


# The largest tree of the tests, made before any of them is timed.
mth(0, 65_537)
