"""What is kept in memory, and which loads were overtaken by a change. Pure bookkeeping.

A value is filed under keys; dropping one of them drops it under all. A load is announced before
it begins (`begin`), and what it brought is kept only if none of its keys was dropped meanwhile
(`keep`): whatever it read may be older than the change that dropped them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(slots=True, eq=False)
class Kept(Generic[V]):
    """A value on the shelf. `read_at`: it was true then, in monotonic seconds.

    `valid` turns false when it leaves the shelf, for whoever still has it in hand: from then on
    no change would be noticed.
    """

    value: V
    keys: Sequence[Hashable]
    read_at: float
    source: str
    valid: bool = True


@dataclass(slots=True, eq=False)
class Flight:
    """A load under way, and what was dropped since it began."""

    dropped: set[Hashable] = field(default_factory=set)
    dropped_all: bool = False

    def was_overtaken(self, keys: Collection[Hashable]) -> bool:
        """Whether a change since the load began concerns something filed under `keys`."""
        return self.dropped_all or not self.dropped.isdisjoint(keys)


class Shelf(Generic[V]):
    """At most `size` values; the longest unused makes room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._by_key: dict[Hashable, Kept[V]] = {}
        self._by_use: OrderedDict[Kept[V], None] = OrderedDict()
        self._flights: set[Flight] = set()

    def __len__(self) -> int:
        return len(self._by_use)

    def __iter__(self) -> Iterator[Kept[V]]:
        return iter(tuple(self._by_use))

    def get(self, key: Hashable) -> Kept[V] | None:
        """What is filed under `key`; looking is use."""
        kept = self._by_key.get(key)
        if kept is not None:
            self._by_use.move_to_end(kept)
        return kept

    @contextmanager
    def begin(self) -> Iterator[Flight]:
        """A load, from before it reads until it is kept."""
        flight = Flight()
        self._flights.add(flight)
        try:
            yield flight
        finally:
            self._flights.discard(flight)

    def keep(self, flight: Flight, kept: Kept[V]) -> bool:
        """File what the load brought; False, and nothing is filed, if it was overtaken."""
        if flight.was_overtaken(kept.keys):
            return False
        for key in kept.keys:
            self._remove(self._by_key.get(key))
        for key in kept.keys:
            self._by_key[key] = kept
        self._by_use[kept] = None
        while len(self._by_use) > self._size:
            self._remove(next(iter(self._by_use)))
        return True

    def drop(self, keys: Sequence[Hashable]) -> None:
        """A change concerns these keys: forget what is filed under them, kept or under way."""
        for flight in self._flights:
            flight.dropped.update(keys)
        for key in keys:
            self._remove(self._by_key.get(key))

    def clear(self) -> None:
        """Forget everything, kept or under way."""
        for flight in self._flights:
            flight.dropped_all = True
        for kept in self._by_use:
            kept.valid = False
        self._by_key.clear()
        self._by_use.clear()

    def _remove(self, kept: Kept[V] | None) -> None:
        if kept is None:
            return
        kept.valid = False
        del self._by_use[kept]
        for key in kept.keys:
            if self._by_key.get(key) is kept:
                del self._by_key[key]
