"""The errors of this package."""

from records.errors import UserError


class TrainingError(UserError):
    """A training that cannot be done as the user asked; the text is one line."""


class DataError(TrainingError):
    """The data set cannot be used."""
