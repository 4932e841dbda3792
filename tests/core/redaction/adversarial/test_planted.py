"""No stretch of a secret is shown, whatever it stands in and whatever stands beside it."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import itertools
import linecache
import logging
import random
import re
import time
import types
from typing import TYPE_CHECKING, NamedTuple

import orjson
import planted
import pytest
from campaign import search
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from planted import BARE, GAPS, LOOKS, PLACES, QUOTED, SPELLINGS, Secret, made, seen

from flask_hardening.core import logs, redaction
from flask_hardening.core.logs.encoding import to_json
from flask_hardening.core.logs.tracebacks import exception_fields
from flask_hardening.core.redaction import active
from flask_hardening.core.settings import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Planting = tuple[object, list[Secret]]

NAMES = planted.names()
LOOKING = planted.looks()
BARE_VALUES = made(planted.plain_value)
VALUES = made(planted.any_value)


# --- texts -----------------------------------------------------------------------------


def _leaks(texts: dict[str, str], *secrets: Secret) -> dict[str, tuple[str, str]]:
    """Return those of the texts that show a secret, and what they became."""
    shown = {place: active().scrub(text, len(text)) for place, text in texts.items()}
    return {p: (texts[p], shown[p]) for p in texts if seen(secrets, shown[p])}


@search(20)
@given(NAMES, BARE_VALUES, st.data())
@pytest.mark.parametrize("form", BARE)
def test_a_bare_secret_behind_its_name(form, name, secret, data):
    """A value without quotes is found by its name, in what people and programs write."""
    text = data.draw(planted.among(BARE[form](name, secret.text)))
    assert not _leaks({form: BARE[form](name, secret.text), "among others": text}, secret)


@search(20)
@given(NAMES, VALUES)
@pytest.mark.parametrize("form", QUOTED)
def test_a_quoted_secret_behind_its_name(form, name, secret):
    """A value of any characters is found by its name, if it is quoted or encoded."""
    assert not _leaks({form: QUOTED[form](name, secret.text)}, secret)


def _leaks_by_sign(form, signs: list[str]) -> dict[str, tuple[str, str]]:
    """Return what is shown of passwords with each of these signs in them."""
    shown: dict[str, tuple[str, str]] = {}
    for seed, sign in itertools.product(range(6), signs):
        secret = planted.parted(random.Random(seed), sign)
        shown |= _leaks({sign: form("password", secret.text)}, secret)
    return shown


@pytest.mark.parametrize("form", BARE)
def test_no_sign_ends_a_bare_secret(form):
    """A value without quotes goes on behind any sign that may stand in it."""
    assert not _leaks_by_sign(BARE[form], planted.BARE_SIGNS)


@pytest.mark.parametrize("form", QUOTED)
def test_no_sign_ends_a_quoted_secret(form):
    """A value with quotes goes on behind any sign."""
    assert not _leaks_by_sign(QUOTED[form], planted.SIGNS)


@search(60)
@given(planted.name_words(), BARE_VALUES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_name_in_any_spelling(spelling, words, secret):
    """However a name is spelt it says what it says, as a field and in a text."""
    name = SPELLINGS[spelling](words)
    forms = {**BARE, **QUOTED}
    asked = ("equals", "colon", "json", "query")
    assert not _leaks({form: forms[form](name, secret.text) for form in asked}, secret)
    assert not seen([secret], str(active().clean({name: secret.text})))


@search(60)
@given(planted.flat_names(), BARE_VALUES)
def test_a_name_without_bounds_between_its_words(name, secret):
    """`dbpassword` is one, too."""
    assert not _leaks({"equals": f"{name}={secret.text}"}, secret)


@search(20)
@given(planted.SEEDS)
@pytest.mark.parametrize("guise", planted.GUISES)
def test_a_password_that_looks_like_something_else(guise, seed):
    """A variable, a path or a sentence in a password's place is a password all the same."""
    secret = planted.disguised(guise, random.Random(seed))
    asked = ("json", "json in json", "repr", "dataclass", "query")
    texts = {form: QUOTED[form]("password", secret.text) for form in asked}
    shown = str(active().clean({"new_password": secret.text}))
    assert not _leaks(texts, secret) | ({"field": shown} if seen([secret], shown) else {})


