"""What follows from a short text, remembered; from a long one, found out each time. Pure.

A cache is bounded by how many texts it holds. Where visitors or backends choose the texts, each
could be as long as a whole header, and then some thousand of them would hold the memory for good.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

Key = TypeVar("Key", str, bytes)
Result = TypeVar("Result")


def remembered(
    longest: int, most: int = 4096
) -> Callable[[Callable[[Key], Result]], Callable[[Key], Result]]:
    """Decorates a function of one text: the results for `most` texts of up to `longest` are kept."""

    def decorate(find_out: Callable[[Key], Result]) -> Callable[[Key], Result]:
        known = lru_cache(maxsize=most)(find_out)

        def look_up(key: Key) -> Result:
            return (known if len(key) <= longest else find_out)(key)

        return look_up

    return decorate
