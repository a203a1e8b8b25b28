"""The error of this package."""


class SpecError(ValueError):
    """A network specification breaks a rule. The text names the place, the value and the rule."""
