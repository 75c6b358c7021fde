"""What an operator is told when a process cannot start."""

from __future__ import annotations

from gateway.errors import GatewayError


class CannotStart(GatewayError):
    """The settings are good, but what they name is not as it has to be."""
