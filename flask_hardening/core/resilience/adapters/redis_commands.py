"""Which commands of Redis may be made again, and which of them wait for somebody."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# made twice, neither what is stored nor what is answered differs; what isn't here isn't so
_AGAIN = frozenset(
    "BITCOUNT BITPOS DBSIZE DUMP ECHO EXISTS EXPIRETIME GEODIST GEOHASH GEOPOS GEOSEARCH GET"
    " GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS"
    " INFO KEYS LASTSAVE LCS LINDEX LLEN LPOS LRANGE MEMORY MGET MSET PEXPIRETIME PFCOUNT"
    " PING PSETEX PTTL RANDOMKEY SCAN SCARD SDIFF SETEX SINTER SINTERCARD SISMEMBER SMEMBERS"
    " SMISMEMBER SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TIME TOUCH TTL TYPE XINFO XLEN"
    " XPENDING XRANGE XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE"
    " ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYSCORE ZREVRANK"
    " ZSCAN ZSCORE ZUNION".split()
)
_SETS = frozenset({"SET", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"})
_CONDITIONS = frozenset({"NX", "XX", "GT", "LT", "GET", "IFEQ", "IFNE", "IFDEQ", "IFDNE"})
# where the time stands that each waits at most, and how many seconds it is counted in
_WAITING = {
    **dict.fromkeys("BLPOP BRPOP BLMOVE BRPOPLPUSH BZPOPMIN BZPOPMAX".split(), (-1, 1.0)),
    **dict.fromkeys(("BLMPOP", "BZMPOP"), (1, 1.0)),
    **dict.fromkeys(("WAIT", "WAITAOF"), (-1, 0.001)),
}
_MAY_WAIT = frozenset({"XREAD", "XREADGROUP"})
_ENDLESS = frozenset("MONITOR SUBSCRIBE PSUBSCRIBE SSUBSCRIBE".split())
_SLACK = 1.0  # seconds; a server looks at its clients' times now and then


def name_of(command: Sequence[object]) -> str:
    """Return the name of a command, in capitals: `MEMORY` of `MEMORY USAGE`."""
    return _text(command[0]).partition(" ")[0]


def may_repeat(command: Sequence[object]) -> bool:
    """Tell whether a command can be made twice without a difference to anybody."""
    name = name_of(command)
    if name in _SETS:  # keys and values may be called as they like
        return not any(_text(part) in _CONDITIONS for part in command[3:])
    if name == "XREAD":
        return not patience(command)
    return name in _AGAIN


def patience(command: Sequence[object]) -> float:
    """
    Return how long a command may wait for what others do, in seconds.

    It is 0 for one that waits for nobody, and infinite for one that waits for ever.
    """
    name = name_of(command)
    if name in _MAY_WAIT:
        words = [_text(part) for part in command[:-1]]
        if "BLOCK" not in words:
            return 0.0
        place, unit = words.index("BLOCK") + 1, 0.001
    elif name in _WAITING:
        place, unit = _WAITING[name]
    else:
        return math.inf if name in _ENDLESS else 0.0
    seconds = _number(command[place]) * unit
    return seconds + _SLACK if seconds > 0 else math.inf


def _number(part: object) -> float:
    """Return the number that a part of a command is; 0 if it is none."""
    try:
        return float(part) if isinstance(part, (bytes, str, int, float)) else 0.0
    except ValueError:
        return 0.0


def _text(part: object) -> str:
    if isinstance(part, bytes):
        part = part.decode("ascii", "replace")
    return part.upper() if isinstance(part, str) else ""
