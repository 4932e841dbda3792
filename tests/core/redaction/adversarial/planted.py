"""Secrets as they look in the wild, each with a core that nothing else has, and where they stand."""

from __future__ import annotations

import base64
import itertools
import json
import random
import string
import textwrap
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, urlencode
from xml.sax.saxutils import escape

from hypothesis import strategies as st

_ALNUM = string.ascii_letters + string.digits
_WINDOW = 8
_FEW_DIGITS = 6  # a window of a number with fewer may be anybody's
_LAYERS = 3  # of percent-encoding


@dataclass(frozen=True)
class Secret:
    """
    A secret, and what must not be seen of it.

    Attributes:
        text: How it is written.
        traces: Stretches of it; where one of them is shown, the secret is.
    """

    text: str
    traces: tuple[str, ...]

    def is_in(self, shown: str) -> bool:
        """Tell whether a stretch of it stands in a text, also percent-encoded."""
        for _ in range(_LAYERS + 1):
            if any(trace in shown for trace in self.traces):
                return True
            shown = unquote_plus(shown)
        return False


def seen(secrets, *shown: str | bytes) -> list[str]:
    """Return the secrets that stand in any of the texts shown."""
    texts = [x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in shown]
    return [s.text for s in secrets if any(s.is_in(text) for text in texts)]


def _core(rng: random.Random, size: int = 10, alphabet: str = _ALNUM) -> str:
    """Return random characters, letters and digits among them, letters at both ends."""
    letters = [c for c in alphabet if c.isalpha()]
    inside = [rng.choice(alphabet) for _ in range(size - 3)] + [rng.choice(string.digits)]
    rng.shuffle(inside)
    return "".join([rng.choice(letters), *inside, rng.choice(letters)])


def _windows(*cores: str) -> tuple[str, ...]:
    return tuple(
        core[at : at + _WINDOW] for core in cores for at in range(len(core) - _WINDOW + 1)
    )


def _whole(text: str) -> Secret:
    return Secret(text, _windows(text))


def _number(text: str) -> Secret:
    """Return a secret of digits in groups: what is seen of it has digits enough."""
    found = [w for w in _windows(text) if sum(map(str.isdigit, w)) >= _FEW_DIGITS]
    return Secret(text, tuple(found))


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


# --- passwords and keys: a name must give them away ------------------------------------


# signs that a password may have without quotes, and those that quotes are for
BARE_SIGNS = [*"!$^*~#@?._+-%/", ""]
SIGNS = [
    *r"""" ' \ < > & ; , = : { } ( ) [ ] ` | é 漢 \" \' \n &x= %41 </ -- </b> := '' """.split(),
    *(" ", "\n", "\t", "', '", '", "', "\u2028", ", b: ", "; c=", '"""'),
]


def parted(rng: random.Random, sign: str) -> Secret:
    """Return a password of two random halves with a sign between them."""
    first, second = _core(rng), _core(rng)
    return Secret(first + sign + second, _windows(first, second))


def password(rng: random.Random) -> Secret:
    """Return one that may stand without quotes."""
    return parted(rng, rng.choice(BARE_SIGNS))


def any_password(rng: random.Random) -> Secret:
    """Return one of any characters."""
    return parted(rng, rng.choice(SIGNS))


# what a password may look like besides: a variable, a placeholder, a path, a sentence
GUISES = (
    "${}|${{{}}}|<{}>|{{{}}}|[{}]|({})|:{}|*{}*|?{}|/srv/{}|/{}/x|--{}|%{}%|{}.|v{}"
    "|My dog {} is good.|Correct horse {} battery staple!|it is {}|none {}|{} is required"
).split("|")


def disguised(guise: str, rng: random.Random) -> Secret:
    """Return a password that looks like what stands in the place of one."""
    core = _core(rng, 12)
    core = core.lower() if rng.random() < 0.5 else core
    return Secret(guise.format(core), _windows(core))


