"""Which commands of Redis may be made again, and which of them wait for somebody."""

from __future__ import annotations

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
_WAITING = frozenset(
    "BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF MONITOR"
    " SUBSCRIBE PSUBSCRIBE SSUBSCRIBE".split()
)
_MAY_WAIT = frozenset({"XREAD", "XREADGROUP"})


def name_of(command: Sequence[object]) -> str:
    """Return the name of a command, in capitals: `MEMORY` of `MEMORY USAGE`."""
    return _text(command[0]).partition(" ")[0]


def may_repeat(command: Sequence[object]) -> bool:
    """Tell whether a command can be made twice without a difference to anybody."""
    name = name_of(command)
    if name in _SETS:  # keys and values may be called as they like
        return not any(_text(part) in _CONDITIONS for part in command[3:])
    if name == "XREAD":
        return not waits(command)
    return name in _AGAIN


def waits(command: Sequence[object]) -> bool:
    """Tell whether a command may wait for what others do, as long as it says itself."""
    name = name_of(command)
    if name in _MAY_WAIT:
        return any(_text(part) == "BLOCK" for part in command[1:])
    return name in _WAITING


def _text(part: object) -> str:
    if isinstance(part, bytes):
        part = part.decode("ascii", "replace")
    return part.upper() if isinstance(part, str) else ""
