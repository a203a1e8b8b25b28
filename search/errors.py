class SearchError(Exception):
    """What a user did cannot work; the text is one line: what, where, the value, the way out."""
