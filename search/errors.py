"""The error of this package."""

from records.errors import UserError


class SearchError(UserError):
    """A search that cannot be done as the user asked; the text is one line."""


class TooShortError(SearchError):
    """A time limit in which a search cannot find anything.

    Args:
        message: The text for the user.
        needed: The shortest limit that would do, seconds.
    """

    def __init__(self, message: str, needed: float) -> None:
        super().__init__(message)
        self.needed = needed
