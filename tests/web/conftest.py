"""The running server, as a fixture."""

from running_site import site

__all__ = ["site"]