@search(200)
@given(st.data(), NAMES, VALUES)
def test_json_that_is_cut_off(data, name, secret):
    """A document that ends in the midst of a secret, or behind it, shows none of it."""
    assert not _leaks({"cut": planted.cut_json(data.draw, name, secret)}, secret)


@search(40)
@given(st.data())
@pytest.mark.parametrize("kind", LOOKS)
def test_a_secret_by_its_looks(kind, data):
    """What looks like a secret is one wherever it stands, without a name."""
    secret = data.draw(made(LOOKS[kind]))
    assert not _leaks({place: put(secret.text) for place, put in PLACES.items()}, secret)


@search(40)
@given(st.data(), planted.SEEDS)
@pytest.mark.parametrize("kind", LOOKS)
def test_secrets_side_by_side(kind, data, seed):
    """Two secrets with a blank, a line's end or a sign between them are both found."""
    secret = data.draw(made(LOOKS[kind]))
    others = {other: LOOKS[other](random.Random(seed)) for other in LOOKS}
    gap = data.draw(GAPS)
    for other, beside in others.items():
        pair = {other: f"{secret.text}{gap}{beside.text}"}
        assert not _leaks(pair, secret, beside)


@search(200)
@given(st.data(), st.lists(LOOKING, min_size=1, max_size=3))
def test_secrets_among_innocent_words(data, secrets):
    """Words, numbers, dates and signs before and behind a secret change nothing."""
    text = data.draw(planted.among(*(secret.text for secret in secrets)))
    assert not _leaks({"text": text}, *secrets)


# --- values ----------------------------------------------------------------------------


@dataclasses.dataclass
class Login:
    """A dataclass whose field's name says what it holds."""

    user: object
    password: object


class Account(NamedTuple):
    """A tuple with names that nobody asks."""

    page: int
    note: object


