"""Who is looking, by the headers that the gateway sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.links.model import Permission

INSIDER = "Alder & Quay staff"
VISITOR = "Visitor"


@dataclass(frozen=True, slots=True)
class Viewer:
    """What the pages need to know of whoever asks.

    `through_portal` is false for people inside, who may do everything.
    """

    name: str
    permissions: frozenset[str]
    through_portal: bool

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Viewer:
        """The viewer of one request.

        The headers are believed, because nobody but the gateway can reach this system from
        outside and the gateway removes what a visitor sends under these names.
        """
        if "X-Portal-Link" not in headers:
            return cls(INSIDER, frozenset(Permission), through_portal=False)
        allowed = headers.get("X-Portal-Permissions", "").split(",")
        return cls(
            headers.get("X-Portal-Email") or VISITOR,
            frozenset(name.strip() for name in allowed if name.strip()),
            through_portal=True,
        )

    @property
    def may_comment(self) -> bool:
        """Whether to show the form for a comment."""
        return Permission.ADD_COMMENTS in self.permissions

    @property
    def may_upload(self) -> bool:
        """Whether to show the form for a file."""
        return Permission.UPLOAD_FILES in self.permissions

    @property
    def may_see_history(self) -> bool:
        """Whether to show the way to the history."""
        return Permission.VIEW_HISTORY in self.permissions

    @property
    def may_decide(self) -> bool:
        """Whether to show the form for an approval."""
        return Permission.APPROVE_REJECT in self.permissions
