"""Work orders and all that hangs on them, in memory. Times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """Where a work order stands, as people read it."""

    SCHEDULED = "Scheduled"
    IN_PROGRESS = "In progress"
    AWAITING_APPROVAL = "Awaiting approval"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    DONE = "Done"


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to ask."""

    name: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class Comment:
    """One remark; `author` is a name or a verified mail address."""

    author: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a work order; `number` tells files of one name apart, `size` is in bytes."""

    number: int
    name: str
    size: int
    author: str
    at: float


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history; `note` is in the actor's own words."""

    actor: str
    at: float
    what: str
    note: str = ""


class AlreadyDecided(Exception):
    """The work order does not wait for an approval (any more)."""


@dataclass(slots=True)
class WorkOrder:
    """One work order. Whatever is done to it is added to its history."""

    id: str
    title: str
    site: str
    description: str
    contact: Contact
    stage: Stage
    opened_at: float
    due_at: float
    cost: str = ""
    comments: list[Comment] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    history: list[Event] = field(default_factory=list)

    @property
    def awaits_approval(self) -> bool:
        """Whether it can be approved or rejected now."""
        return self.stage is Stage.AWAITING_APPROVAL

    def add_comment(self, author: str, at: float, text: str) -> None:
        """Add a comment at the end."""
        self.comments.append(Comment(author, at, text))
        self.history.append(Event(author, at, "Commented"))

    def add_file(self, number: int, name: str, size: int, author: str, at: float) -> StoredFile:
        """Add a file whose content is kept already, under `number`."""
        stored = StoredFile(number, name, size, author, at)
        self.files.append(stored)
        self.history.append(Event(author, at, f"Uploaded {name}"))
        return stored

    def find_file(self, number: int, name: str) -> StoredFile | None:
        """The file that an address names, or None."""
        return next((f for f in self.files if f.number == number and f.name == name), None)

    def decide(self, stage: Stage, author: str, at: float, note: str) -> None:
        """Approve or reject. Raises AlreadyDecided if nobody waits for that."""
        if not self.awaits_approval:
            raise AlreadyDecided(self.stage)
        self.stage = stage
        self.history.append(Event(author, at, stage.value, note))
