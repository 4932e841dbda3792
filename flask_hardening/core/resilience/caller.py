"""What guards and adapters make their calls through: deadline, bulkhead, retry(breaker(call))."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

from flask_hardening.core import signals
from flask_hardening.core.resilience import classes, deadline, targets
from flask_hardening.core.resilience.blocks import View
from flask_hardening.core.resilience.errors import (
    REJECTIONS,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)
from flask_hardening.core.resilience.options import Options, Profile, of_profile
from flask_hardening.core.resilience.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from flask_hardening.core.resilience.breaker import Breaker
    from flask_hardening.core.resilience.targets import Target

    Errors = Mapping[type[Exception], type[Exception]]

_REASONS = {
    CircuitOpenError: "breaker",
    BulkheadFullError: "bulkhead",
    DeadlineExceededError: "deadline",
}
_TOLD = "_hardening_told"


class Caller:
    """
    One kind of calls to a target; all callers of a name share breakers, budget and bulkhead.

    Args:
        name: The target's.
        profile: What is right for such a target where nobody says otherwise.
        options: Changes to that; settings win over them.
        on: Further exceptions that are failures of the target, and passing ones.
        errors: What is raised in place of each of the three rejections: classes that are
            also a library's own, made from the same arguments.

    Raises:
        ConfigError: The options are impossible or contradict each other, or there is no such
            profile.
        TypeError: There is no such option.
    """

    def __init__(
        self,
        name: str,
        profile: Profile = "http",
        options: Mapping[str, Any] | None = None,
        *,
        on: type[Exception] | tuple[type[Exception], ...] = (),
        errors: Errors | None = None,
    ) -> None:
        self._options = dict(options or {})
        of_profile(profile, self._options)  # a wrong one is found where it stands
        self.name = name
        self._profile: Profile = profile
        self._on = on
        self._errors = errors or {}
        self._known: tuple[Target, tuple[Retry, Retry]] | None = None
        targets.declare(name, profile, self._options)

    @property
    def target(self) -> Target:
        """What is called, in this process."""
        return self._lookup()[0]

    @property
    def options(self) -> Options:
        """How it is guarded."""
        return self._lookup()[0].options

    def call(
        self,
        key: str,
        idempotent: bool,  # noqa: FBT001 - what follows is the function's
        function: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """
        Make a call, and make it again if need be.

        Args:
            key: Host and port, where each has its own breaker; else empty.
            idempotent: Doing it twice is as good as doing it once.
            function: It.
            *args: Its arguments.
            **kwargs: The same.

        Raises:
            CircuitOpenError: The breaker let it not through.
            BulkheadFullError: Too many are under way.
            DeadlineExceededError: It would have begun too late.
        """
        try:
            target, retries = self._lookup()
            if deadline.current() is not None:
                deadline.check()
            retry, breaker = retries[idempotent], self._breaker(target, key)
            if target.options.limit is None:
                return retry.call(breaker.call, function, *args, **kwargs)
            with target.bulkhead:
                return retry.call(breaker.call, function, *args, **kwargs)
        except REJECTIONS as error:
            self._refuse(error)

    async def call_async(
        self,
        key: str,
        idempotent: bool,  # noqa: FBT001
        function: Callable[..., Awaitable[Any]],
        /,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Do the same, and await it."""
        try:
            target, retries = self._lookup()
            deadline.check()
            breaker = self._breaker(target, key)
            with target.bulkhead:
                retry = retries[idempotent]
                return await retry.call_async(breaker.call_async, function, *args, **kwargs)
        except REJECTIONS as error:
            self._refuse(error)

    def block(self, *, timed: bool = True) -> ExitStack:
        """
        Begin a call that is not repeated; it ends with what is returned.

        Args:
            timed: It may be slow; one that waits for somebody else as well is not.
        """
        try:
            target, _ = self._lookup()
            deadline.check()
            with ExitStack() as block:
                block.enter_context(target.bulkhead)
                block.enter_context(self._breaker(target, "").block(timed=timed))
                return block.pop_all()
        except REJECTIONS as error:
            self._refuse(error)

    def verdict(self, error: BaseException) -> bool | None:
        """Tell what an error says of the target."""
        if self._on and isinstance(error, self._on):
            return True
        return classes.is_failure(error)

    def _breaker(self, target: Target, key: str) -> Breaker | View:
        breaker = target.breaker(key)
        return View(breaker, self.verdict) if self._on else breaker

    def _refuse(self, error: Exception) -> NoReturn:
        """Raise the error that a rejection is for who calls, and tell of it once."""
        own = self._errors.get(type(error))
        raised = error if own is None else own(*error.args)
        if not vars(error).get(_TOLD):
            vars(raised)[_TOLD] = True
            reason = next(r for kind, r in _REASONS.items() if isinstance(raised, kind))
            refused = signals.CallRefused(self.name, reason, raised)
            signals.tell(signals.call_refused, refused)
            del refused
        try:
            if own is None:
                raise  # noqa: PLE0704 - who calls handles it
            raise raised.with_traceback(error.__traceback__) from error.__cause__
        finally:
            del error, raised  # its traceback leads to this frame

    def _lookup(self) -> tuple[Target, tuple[Retry, Retry]]:
        target = targets.active().target(self.name, self._profile, self._options)
        known = self._known
        if known is None or known[0] is not target:  # a process of a test's own has others
            retries = (
                self._retry(target, idempotent=False),
                self._retry(target, idempotent=True),
            )
            self._known = known = target, retries
        return known

    def _retry(self, target: Target, *, idempotent: bool) -> Retry:
        def transient(error: Exception) -> bool:
            if self._on and isinstance(error, self._on):
                return idempotent
            return classes.may_repeat(error, idempotent=idempotent)

        return Retry(self.name, target.options, transient=transient, budget=target.budget)
