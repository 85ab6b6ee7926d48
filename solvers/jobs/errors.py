"""What can be wrong with a job, its folder or its share of the work."""

from __future__ import annotations

from ..errors import FokkerError


class JobError(FokkerError, ValueError):
    """A job asks for what does not exist, or a folder belongs to another job."""
