class TrainingError(Exception):
    """What a user did cannot work; the text is one line: what, where, the value, the way out."""


class DataError(TrainingError):
    """The data set cannot be used."""