class Told:
    """An object that says in its text what it holds."""

    def __init__(self, text: str):
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Told({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


_INNOCENT_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(allow_nan=False),
    planted.INNOCENT,
    st.dates(),
    st.just(decimal.Decimal("9.99")),
).map(lambda value: (value, []))
_PLAIN_FORMS = [BARE["equals"], BARE["colon"], QUOTED["json"], QUOTED["repr"]]
_NAMED_TEXTS = st.builds(
    lambda form, name, secret: (form(name, secret.text), [secret]),
    st.sampled_from(_PLAIN_FORMS),
    NAMES,
    BARE_VALUES,
)
_TEXTS = st.one_of(LOOKING.map(lambda secret: (secret.text, [secret])), _NAMED_TEXTS)
_KINDS: list[Callable[[str], object]] = [
    str,
    str,
    Text,
    planted.in_bytes,
    lambda text: bytearray(planted.in_bytes(text)),
    Told,
]
_HELD: list[Callable[[str], object]] = [
    *_KINDS,
    lambda text: [text],
    lambda text: (1, text),
    lambda text: {text},
    lambda text: {"value": text},
    lambda text: [{"a": {"b": text}}],
    lambda text: Login("bob", text),
]
_LEAVES = st.one_of(
    _INNOCENT_VALUES,
    st.builds(lambda kind, p: (kind(p[0]), p[1]), st.sampled_from(_KINDS), _TEXTS),
    st.builds(lambda p: ({p[0]: 1}, p[1]), _TEXTS),
    st.builds(lambda p: ({p[0], 7}, p[1]), _TEXTS),
    st.builds(lambda p: (frozenset({(7, Told(p[0]))}), p[1]), _TEXTS),
    st.builds(
        lambda n, s, hold: ({"user": "bob", n: hold(s.text)}, [s]),
        NAMES,
        VALUES,
        st.sampled_from(_HELD),
    ),
    st.builds(
        lambda s, hold: (Login("x", hold(s.text)), [s]), VALUES, st.sampled_from(_HELD)
    ),
    planted.SEEDS.map(lambda seed: _card_number(random.Random(seed))),
    planted.SEEDS.map(lambda seed: _numeric_password(random.Random(seed))),
)


def _card_number(rng: random.Random) -> Planting:
    digits = planted.card_digits(rng)
    return int(digits), [Secret(digits, (digits,))]


def _numeric_password(rng: random.Random) -> Planting:
    number = rng.randrange(10**11, 10**12)
    return {"password": number}, [Secret(str(number), (str(number),))]


def _joined(make: Callable[[list[object]], object]) -> Callable[[list[Planting]], Planting]:
    return lambda parts: (
        make([v for v, _ in parts]),
        [s for _, found in parts for s in found],
    )


def _named(values: list[object]) -> dict[str, object]:
    return {f"field_{n}": value for n, value in enumerate(values)}


_JOINED = [
    list,
    tuple,
    _named,
    lambda values: collections.OrderedDict(_named(values)),
    lambda values: collections.UserDict(_named(values)),
    lambda values: types.SimpleNamespace(**_named(values)),
    lambda values: collections.deque(values),
    lambda values: Account(7, values),
    lambda values: Login(values, "x"),
    lambda values: [*range(95), *values, *range(20)],
    lambda values: {**{str(n): n for n in range(95)}, **_named(values)},
    lambda values: [[[[[values]]]]],
]
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.builds(
        lambda join, parts: _joined(join)(parts),
        st.sampled_from(_JOINED),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=8,
)


@search(300)
@given(_TREES)
def test_secrets_anywhere_in_a_value(planting):
    """Nothing of them is in the copy, and the value itself is as it was."""
    value, secrets = planting
    before = copy.deepcopy(value)
    shown = active().clean(value)
    assert not seen(secrets, orjson.dumps(shown), str(shown))
    assert value == before


@search(100)
@given(st.lists(_TREES, max_size=3), NAMES, VALUES)
def test_secrets_anywhere_in_fields(plantings, name, secret):
    """Nor are they in the copy of a line's fields."""
    fields = {**_named([value for value, _ in plantings]), name: secret.text}
    secrets = [secret, *(s for _, found in plantings for s in found)]
    assert not seen(secrets, orjson.dumps(active().clean_fields(fields)))


_PAIRS = {
    "tuples": lambda n, v: [("Host", "x"), (n, v), ("Accept", "*/*")],
    "lists": lambda n, v: [["Host", "x"], [n, v], ["Accept", "*/*"]],
    "bytes": lambda n, v: [(b"host", b"x"), (n.encode(), v.encode())],
    "one tuple": lambda n, v: {"header": (n, v)},
    "command": lambda n, v: ["run", f"--{n}", v, "--verbose"],
    "name and value": lambda n, v: [{"name": n, "value": v}],
}


@search(30)
@given(NAMES, VALUES)
@pytest.mark.parametrize("form", _PAIRS)
def test_a_name_beside_its_value(form, name, secret):
    """Headers as a list of pairs, and a command as a list of words."""
    assert not seen([secret], str(active().clean(_PAIRS[form](name, secret.text))))


# --- lines -----------------------------------------------------------------------------


def _as_fields(planting: Planting) -> Planting:
    value, secrets = planting
    return {"field": value}, secrets


_FIELDS = _TREES.map(_as_fields) | st.builds(
    lambda n, s: ({n: s.text, "page": 2}, [s]), NAMES, VALUES
)


@search(100)
@given(_FIELDS, _TEXTS, _TEXTS)
def test_secrets_in_lines(outputs, fields, message, other):
    """In fields and messages, by way of loguru, of `logging` and of ourselves."""
    given_fields, secrets = fields
    text = message[0]
    logger.bind(**given_fields).info("{} {}", text, other[0])
    logger.opt(raw=False).warning(text.replace("{", "{{").replace("}", "}}"), x=other[0])
    logging.getLogger("shop").warning("%s", text, extra=given_fields)
    logging.getLogger("shop").error("got %(x)s", {"x": [text, given_fields]})
    logs.emit("INFO", "thing.done", text, "shop", {"a": given_fields, "b": other[0]})
    assert not seen([*secrets, *message[1], *other[1]], *outputs())


@search(60)
@given(_TREES)
def test_secrets_in_the_context_of_lines(outputs, planting):
    """In what loguru is told for all lines of a block, and in what warnings say."""
    value, secrets = planting
    with logger.contextualize(tenant=value):
        logger.info("x")
    logging.getLogger("py.warnings").warning("%s", {"x": value})
    assert not seen(secrets, *outputs())


class Failed(Exception):  # noqa: N818 - what it is called doesn't matter
    """An exception whose text is that of all its arguments."""


def _grouped(error: Exception) -> BaseException:
    return ExceptionGroup("some", [ExceptionGroup("more", [error]), KeyError("x")])


def _caused(error: Exception) -> BaseException:
    above = RuntimeError("above")
    above.__cause__ = error
    return above


def _in_context(error: Exception) -> BaseException:
    try:
        try:
            raise error
        except Exception:
            raise RuntimeError("above")  # noqa: B904 - the context is the point
    except RuntimeError as above:
        return above


def _noted(error: Exception) -> BaseException:
    above = RuntimeError("above")
    above.add_note(str(error))
    return above


_FAILURES: dict[str, Callable[[str], BaseException]] = {
    "text": ValueError,
    "arguments": lambda text: Failed("x", text, {"a": text}),
    "key": lambda text: KeyError(text),
    "bytes": lambda text: ValueError(planted.in_bytes(text)),
    "os": lambda text: OSError(2, text, text),
    "group": lambda text: _grouped(ValueError(text)),
    "cause": lambda text: _caused(KeyError(text)),
    "context": lambda text: _in_context(ValueError(text)),
    "note": lambda text: _noted(Failed(text)),
}


def _with_stack(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


@search(30)
@given(_TEXTS)
@pytest.mark.parametrize("way", _FAILURES)
def test_secrets_in_exceptions(outputs, way, planting):
    """In texts, arguments, causes, contexts, notes and groups, by each way to a line."""
    text, secrets = planting
    error = _with_stack(_FAILURES[way](text))
    logger.opt(exception=error).error("failed")
    logging.getLogger("shop").error("failed", exc_info=error)
    logs.emit("ERROR", "thing.failed", "failed", "shop", {}, error)
    logger.bind(error=error).error("failed: {!r}", error)
    assert not seen(secrets, *outputs())


def _raised_in(source: str) -> BaseException:
    """Run a program, and return what it raised: its lines stand in the traceback."""
    linecache.cache["planted.py"] = (len(source), None, [source], "planted.py")
    try:
        exec(compile(source, "planted.py", "exec"), {})
    except Exception as error:
        return error
    raise AssertionError(source)


@search(60)
@given(
    st.builds("_".join, st.tuples(st.sampled_from(["db", "new"]), st.just("password"))),
    VALUES,
)
def test_secrets_in_lines_of_source(outputs, name, secret):
    """A traceback shows the line that failed, and what may have been written into it."""
    error = _raised_in(f"connect({name}={secret.text!r})\n")
    logs.emit("ERROR", "thing.failed", "failed", "shop", {}, error)
    with pytest.raises(SyntaxError) as broken:
        compile(f"{name} = {secret.text!r} (", "x", "exec")
    logger.opt(exception=broken.value).error("failed")
    written = outputs()
    assert b"connect(" in written[0]
    assert not seen([secret], *written)


# --- what is cut -----------------------------------------------------------------------

_CUT = st.tuples(LOOKING, st.integers(-200, 400), st.integers(0, 400))
_BEFORE = st.lists(LOOKING.map(lambda s: s.text), max_size=3).map(" ".join)


def _filled(length: int, words: str = "lorem ipsum ") -> str:
    return (words * (length // len(words) + 1))[: max(0, length)] + " "


@search(150)
@given(_CUT, _BEFORE, st.sampled_from([110, 300, 2048]))
def test_a_secret_where_a_text_is_cut(cut, before, length):
    """It is left out or masked, not cut in two, however much was masked before it."""
    secret, offset, behind = cut
    text = f"{before} {_filled(length + offset - len(before))}{secret.text} {'z' * behind}"
    assert not seen([secret], active().scrub(text, length))


@search(150)
@given(_CUT, _BEFORE, st.sampled_from(["lorem ipsum ", "é", "漢字 ", "\udcff"]))
def test_a_secret_where_a_value_is_cut(cut, before, words):
    """The same for texts, bytes and names that are too long for a field."""
    secret, offset, behind = cut
    filled = _filled(8192 + offset - len(before), words)
    text = f"{before} {filled}{secret.text} {'z' * behind}"
    shown = active().clean([text, Text(text), Told(text)])
    assert not seen([secret], str(shown))


@search(150)
@given(_CUT, st.sampled_from(["lorem ipsum ", "é", "漢"]))
def test_a_secret_where_bytes_are_cut(cut, words):
    """They are cut by their number, and shown by their characters."""
    secret, offset, behind = cut
    filled = words.encode() * ((8192 + offset) // len(words.encode()))
    data = b"%s %s %s" % (filled, secret.text.encode(), b"z" * behind)
    assert not seen([secret], str(active().clean([data, bytearray(data)])))


@search(100)
@given(LOOKING, st.integers(60, 160))
def test_a_secret_where_a_name_is_cut(secret, before):
    """Names are cut, too."""
    shown = active().clean({f"{_filled(before)}{secret.text} z": 1})
    assert not seen([secret], str(shown))


@search(100)
@given(_CUT, _BEFORE)
def test_a_secret_where_the_text_of_an_exception_is_cut(cut, before):
    """In its text and in its stack."""
    secret, offset, behind = cut
    text = f"{before} {_filled(2048 + offset - len(before))}{secret.text} {'z' * behind}"
    assert not seen([secret], str(exception_fields(_with_stack(ValueError(text)))))
    long = f"{_filled(8100 + offset)}{secret.text} {_filled(20_000)}"
    assert not seen([secret], str(exception_fields(_with_stack(ValueError(long)))))


# --- modes -----------------------------------------------------------------------------


@pytest.fixture
def allowing() -> redaction.Redactor:
    """Show the values of two names and no others."""
    config = Redaction(mode="allow", allow_keys=("id", "kind"))
    return redaction.set_up(config, "a test")


_CORES = planted.SEEDS.map(lambda seed: planted.LOOKS["vendor"](random.Random(seed)))
_HIDDEN = st.builds(
    lambda name, secret, hold: ({name: hold(secret.traces[0])}, [secret]),
    st.sampled_from("note city count nickname ids kinds x idea Id-Card 0 名前".split()),
    _CORES,
    st.sampled_from([*_HELD, lambda text: Text(text), lambda text: {"id": 7, "b": text}]),
)
_NUMBERS = st.builds(
    lambda name, number: ({name: number}, [Secret(str(number), (str(number)[:8],))]),
    st.sampled_from("count total price".split()),
    st.integers(10**9, 10**10) | st.integers(10**9, 10**10).map(lambda n: n / 7),
)


@search(150)
@given(st.recursive(_HIDDEN | _NUMBERS, lambda inner: st.lists(inner, max_size=3).map(
    _joined(lambda values: {"id": 7, **_named(values)})), max_leaves=5))  # fmt: skip
def test_only_what_is_allowed_is_shown(allowing, planting):
    """In allow mode no value is shown whose name isn't allowed, however deep it stands."""
    value, secrets = planting
    shown = (allowing.clean(value), allowing.clean_fields(value), allowing.clean([value]))
    assert not seen(secrets, str(shown))


@search(60)
@given(st.text(st.characters(categories=["L"]), min_size=3), _CORES)
def test_what_is_allowed_is_shown(allowing, text, secret):
    """And a value whose name is allowed is shown, unless it looks like a secret."""
    assert allowing.clean({"id": text, "kind": secret.text}) == {"id": text, "kind": "***"}


KEY = "a key of a test, long enough"
_PSEUDONYM = re.compile(r"hmac:[0-9a-f]{16}")


@pytest.fixture
def naming() -> redaction.Redactor:
    """Put pseudonyms in the places of secrets."""
    return redaction.set_up(Redaction(replacement="hmac", hmac_key=KEY), "a test")


@search(100)
@given(_TREES, _TEXTS)
def test_pseudonyms_show_no_secret(naming, planting, text):
    """In values and in texts."""
    shown = (naming.clean(planting[0]), naming.scrub(text[0]))
    assert not seen([*planting[1], *text[1]], str(shown))


@search(100)
@given(LOOKING, LOOKING)
def test_equal_secrets_have_equal_pseudonyms(naming, secret, other):
    """And other secrets have others."""
    text = f"first {secret.text}\nthen {secret.text}, {{'note': '{secret.text}'}}"
    found = _PSEUDONYM.findall(naming.scrub(text))
    assert len(found) == 3
    assert len(set(found)) == 1
    (alone,) = _PSEUDONYM.findall(naming.scrub(other.text))
    assert (alone in found) is (secret.traces == other.traces)


@search(100)
@given(NAMES, NAMES, BARE_VALUES)
def test_a_secret_has_one_pseudonym_under_all_names(naming, name, other, secret):
    """In fields, JSON and texts, whatever it is called."""
    given_texts = [
        naming.clean({name: secret.text})[name],
        naming.scrub(f"{other}={secret.text}"),
        naming.scrub(QUOTED["json"](name, secret.text)),
        naming.scrub(BARE["option"](other, secret.text)),
    ]
    found = [_PSEUDONYM.findall(text) for text in given_texts]
    assert all(len(names) == 1 for names in found)
    assert len({names[0] for names in found}) == 1


# --- what is hostile -------------------------------------------------------------------


class Hostile:
    """Fails at whatever is asked of it."""

    def __repr__(self):
        raise RuntimeError

    __str__ = __eq__ = __bool__ = __len__ = __iter__ = __int__ = __bytes__ = __repr__
    __hash__ = object.__hash__


class HostileDict(dict):
    """A mapping that can't be looked at."""

    def __len__(self):
        raise RuntimeError

    items = keys = values = copy = __iter__ = __getitem__ = __len__


class EndlessDict(collections.UserDict):
    """A mapping without an end."""

    def __iter__(self) -> Iterator[str]:
        return map(str, itertools.count())

    def __getitem__(self, key):
        return self

    def __len__(self) -> int:
        return 10**9


class EndlessList(list):
    """A list without an end, of lists without an end."""

    def __iter__(self):
        return itertools.repeat(self)

    def __len__(self) -> int:
        return 10**9


class LyingText(str):
    """A text that doesn't know how long it is."""

    __slots__ = ()

    def __len__(self):
        return int("-1")

    def __str__(self):
        return self

    __getitem__ = __iter__ = __hash__ = __contains__ = encode = __len__


class Nameless(type):
    """A class that doesn't say its name."""

    @property
    def __name__(cls):
        raise RuntimeError


class NoClass:
    """An object that doesn't say what it is."""

    @property
    def __class__(self):
        raise RuntimeError


class Deep:
    """An object whose text has no end."""

    def __str__(self):
        return str(self)


class Kind(enum.Enum):
    """An enumeration of what can't be shown."""

    ONE = Hostile()


# by name: hypothesis wants to show what it draws from
_HOSTILE = {
    "object": Hostile(),
    "class": Hostile,
    "dict": HostileDict(),
    "dict with a key": HostileDict(a=1),
    "endless dict": EndlessDict(),
    "endless list": EndlessList(),
    "lying text": LyingText("password=x"),
    "class without a name": Nameless("X", (Hostile,), {})(),
    "no class": [NoClass()],
    "deep": Deep(),
    "enumeration": Kind.ONE,
    "dataclass": Login(Hostile(), Hostile()),
    "key": {Hostile(): 1},
    "key without an end": {Deep(): 1, "password": Deep()},
    "names": {"phone": Hostile(), "tokens": EndlessList()},
    "bytes": bytearray(b"\xff" * 9000),
    "memory": memoryview(b"x"),
    "huge": 10**5000,
    "negative": -(2**70),
    "range": range(10**12),
    "surrogates": "\ud800password=\udfff",
    "nul": "\0",
}
_ANY = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.complex_numbers(),
        st.decimals(),
        st.text(),
        st.text(st.characters(codec=None)),
        st.binary(),
        st.timedeltas(),
        st.uuids(),
        st.sampled_from(sorted(_HOSTILE)).map(lambda name: _HOSTILE[name]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), inner, max_size=4),
        st.builds(Login, inner, inner),
    ),
    max_leaves=8,
)


@search(300)
@given(_ANY)
def test_no_value_makes_it_raise(value):
    """Whatever a value does when it is looked at, there is a copy of it that JSON can hold."""
    shown = [active().clean(value), active().clean_fields({"a": value, "password": value})]
    line = to_json({"timestamp": dt.datetime.now(dt.timezone.utc), "a": shown})
    assert b"could not be encoded" not in line


@pytest.mark.parametrize("name", ["dict", "dict with a key", "key"])
def test_no_fields_make_it_raise(name):
    """Not even when it is the fields themselves that can't be looked at."""
    assert isinstance(active().clean_fields(_HOSTILE[name]), dict)


@search(300)
@given(st.lists(st.sampled_from(
    [*"=:\"'\\()[]{}<>@%-+., \n\0\ud800é٣1aA", "--", "password", "token=", "eyJ", "://",
     "%41", "bearer ", "[parameters: (", "</", "AA00", "-----BEGIN PRIVATE KEY-----"]
), max_size=60).map("".join))  # fmt: skip
def test_no_text_makes_it_raise(text):
    """Any text has a form that can be shown, and is not hidden as a whole for a failure."""
    assert active().scrub(text) == active()._scrubber.scrub(text)


# --- time ------------------------------------------------------------------------------

_REPEATED = [
    *(
        "=",
        ":",
        '"',
        "'",
        "\\",
        "(",
        "[",
        "{",
        "<",
        "@",
        "%",
        "-",
        ".",
        "+",
        "/",
        "_",
        "\n",
    ),
    *("1", "1 ", "1234 ", "1-", "+1 ", "(1", "1.", "4111 1111 ", "123-45-6789 ", "AA00 "),
    *("a=", "a:", "a@", "a.", "a@a.a", "é", "\0", "%41", "%2541", "%41 ", "a%", "\\u0041"),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "eyJ",
        "eyJ.",
        "/eyJ",
        "ghp_",
        "sk-ant-",
    ),
    *("--a ", "--a '", '--a "', "--password ", "<a>", "</", "<a ", "<password>", "('a', '"),
    *('["a", "', "bearer ", "bearer a", "basic QQ==", "token ", "://", "://a:", "://a:b@"),
    *("password", "password=", 'password="', "password=\\", 'password=\\"', "password: ("),
    *(
        "password=a,",
        "password=f(",
        "password = f(",
        "tokens=1 ",
        "phone=1",
        "cookie: ",
        "authorization:a",
    ),
    *("code=state=", "[parameters: (", "Failing row contains (", '\\"password\\":\\"'),
    *("password=null ", "a b c d=", " " * 79 + "=", "a" * 79 + "=", "aA" * 39 + "="),
]
# what makes it worth looking for all kinds of secrets
_SIGNS = " @ x@x.de \"' </ -- = : , \", ', eyJ AKIA_ PRIVATE KEY bearer basic 123456789"


def _seconds(text: str) -> float:
    """Return the time that one look at a text takes, the least of a few if it is long."""
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        active().scrub(text, len(text))
        least = min(least, time.process_time() - began)
        if least < 0.05:
            break
    return least


def _grows_too_fast(make: Callable[[int], str], size: int = 4096) -> bool:
    """Tell whether four times the text takes more than ten times the time."""
    more = _seconds(make(size * 4))
    return more > 0.05 and more > 10 * _seconds(make(size))


@pytest.mark.parametrize("signs", ["", _SIGNS], ids=["alone", "signs"])
@pytest.mark.parametrize("unit", _REPEATED, ids=lambda unit: repr(unit[:20]))
def test_time_grows_with_the_length(unit, signs):
    """Texts made to take long take time as their length does, not as its square."""

    def make(size: int) -> str:
        return (unit * size)[:size] + signs

    assert _seconds(make(8192)) < 3
    assert not _grows_too_fast(make)


@pytest.mark.parametrize(
    "unit", ["a", "1", "-", "é", "\\", "\0", "a@", "%41", "%2541", "%"]
)
def test_time_grows_with_the_length_where_something_is_encoded(unit):
    """The same where a text has a `%` behind a long piece without bounds."""
    assert not _grows_too_fast(lambda size: (unit * size)[:size] + " 100% %41")


@search(60)
@given(
    st.sampled_from(["", *_REPEATED]),
    st.lists(st.sampled_from(_REPEATED), min_size=1, max_size=3).map("".join),
    st.sampled_from(["", *_REPEATED, _SIGNS]),
)
def test_time_grows_with_the_length_of_any_mixture(before, unit, behind):
    """The same for any few of them one behind the other."""
    assert not _grows_too_fast(lambda size: before + (unit * size)[:size] + behind)


@pytest.mark.parametrize(
    "unit", ["=", "a:", "%41", "1234 ", "a@", "[parameters: (", "--a "]
)
def test_values_full_of_such_texts(unit):
    """As many of them as a value may hold take no time to speak of."""
    began = time.process_time()
    active().clean({"a": [(unit * 8192)[:8192] for _ in range(40)]})
    assert time.process_time() - began < 5
