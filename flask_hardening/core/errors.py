"""
The exception tree, and which category any exception falls into.

    Exception
    ├── HardeningError              the house was used wrongly
    │   └── ConfigError             a setting is unknown, wrong or contradicts another
    └── AppError                    what an app raises and a client may see
        ├── ValidationError         422
        ├── AuthenticationError     401
        ├── AuthorizationError      403
        ├── NotFoundError           404
        ├── ConflictError           409
        ├── RateLimitError          429
        ├── DependencyError         502
        ├── UnavailableError        503
        └── DeadlineError           504
"""

from __future__ import annotations

import enum
import inspect
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class Category(enum.StrEnum):
    """What kind of thing went wrong, in a closed list that dashboards can group by."""

    VALIDATION = "validation"
    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    CLIENT = "client"
    DEPENDENCY = "dependency"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


STATUS_OF = {
    Category.VALIDATION: 422,
    Category.AUTHENTICATION: 401,
    Category.AUTHORIZATION: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.RATE_LIMIT: 429,
    Category.CLIENT: 400,
    Category.DEPENDENCY: 502,
    Category.TIMEOUT: 504,
    Category.UNAVAILABLE: 503,
    Category.INTERNAL: 500,
}
_CATEGORY_OF = {
    401: Category.AUTHENTICATION,
    403: Category.AUTHORIZATION,
    404: Category.NOT_FOUND,
    408: Category.TIMEOUT,
    409: Category.CONFLICT,
    410: Category.NOT_FOUND,
    412: Category.CONFLICT,
    422: Category.VALIDATION,
    423: Category.CONFLICT,
    428: Category.CONFLICT,
    429: Category.RATE_LIMIT,
    502: Category.DEPENDENCY,
    503: Category.UNAVAILABLE,
    504: Category.TIMEOUT,
}
SERVER_ERROR = 500
# RFC 9110; before 3.13 Python had older ones, and codes must not change with it
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def category_of(status: int) -> Category:
    """Return the category an HTTP status falls into."""
    fallback = Category.INTERNAL if status >= SERVER_ERROR else Category.CLIENT
    return _CATEGORY_OF.get(status, fallback)


def snake_case(name: str) -> str:
    """Return `OutOfStock` as `out_of_stock`, `Not Found` as `not_found`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", spaced).strip("_").lower()


def reason(status: int) -> str:
    """Return the standard phrase of an HTTP status, `Error` for unknown ones."""
    try:
        return _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"


class HardeningError(Exception):
    """Flask-Hardening was used in a way that can't work; the text says what to do."""


class ConfigError(HardeningError, ValueError):
    """Settings are unknown, impossible or contradict each other; names each and the fix."""


class AppError(Exception):
    """
    The request could not be carried out.

    Subclass it for what your clients should be told; everything on it reaches them.

    A subclass that names only a *category* gets that category's usual *status*, and a
    *code* made of its class name (`OutOfStock` is `out_of_stock`). Without a message the
    first line of the class's docstring is used.

    Args:
        message: For the client, a sentence or a list of them.
        details: More for the client, anything JSON can hold.
        headers: Response headers, for example `{"WWW-Authenticate": "Bearer"}`.
        retry_after: Seconds until a retry makes sense, sent as `Retry-After`
            (RFC 9110, section 10.2.3), rounded up.

    Attributes:
        status: HTTP status of the response.
        code: Stable text that client code can compare with.
        category: One of `Category`.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    category: ClassVar[Category] = Category.CLIENT

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "category" in own and "status" not in own:
            cls.status = STATUS_OF[cls.category]
        if "code" not in own:
            cls.code = snake_case(cls.__name__.removesuffix("Error") or cls.__name__)

    def __init__(
        self,
        message: str | list[str] | None = None,
        *,
        details: object = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message if message is not None else _first_line(type(self))
        self.details = details
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(0, -int(-retry_after // 1)))
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with everything a client would see: tasks send errors across processes."""
        return _rebuild, (type(self), self.message), self.__dict__


def _rebuild(cls: type[AppError], message: str | list[str]) -> AppError:
    return cls.__new__(cls, message)


def _first_line(cls: type) -> str:
    doc = inspect.cleandoc(cls.__doc__) if cls.__doc__ else ""
    return doc.partition("\n")[0] or cls.__name__


class ValidationError(AppError):
    """The request is not valid."""

    category = Category.VALIDATION
    code = "validation_failed"


class AuthenticationError(AppError):
    """Authentication is required."""

    category = Category.AUTHENTICATION
    code = "unauthorized"


class AuthorizationError(AppError):
    """This is not allowed."""

    category = Category.AUTHORIZATION
    code = "forbidden"


class NotFoundError(AppError):
    """There is no such thing."""

    category = Category.NOT_FOUND


class ConflictError(AppError):
    """The request conflicts with the present state."""

    category = Category.CONFLICT


class RateLimitError(AppError):
    """Too many requests."""

    category = Category.RATE_LIMIT
    code = "too_many_requests"


class DependencyError(AppError):
    """A service this one depends on failed."""

    category = Category.DEPENDENCY
    code = "dependency_failed"


class UnavailableError(AppError):
    """This is not available right now."""

    category = Category.UNAVAILABLE
    code = "service_unavailable"


class DeadlineError(AppError):
    """It took too long."""

    category = Category.TIMEOUT
    code = "timeout"
