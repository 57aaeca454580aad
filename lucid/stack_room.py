"""Room on Python's stack for calls that loop far down in it.

CPython has frames in chunks of 16 KB, and maps the next chunk when a call crosses the
end of one, to unmap it when that call returns. Where a template loops across an end,
it does so thousands of times: the list of receipts took 69 ms instead of 28. Which
page it is depends on how deep it is nested, and so changes with every edit. Python 3.14
and late 3.13 keep one chunk back (python/cpython#142183); 3.11 and 3.12 do not.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# More than half a chunk of 128 KB, so that one as large is mapped: what is left of it,
# 70 KB, has room for 500 frames. Memory that no frame touches is never there.
SLOTS = 7200


def with_room(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it with a chunk of the stack of its own, which takes 9 microseconds."""
    return call(*args, **kwargs)


with_room.__code__ = with_room.__code__.replace(co_stacksize=SLOTS)
