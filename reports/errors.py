"""The error of this package."""

from records.errors import UserError


class ReportError(UserError):
    """A run folder or a target that cannot be reported on; the text is one line."""
