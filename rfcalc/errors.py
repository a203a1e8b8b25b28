"""What can go wrong because of what the user gave: one base class and its few kinds.

The command line prints an `RfcalcError` as one line and exits with code 2. Anything else is a bug of rfcalc.
"""


class RfcalcError(Exception):
    """Base of every error that the user can mend; the message says what, where, the value and the way out."""


class UsageError(RfcalcError):
    """The arguments do not go together or name something unknown (a layer, a column)."""


class LoadError(RfcalcError):
    """The target could not be turned into a model: no file, a syntax error, no model in it, several."""


class InputError(RfcalcError, ValueError):
    """The input size is not one that the model can take: zero, empty, or of the wrong rank."""


class ForwardError(RfcalcError):
    """forward() of the model raised on an input of this size; the message names the layer and the shapes."""


class BudgetError(RfcalcError, ValueError):
    """A limit has an unknown name or an impossible value."""


class RuleError(RfcalcError, ValueError):
    """A rule that the user registered for an op does not do what a rule must do."""


def wording(error: BaseException | None) -> str:
    """Return the kind of an exception and what it says, on one line; its own code may fail meanwhile."""
    kind = type(error).__name__
    try:
        text = one_line(str(error))
    except Exception as another:
        return f"{kind}, whose text cannot be had ({type(another).__name__})"
    return f"{kind}: {text}" if text else kind


def one_line(text: str) -> str:
    """Return a text with line breaks as spaces and other control characters as escapes."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
