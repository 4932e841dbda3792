"""`guard`: a call to the outside with all that keeps it from harming who makes it."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from flask_hardening.core import signals
from flask_hardening.core.resilience import calls
from flask_hardening.core.resilience.caller import Caller
from flask_hardening.core.resilience.errors import REJECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from types import TracebackType

    from flask_hardening.core.resilience.options import Profile

F = TypeVar("F", bound="Callable[..., Any]")
_NOTHING: Any = object()
_blocks: ContextVar[tuple[ExitStack, ...]] = ContextVar("hardening_blocks", default=())


class guard:  # noqa: N801 - it is used as a decorator and in `with`
    """
    Guard calls to a target: `@guard("geo")` over a function, or `with guard("geo"):`.

    In this order: the deadline is checked, the bulkhead entered, and the call made and made
    again through the breaker; *fallback* stands in for a call that was not let through or
    failed for good. A `with` block is not repeated, and has no fallback.

    Args:
        name: The target's name in settings, log lines and metrics. All guards of one name
            share breaker, budget and bulkhead.
        idempotent: Doing it twice is as good as doing it once. Else it is only repeated
            where it certainly was never sent.
        on: Further exceptions that are failures of the target, and passing ones.
        fallback: A value, or a function that gets the call's arguments.
        profile: `http`, `third_party`, `redis`, `database` or `queue`: what is right for
            such a target where nobody says otherwise.
        **options: See `Options`; settings win over them.

    Raises:
        ConfigError: The options contradict each other.
        TypeError: There is no such option.
    """

    def __init__(
        self,
        name: str,
        *,
        idempotent: bool = False,
        on: type[Exception] | tuple[type[Exception], ...] = (),
        fallback: Any = _NOTHING,  # noqa: ANN401
        profile: Profile = "http",
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.name = name
        self._caller = Caller(name, profile, options, on=on)
        self._idempotent = bool(idempotent)
        self._fallback = fallback

    def __call__(self, function: F) -> F:
        """Return the function, guarded."""
        if self._fallback is not _NOTHING:
            return calls.guarded(function, self._call, self._call_async, self._whole)
        how = "", self._idempotent
        call = functools.partial(self._caller.call, *how)
        call_async = functools.partial(self._caller.call_async, *how)
        return calls.guarded(function, call, call_async, self._whole)

    def __enter__(self) -> None:
        # one guard may stand round blocks in many threads and tasks at once
        _blocks.set((*_blocks.get(), self._caller.block()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        *outer, block = _blocks.get()
        _blocks.set(tuple(outer))
        return block.__exit__(kind, error, traceback)

    def _whole(self) -> ExitStack:
        return self._caller.block(timed=False)

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return self._caller.call("", self._idempotent, function, *args, **kwargs)
        except Exception as error:
            if not self._falls_back(error):
                raise
            return self._instead(args, kwargs)

    async def _call_async(
        self,
        function: Callable[..., Any],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        try:
            call = self._caller.call_async
            return await call("", self._idempotent, function, *args, **kwargs)
        except Exception as error:
            if not self._falls_back(error):
                raise
            found = self._instead(args, kwargs)
            return await found if inspect.isawaitable(found) else found

    def _instead(self, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        fallback = self._fallback
        return fallback(*args, **kwargs) if callable(fallback) else fallback

    def _falls_back(self, error: Exception) -> bool:
        if not isinstance(error, REJECTIONS) and self._caller.verdict(error) is not True:
            return False
        signals.tell(signals.fallback_used, signals.FallbackUsed(self.name, error))
        return True