def _token(rng: random.Random) -> Secret:
    """Return what `secrets` and `uuid` make."""
    made = rng.choice(
        (
            "T" + base64.urlsafe_b64encode(rng.randbytes(32)).decode().rstrip("="),
            "T" + base64.b64encode(rng.randbytes(24)).decode(),
            rng.randbytes(20).hex(),
            _core(rng, 32),
        )
    )
    return _whole(made)


def plain_value(rng: random.Random) -> Secret:
    """Return a secret that may stand without quotes."""
    return rng.choice((password, _token))(rng)


def any_value(rng: random.Random) -> Secret:
    """Return a secret of any characters."""
    return rng.choice((any_password, any_password, password, _token))(rng)


# --- what is known by its looks --------------------------------------------------------


def _vendor(rng: random.Random) -> Secret:
    stem, size, alphabet = rng.choice(
        (
            ("ghp_", 36, _ALNUM),
            ("github_pat_", 40, _ALNUM + "_"),
            ("AKIA", 16, string.ascii_uppercase + string.digits),
            ("sk_live_", 24, _ALNUM),
            ("xoxb-123456789012-1234567890123-", 24, _ALNUM),
            ("glpat-", 20, _ALNUM + "-_"),
            ("AIza", 35, _ALNUM + "-_"),
            ("npm_", 36, _ALNUM),
        )
    )
    core = _core(rng, size, alphabet)
    return Secret(stem + core, _windows(core))


def _part(data: object) -> str:
    raw = json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _jwt(rng: random.Random) -> Secret:
    head = _part({"alg": "HS256", "typ": "JWT"})
    claims = base64.urlsafe_b64encode(rng.randbytes(48)).decode()
    core = _core(rng, 43, _ALNUM + "-_")
    return Secret(f"{head}.eyJzdWIiOiI{claims}.{core}", _windows(claims, core))


def _jwe(rng: random.Random) -> Secret:
    head = _part({"alg": "dir", "enc": "A128GCM"})
    cores = [_core(rng, size, _ALNUM + "-_") for size in (16, 60, 22)]
    return Secret(f"{head}..{'.'.join(cores)}", _windows(*cores))


def _bearer(rng: random.Random) -> Secret:
    core = _core(rng, 43, _ALNUM + "-_")
    return Secret(f"{rng.choice(('Bearer', 'bearer', 'BEARER'))} {core}", _windows(core))


def _basic(rng: random.Random) -> Secret:
    core = base64.b64encode(f"bob:{_core(rng, 20)}".encode()).decode()
    return Secret(f"Basic {core}", _windows(core[6:]))


