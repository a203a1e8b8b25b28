"""What can go wrong because of what was given to `python -m reports`."""


class ReportError(Exception):
    """A run folder or a target that cannot be reported on; one line: what, where, the way out."""
