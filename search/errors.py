"""The error of this package."""

from records.errors import UserError


class SearchError(UserError):
    """A search that cannot be done as the user asked; the text is one line."""
