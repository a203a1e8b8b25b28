"""The error of this package."""

from records.errors import UserError


class ExportError(UserError):
    """A network cannot be exported; the text is one line: what, where, the value, the way out."""
