"""The errors of this package: of a service that cannot start, and of a request that cannot be answered."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from records.errors import UserError, one_line


class ServeError(UserError):
    """A service that cannot run as the user asked; the text is one line."""


class ProblemError(Exception):
    """A request that cannot be answered: RFC 9457 problem details.

    Args:
        status: HTTP status code.
        detail: What is wrong with this request, and the way out.
        headers: Headers of the response, such as Retry-After.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = one_line(detail)
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """Return the members of the problem; `type` is "about:blank", so `title` is the status's phrase."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }


def busy() -> ProblemError:
    """Return the problem of a service that has as many requests as it takes."""
    return ProblemError(503, "the service is busy; try again in a second", {"Retry-After": "1"})
