"""The root of the application's errors, and how one of them becomes one line of text.

`rfcalc` (RfcalcError) and `models` (SpecError) import nothing of the repository and keep roots of their own;
the commands catch those beside this one.
"""

import re
import sys

_MASK = "***"
# "scheme://user:" and all up to the last "@" of the word: a password may hold "@", "/", blanks and, pasted
# badly, a line break. "http://host:80/..." is a port and no password. A path has made "//" of a URL to "/".
_PASSWORD = re.compile(r"(:/{1,2}[^\s/@:]*:)(?!\d+(?:[/\s?'\"]|$))[^@]*@(?:[^\s@]*@)*")
_PASSWORD_KEY = re.compile(r"((?:password|passwd|pass|pwd)=)[^&\s'\"]+", re.IGNORECASE)


class UserError(Exception):
    """A mistake that the user can mend; the text is one line: what, where, the value, the way out."""


def one_line(text: object) -> str:
    r"""Return `text` as one printable line without the passwords of URLs.

    Line breaks become blanks, other control characters their escapes (`\x1b`), and
    "postgresql://anna:secret@host/db" becomes "postgresql://anna:***@host/db".
    """
    masked = _PASSWORD.sub(rf"\1{_MASK}@", str(text))
    masked = _PASSWORD_KEY.sub(rf"\1{_MASK}", masked)
    line = " ".join(masked.split())
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in line
    )


def tell(who: str, error: object) -> int:
    """Write an error to stderr as one line.

    Args:
        who: The command, which begins the line: "train.py".
        error: The error or its text.

    Returns:
        2, the exit code of a command that could not be done.
    """
    line = f"{who}: error: {one_line(error)}\n"
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding))
    return 2