def _luhn(digits: str) -> str:
    """Return the digit that makes *digits* right."""
    doubled = [int(d) * (2 - n % 2) for n, d in enumerate(reversed(digits))]
    return str(-sum(n // 10 + n % 10 for n in doubled) % 10)


def card_digits(rng: random.Random) -> str:
    """Return the number of a payment card, in one piece."""
    issuer, length = rng.choice((("4", 16), ("5" + rng.choice("12345"), 16), ("37", 15)))
    bare = issuer + _digits(rng, length - len(issuer) - 1)
    return bare + _luhn(bare)


def _card(rng: random.Random) -> Secret:
    digits = card_digits(rng)
    cuts = (0, 4, 10, 15) if len(digits) == 15 else (0, 4, 8, 12, 16)
    groups = [digits[a:b] for a, b in itertools.pairwise(cuts)]
    return _number(rng.choice(("", " ", "-")).join(groups))


# digits and letters of the account numbers of a few countries
_ACCOUNTS = {
    "DE": "n" * 18,
    "GB": "aaaa" + "n" * 14,
    "FR": "n" * 10 + "c" * 11 + "nn",
    "NL": "aaaa" + "n" * 10,
    "ES": "n" * 20,
    "CH": "n" * 5 + "c" * 12,
    "IT": "a" + "n" * 10 + "c" * 12,
    "BE": "n" * 12,
    "NO": "n" * 11,
    "PL": "n" * 24,
}
_CLASSES = {
    "n": string.digits,
    "a": string.ascii_uppercase,
    "c": string.ascii_uppercase + string.digits,
}


def _iban(rng: random.Random) -> Secret:
    country = rng.choice(sorted(_ACCOUNTS))
    account = "".join(rng.choice(_CLASSES[kind]) for kind in _ACCOUNTS[country])
    value = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    whole = f"{country}{98 - value % 97:02}{account}"
    grouped = " ".join(textwrap.wrap(whole, 4)) if rng.random() < 0.5 else whole
    return _whole(grouped)


def _ssn(rng: random.Random) -> Secret:
    area = rng.choice([*range(1, 666), *range(667, 900)])
    return _number(f"{area:03}-{rng.randrange(1, 100):02}-{rng.randrange(1, 10000):04}")


def _pem(rng: random.Random) -> Secret:
    kind = rng.choice(("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "))
    lines = textwrap.wrap(base64.b64encode(rng.randbytes(150)).decode(), 64)
    ends = [f"-----{end} {kind}PRIVATE KEY-----" for end in ("BEGIN", "END")]
    traces = [line[at : at + 12] for line in lines for at in range(0, len(line) - 11, 12)]
    return Secret("\n".join([ends[0], *lines, ends[1]]), tuple(traces))


def _url(rng: random.Random) -> Secret:
    first, second = _core(rng), _core(rng)
    word = first + rng.choice(("", "%40", "%2F", "!", "$", "@", "/", ":", "~")) + second
    form = rng.choice(
        (
            "postgres://app:{}@db/shop",
            "postgresql+psycopg://app:{}@db.example.com:5432/shop",
            "redis://:{}@cache:6379/0",
            "amqp://guest:{}@rabbit//",
            "mongodb+srv://u:{}@h1,h2/db?w=1",
            "https://bob:{}@example.com/x?page=2",
            "ftp://bob:{}@localhost",
        )
    )
    if rng.random() < 0.2:
        form, word, second = "https://{}@example.com/repo.git", first, first
    return Secret(form.format(word), _windows(first, second))


def _email(rng: random.Random) -> Secret:
    core = _core(rng)
    names = "bob ada.lovelace beatrice beate workman celery.smith git.miller o-neil"
    local = f"{rng.choice(names.split())}{rng.choice(('.', '+', '_', '-'))}{core}"
    hosts = "example.com mail.example.co.uk bücher.example xn--bcher-kva.example пример.рф"
    return Secret(f"{local}@{rng.choice(hosts.split())}", _windows(core))


def _filled(rng: random.Random, form: str) -> str:
    return "".join(
        rng.choice(string.digits)
        if c == "#"
        else rng.choice(string.digits[2:])
        if c == "N"
        else c
        for c in form
    )


_PHONES = (
    "+49 17# ###N###|+49 30 N#######|+4917#N######|+49-17#-N######|+44 20 N### ####"
    "|+44 (0) 20 N### ####|+33 6 ## ## ## ##|+33.6.##.##.##.##|+39 3N# ### ####"
    "|+91 9#### #####|+81 90-N###-####|+7 912 ###-##-##|+55 11 9####-####|+61 4N# ### ###"
    "|+1 N## N## ####|+1-N##-N##-####|+1.N##.N##.####|+1 (N##) N##-####|+1N##N######"
    "|(N##) N##-####|N##-N##-####|N##.N##.####|1-N##-N##-####|1 (N##) N##-####"
).split("|")


def _phone(rng: random.Random) -> Secret:
    return _number(_filled(rng, rng.choice(_PHONES)))


LOOKS = {
    "vendor": _vendor,
    "jwt": _jwt,
    "jwe": _jwe,
    "bearer": _bearer,
    "basic": _basic,
    "card": _card,
    "iban": _iban,
    "ssn": _ssn,
    "pem": _pem,
    "url": _url,
    "email": _email,
    "phone": _phone,
}
SEEDS = st.integers(0, 2**64 - 1)


def made(make) -> st.SearchStrategy[Secret]:
    """Return the strategy of what a function makes of random numbers."""
    return SEEDS.map(lambda seed: make(random.Random(seed)))


def looks() -> st.SearchStrategy[Secret]:
    """Return secrets that are known by their looks."""
    return st.sampled_from(sorted(LOOKS)).flatmap(lambda kind: made(LOOKS[kind]))


# --- names -----------------------------------------------------------------------------

_WORDS = [
    tuple(words.split())
    for words in (
        "password|passwd|pwd|passphrase|secret|client secret|token|access token"
        "|refresh token|auth token|csrf token|api key|private key|secret key|access key"
        "|encryption key|session id|jwt|otp|pin|cvv|signature|credentials|dsn"
        "|card number|account number|recovery code"
    ).split("|")
]
_PREFIXES = [
    tuple(words.split())
    for words in "||user|new|db|my|old|admin|smtp|login|stripe|x|current user".split("|")
]
_SUFFIXES = ["", "", "", "", "1", "2", "hash", "confirmation", "value", "_2"]
SPELLINGS = {
    "camel": lambda words: words[0] + "".join(w.capitalize() for w in words[1:]),
    "pascal": lambda words: "".join(w.capitalize() for w in words),
    "snake": "_".join,
    "kebab": "-".join,
    "upper": lambda words: "_".join(words).upper(),
    "train": lambda words: "-".join(w.capitalize() for w in words),
    "dotted": ".".join,
    "bracketed": lambda words: words[0] + "".join(f"[{w}]" for w in words[1:]),
    "spaced": " ".join,
    "title": lambda words: " ".join(w.capitalize() for w in words),
}
_USUAL = ("camel", "pascal", "snake", "kebab", "upper", "train")


def _words(prefix: tuple[str, ...], word: tuple[str, ...], suffix: str) -> list[str]:
    words = [*prefix, *word]
    if suffix.isdecimal():
        words[-1] += suffix
    elif suffix:
        words.append(suffix.strip("_"))
    return words


def name_words() -> st.SearchStrategy[list[str]]:
    """Return the words of names that stand for secrets."""
    prefixes, words, suffixes = map(st.sampled_from, (_PREFIXES, _WORDS, _SUFFIXES))
    return st.builds(_words, prefixes, words, suffixes)


_LONG = "password passwd pwd passphrase secret token".split()


def flat_names() -> st.SearchStrategy[str]:
    """Return names in small letters without anything between their words."""
    long = [words for words in _WORDS if len(words) > 1 or words[0] in _LONG]
    parts = st.sampled_from(_PREFIXES), st.sampled_from(long), st.sampled_from(["", "2"])
    return st.builds(_words, *parts).map("".join)


def names() -> st.SearchStrategy[str]:
    """Return names of secrets, spelt as programs spell them."""
    return st.builds(
        lambda spelling, words: SPELLINGS[spelling](words),
        st.sampled_from(_USUAL),
        name_words(),
    )


# --- where they stand ------------------------------------------------------------------


def _nested(document: str, times: int) -> str:
    for _ in range(times):
        document = json.dumps({"id": 7, "body": document})
    return document


def _encoded(text: str, times: int, safe: str = "") -> str:
    for _ in range(times):
        text = quote(text, safe=safe)
    return text


def _record(name: str, value: str) -> dict[str, object]:
    return {"user": "bob", name: value, "page": 2}


def _form(name: str, value: str) -> str:
    return urlencode(_record(name, value))


def _multipart(name: str, value: str) -> str:
    head = f'Content-Disposition: form-data; name="{name}"'
    return f"--b0undary\r\n{head}\r\n\r\n{value}\r\n--b0undary--\r\n"


def _sql(value: str) -> str:
    return value.replace("\\", r"\\").replace("'", "''")


# what a name and a value that needs no quotes may stand in
BARE = {
    "equals": lambda n, v: f"{n}={v}",
    "equals and spaces": lambda n, v: f"user = bob, {n} = {v}, page = 2",
    "colon": lambda n, v: f"login with {n}: {v}",
    "tight colon": lambda n, v: f"{n}:{v}",
    "lines": lambda n, v: f"{n}={v}\n{n}:{v}\nx=1",
    "arrow": lambda n, v: f"{{:{n} => {v}, :page => 2}}",
    "connection string": lambda n, v: f"Server=db;User=sa;{n}={v};Timeout=5",
    "option": lambda n, v: f"run --{n} {v} --verbose",
    "option with equals": lambda n, v: f"run --{n}={v} --verbose",
    "header": lambda n, v: f"GET / HTTP/1.1\r\nHost: x\r\n{n}: {v}\r\nAccept: */*\r\n",
    "environment": lambda n, v: f"PATH=/bin\nexport {n}={v}\nHOME=/root\n",
    "yaml": lambda n, v: f"user: bob\n{n}: {v}\nport: 5\n",
    "yaml block": lambda n, v: f"user: bob\n{n}: |\n  {v}\nport: 5\n",
    "lines in json": lambda n, v: json.dumps(
        {"log": f"user: bob\n{n}: {v}\nport: 5\r\n{n}={v}\t{n}={v}"}
    ),
    "lines in json in json": lambda n, v: _nested(json.dumps([f"a\n{n}={v}\n{n}: {v}"]), 1),
    "lines in repr": lambda n, v: repr(f"Host: x\r\n{n}: {v}\r\n{n}={v}\t{n}={v}"),
    "lines in bytes": lambda n, v: repr(f"Host: x\r\n{n}: {v}\r\n{n}={v}\n".encode()),
    "logfmt": lambda n, v: f"level=info {n}={v} user=bob",
    "loose json": lambda n, v: f"{{user: bob, {n}: {v}, page: 2}}",
    "cookie": lambda n, v: f"Cookie: theme=dark; {n}={v}; x=1",
    "quoted cookie": lambda n, v: f'Cookie: theme="dark"; {n}="{v}"; x=1',
    "set-cookie": lambda n, v: f"Set-Cookie: {n}={v}; Path=/; HttpOnly",
    "sql key": lambda n, v: f"DETAIL:  Key ({n})=({v}) already exists.",
    "sql row": lambda n, v: f"DETAIL:  Failing row contains (1, bob, {v}, null).",
    "mysql duplicate": lambda n, v: f"Duplicate entry '{v}' for key 'users.{n}'",
    "t-sql": lambda n, v: f"EXEC login @user = N'bob', @{n} = N'{v}'",
    "sql like": lambda n, v: f"SELECT 1 FROM users WHERE {n} LIKE '{v}%' LIMIT 1",
    "sql in": lambda n, v: f"SELECT 1 FROM users WHERE {n} IN ('a', '{v}') LIMIT 1",
    "sql unequal": lambda n, v: f"SELECT 1 FROM users WHERE {n} <> '{v}' LIMIT 1",
    "sql role": lambda _, v: f"ALTER ROLE bob WITH PASSWORD '{v}'",
    "json without a closing quote": lambda n, v: f'{{"{n}": "{v}, "page": 2}}',
    "json without an opening quote": lambda n, v: f'{{"{n}": {v}", "page": 2}}',
    "json without a name's quote": lambda n, v: f'{{"user": "bob", {n}": "{v}"}}',
    "json with python's quotes": lambda n, v: f"{{'{n}': '{v}', \"page\": true}}",
    "call": lambda n, v: f"{n}=SecretStr('{v}') ok=True",
    "three quotes": lambda n, v: f'{n} = """{v}"""\nx = 1',
    "digest": lambda n, v: f'Authorization: Digest username="bob", response="{v}"',
}
# what quotes or encodes any value
QUOTED = {
    "json": lambda n, v: json.dumps(_record(n, v)),
    "json in unicode": lambda n, v: json.dumps(_record(n, v), ensure_ascii=False),
    "tight json": lambda n, v: json.dumps(_record(n, v), separators=(",", ":")),
    "json lines": lambda n, v: json.dumps(_record(n, v), indent=2),
    "list in json": lambda n, v: json.dumps({n: ["a", v]}),
    "object in json": lambda n, v: json.dumps({n: {"value": v}}),
    "json in json": lambda n, v: _nested(json.dumps(_record(n, v)), 1),
    "json in json in json": lambda n, v: _nested(json.dumps(_record(n, v)), 2),
    "json, four deep": lambda n, v: _nested(json.dumps(_record(n, v)), 3),
    "repr of json": lambda n, v: repr(json.dumps(_record(n, v))),
    "json of repr": lambda n, v: json.dumps({"body": repr(_record(n, v))}),
    "repr": lambda n, v: repr(_record(n, v)),
    "repr of bytes": lambda n, v: repr({n.encode(): v.encode()}),
    "repr of pairs": lambda n, v: repr([("user", "bob"), (n, v), ("page", "2")]),
    "repr of pairs of bytes": lambda n, v: repr([(n.encode(), v.encode())]),
    "repr of a command": lambda n, v: repr(["run", f"--{n}", v, "--verbose"]),
    "dataclass": lambda n, v: f"User(name='bob', {n}={v!r}, page=2)",
    "f-string": lambda n, v: f"{n}={v!r}",
    "query": lambda n, v: f"GET /x?{_form(n, v)} HTTP/1.1",
    "query of quote": lambda n, v: f"/x?a=1&{quote(n)}={quote(v)}&b=2",
    "query with an encoded name": lambda n, v: f"?a=1&{quote(f'u[{n}]')}={quote(v)}",
    "url in a query": lambda n, v: f"/in?next={_encoded(f'/x?{_form(n, v)}', 1)}&a=1",
    "url in a query, twice": lambda n, v: f"/in?next={_encoded(f'/x?{_form(n, v)}', 2)}",
    "url in a query, with slashes": lambda n, v: f"?u={_encoded(f'/x?{n}={v}', 1, '/')}",
    "json in a query": lambda n, v: urlencode({"q": json.dumps(_record(n, v)), "a": 1}),
    "json in json in a form": lambda n, v: urlencode({"q": _nested(json.dumps({n: v}), 1)}),
    "multipart": _multipart,
    "xml": lambda n, v: f"<user id='1'><{n}>{escape(v)}</{n}></user>",
    "sql update": lambda n, v: f"UPDATE users SET {n} = '{_sql(v)}' WHERE id = 1",
    "sql insert": lambda n, v: f"INSERT INTO users (id, {n}) VALUES (1, '{_sql(v)}')",
    "sql parameters": lambda n, v: f"[SQL: x]\n[parameters: {_record(n, v)}]\n(see 1)",
    "sql positions": lambda n, v: f"[SQL: x]\n[parameters: {('bob', v)}]\n(see 1)",
    "sql batch": lambda n, v: f"[SQL: x]\n[parameters: [{('a', v)}, ('b', 'c')]]",
    "source": lambda n, v: f"    connect(host='db', {n}={v!r})\n    ^^^^^^^",
    "pydantic": lambda n, v: (
        f"1 validation error for Login\n{n}\n  String should have at most 3 characters "
        f"[type=string_too_long, input_value={v!r}, input_type=str]\n"
    ),
    "jsonschema": lambda n, v: (
        f"Failed validating 'maxLength' in schema['properties'][{n!r}]:\n"
        f"    {{'maxLength': 3}}\n\nOn instance[{n!r}]:\n    {v!r}"
    ),
}


def cut_json(draw: st.DrawFn, name: str, secret: Secret) -> str:
    """Return a JSON document, perhaps one in another, that ends within or behind a secret."""
    document = _nested(json.dumps(_record(name, secret.text)), draw(st.integers(0, 2)))
    begin = max(document.find(trace) for trace in secret.traces[:1])
    return document[: draw(st.integers(begin + _WINDOW, len(document)))]


def in_bytes(text: str) -> bytes:
    """Return a text as bytes that Python shows as they are, or none."""
    return text.encode() if text.isascii() else b""


# where what is known by its looks may stand
PLACES = {
    "alone": lambda s: s,
    "sentence": lambda s: f"They gave us {s}, and then {s}.",
    "brackets": lambda s: f"({s}) [{s}] {{{s}}} <{s}>",
    "quotes": lambda s: f"'{s}' \"{s}\" `{s}`",
    "behind an innocent name": lambda s: f"note={s} note: {s}",
    "lines": lambda s: f"one\n{s}\ntwo\r\n{s}\r\n",
    "json of lines": lambda s: json.dumps({"note": f"one\n{s}\ntwo\r\n{s}\t{s}\\{s}"}),
    "json in json of lines": lambda s: _nested(json.dumps([f"one\n{s}\t{s}\r\n{s}"]), 1),
    "repr of lines": lambda s: repr((f"one\n{s}\ntwo\r\n{s}\t{s}", in_bytes(f"\n{s}"))),
    "table": lambda s: f"1\t{s}\t2 | {s} | 3;{s};4",
    "csv": lambda s: f'1,{s},2\n3,"{s}",4',
    "json": lambda s: json.dumps({"note": s, s: [s], "page": 2}),
    "json in json": lambda s: _nested(json.dumps({"note": s}), 1),
    "json, four deep": lambda s: _nested(json.dumps([s]), 3),
    "cut json": lambda s: json.dumps({"note": s, "page": 2})[:-12],
    "repr": lambda s: repr({"note": s, s: (s, in_bytes(s))}),
    "header": lambda s: f"X-Note: {s}\r\nAccept: */*",
    "query": lambda s: f"/x?{urlencode({'note': s, 'page': 2})}",
    "query of quote": lambda s: f"/x?page=2&note={quote(s)}",
    "query of quote, all": lambda s: f"/x?page=2&note={quote(s, safe='')}",
    "query of quote, twice": lambda s: f"/x?page=2&note={_encoded(s, 2)}",
    "json in a query": lambda s: urlencode({"q": json.dumps({"note": s})}),
    "path": lambda s: f"GET /reset/{quote(s, safe='')}/x HTTP/1.1",
    "xml": lambda s: f"<note>{s}</note><x note='{s}'/>",
    "markdown": lambda s: f"* **{s}**\n* [{s}](x)",
    "log line": lambda s: f"2024-05-01 12:00:44,512 [INFO] shop: got {s} (7 ms)",
    "sql": lambda s: f"Key (note)=({s}) exists; Duplicate entry '{s}' for key 'users.note'",
    "exception": lambda s: f"KeyError: {s!r}\nValueError: bad {s}",
}

# what may stand beside a secret without saying anything of it
INNOCENT = st.sampled_from(
    "order|paid|QX7781|7|42|2024-05-01|12:00:44|€ 9.99|ok|naïve|名前|user_id=7|page: 2|(see"
    "|below)|-|--|/|…|a/b|100%|x=1|[INFO]|GET|/orders/7|1.5|{|}|'|\"|\\|it's|=|:|&|<|>|@|+"
    "|3 items|v2.0.1|10.0.0.1|\n|\r\n|\t|#7|null".split("|")
)
GAPS = st.sampled_from([" ", " ", "\n", ", ", "; ", " | ", "\t"])


@st.composite
def among(draw: st.DrawFn, *secrets: str) -> str:
    """Return a text in which texts with secrets stand between innocent words."""
    words = draw(st.lists(INNOCENT, max_size=6))
    for text in secrets:
        words.insert(draw(st.integers(0, len(words))), text)
    return "".join(word + draw(GAPS) for word in words)
