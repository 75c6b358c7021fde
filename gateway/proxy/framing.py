"""Who may show an answer in a frame. Pure."""

from __future__ import annotations


def without_frame_ancestors(policy_list: str) -> str | None:
    """A `Content-Security-Policy` value without its `frame-ancestors`; None: nothing is left.

    A value is a comma list of policies, each a list of directives parted by `;` (CSP 3 section
    2.2: neither sign can stand in a directive). A policy without that directive stays as it is.
    """
    kept = [policy for policy in map(_less_ancestors, policy_list.split(",")) if policy is not None]
    return ",".join(kept).strip(" \t") or None


def _less_ancestors(policy: str) -> str | None:
    directives = policy.split(";")
    kept = [
        directive
        for directive in directives
        if directive.split(maxsplit=1)[:1] == [] or not _is_frame_ancestors(directive)
    ]
    if len(kept) == len(directives):
        return policy
    return ";".join(kept) if any(directive.strip() for directive in kept) else None


def _is_frame_ancestors(directive: str) -> bool:
    return directive.split(maxsplit=1)[0].lower() == "frame-ancestors"
