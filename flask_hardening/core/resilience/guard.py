"""`guard`: a call to the outside with all that keeps it from harming who makes it."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from flask_hardening.core.resilience import calls, classes, deadline, targets
from flask_hardening.core.resilience.errors import REJECTIONS
from flask_hardening.core.resilience.options import PROFILES, Profile
from flask_hardening.core.resilience.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from flask_hardening.core.resilience.targets import Target

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
        ValueError: The options contradict each other.
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
        PROFILES[profile].changed(options)  # a wrong one is found where it stands
        self.name = name
        self._idempotent = idempotent
        self._on = on
        self._fallback = fallback
        self._profile = profile
        self._options = options
        self._known: tuple[Target, Retry] | None = None

    def __call__(self, function: F) -> F:
        """Return the function, guarded."""
        return calls.guarded(function, self._call, self._call_async, self._whole)

    def __enter__(self) -> None:
        # one guard may stand round blocks in many threads and tasks at once
        _blocks.set((*_blocks.get(), self._block(timed=True)))

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
        return self._block(timed=False)

    def _block(self, *, timed: bool) -> ExitStack:
        """Begin a call that is not repeated; it ends with what is returned."""
        target, _ = self._target()
        deadline.check()
        with ExitStack() as block:
            block.enter_context(target.bulkhead)
            block.enter_context(target.breaker(verdict=self._verdict).block(timed=timed))
            return block.pop_all()

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            target, retry = self._target()
            deadline.check()
            breaker = target.breaker(verdict=self._verdict)
            with target.bulkhead:
                return retry.call(breaker.call, function, *args, **kwargs)
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
            target, retry = self._target()
            deadline.check()
            breaker = target.breaker(verdict=self._verdict)
            with target.bulkhead:
                return await retry.call_async(breaker.call_async, function, *args, **kwargs)
        except Exception as error:
            if not self._falls_back(error):
                raise
            found = self._instead(args, kwargs)
            return await found if inspect.isawaitable(found) else found

    def _instead(self, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        fallback = self._fallback
        return fallback(*args, **kwargs) if callable(fallback) else fallback

    def _falls_back(self, error: Exception) -> bool:
        if self._fallback is _NOTHING:
            return False
        return isinstance(error, REJECTIONS) or self._verdict(error) is True

    def _target(self) -> tuple[Target, Retry]:
        target = targets.active().target(self.name, self._profile, self._options)
        known = self._known
        if known is None or known[0] is not target:  # a process of a test's own has others
            retry = Retry(
                self.name,
                target.options.retry(),
                transient=self._may_repeat,
                budget=target.budget,
            )
            self._known = known = target, retry
        return known

    def _verdict(self, error: BaseException) -> bool | None:
        return (
            True if self._on and isinstance(error, self._on) else classes.is_failure(error)
        )

    def _may_repeat(self, error: Exception) -> bool:
        if self._on and isinstance(error, self._on):
            return self._idempotent
        return classes.may_repeat(error, idempotent=self._idempotent)
