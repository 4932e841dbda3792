"""A cache in Redis, without which everything works as well, a little slower."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import redis

from flask_hardening.resilience import protect
from sample_app import settings

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 60


def remembered(key: str, find: Callable[[], int]) -> int:
    """Return a number from the cache, or find it and put it there."""
    try:
        found = _client(settings.redis_url()).get(key)
        if found is not None:
            return int(found)  # type: ignore[arg-type]
    except (redis.RedisError, ValueError):  # an open breaker is one of them
        return find()
    value = find()
    try:
        _client(settings.redis_url()).set(key, value, ex=_SECONDS)
    except redis.RedisError:
        return value
    return value


@functools.cache
def _client(url: str) -> redis.Redis:
    return protect(redis.Redis.from_url(url), name="cache")
