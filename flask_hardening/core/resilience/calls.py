"""Functions with a guard around each call: plain ones, coroutines, generators, async generators."""

from __future__ import annotations

import functools
import inspect
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextlib import AbstractContextManager

    Around = Callable[[], AbstractContextManager[Any]]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")


def guarded(
    function: F,
    call: Callable[..., Any],
    call_async: Callable[..., Awaitable[Any]],
    around: Around,
) -> F:
    """
    Return a function of the same kind, since others ask `inspect` for it.

    Args:
        function: It, or an object that can be called.
        call: Makes the call of a plain one: gets it and its arguments.
        call_async: The same for a coroutine.
        around: Makes what a generator runs in, from its first item on.
    """
    return cast(
        "F", functools.wraps(function)(_guarded(function, call, call_async, around))
    )


def _guarded(
    function: Callable[..., Any],
    call: Callable[..., Any],
    call_async: Callable[..., Awaitable[Any]],
    around: Around,
) -> Callable[..., Any]:
    if _is(inspect.isasyncgenfunction, function):
        return relaying(function, around)
    if _is(inspect.isgeneratorfunction, function):

        def items(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
            with around():
                return (yield from function(*args, **kwargs))

        return items
    if _is(inspect.iscoroutinefunction, function):

        async def wait(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            return await call_async(function, *args, **kwargs)

        return wait

    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return call(function, *args, **kwargs)

    return run


def relaying(
    function: Callable[P, AsyncGenerator[R, Any]], around: Around
) -> Callable[P, AsyncGenerator[R, Any]]:
    """Return an async generator function that hands on what is sent and thrown into it."""

    async def relay(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, Any]:
        # what `yield from` does for the others, and Python doesn't for these
        with around(), suppress(StopAsyncIteration):
            async with aclosing(function(*args, **kwargs)) as inner:
                item = await anext(inner)
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - it goes inside
                        item = await inner.athrow(error)
                    else:
                        item = await inner.asend(sent)

    return relay


def _is(check: Callable[[Any], bool], function: Any) -> bool:  # noqa: ANN401
    """Tell of what kind a function is, or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return check(function) or check(type(function).__call__)
