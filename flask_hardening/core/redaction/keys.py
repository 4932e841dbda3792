"""Which names stand for secrets: by their last words, however they are spelt."""

from __future__ import annotations

import enum
import re
from fnmatch import translate
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Standing(enum.Enum):
    """
    What a name says of its value.

    Attributes:
        OPEN: Nothing: the value speaks for itself.
        SECRET: It is a secret.
        WEAK: It is a secret unless it is a word of everyday use, or a version: `auth` may be
            `ok`, and `session` a package.
        COUNTED: The same, and it may be any number: `tokens` may count them.
        PHONE: It is a telephone number if it has digits enough.
        HIDDEN: Nothing, but only what is allowed is shown.
    """

    OPEN = enum.auto()
    SECRET = enum.auto()
    WEAK = enum.auto()
    COUNTED = enum.auto()
    PHONE = enum.auto()
    HIDDEN = enum.auto()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[\W_]+")
_NUMBERED = re.compile(r"(?<=[^\W\d_])\d+(?=_|$)")
_DIGITS = "0123456789"

_SECRET = _words(
    "password passwords passwd passwds passphrase passphrases passcode passcodes pwd pw"
    " passwort kennwort wachtwoord senha contrasena contraseña motdepasse пароль 密码"
    " secret pin puk otp totp hotp cvv cvc csc"
    " iban ssn nino mnemonic aadhaar aadhar cpf pesel bsn curp personnummer passport"
    " apikey secretkey privatekey accesskey cardnumber cardno ccnumber ccnum accountnumber"
)
_WEAK = _words(
    "token jwt jws bearer cookie cookies authorization credential credentials creds auth"
    " oauth secrets"
    " csrf xsrf signature sig dsn session sessid phpsessid jsessionid aspsessionid"
)
_COUNTED = _words("tokens pass passports creditcard debitcard")
_ENDINGS = tuple(
    "password passwort passwd pwd passphrase secret apikey privatekey secretkey accesskey"
    " cardnumber accountnumber".split()
)
_WEAK_ENDINGS = tuple(
    "token sessionid sessid authorization signature credentials cookie".split()
)
_PAIRS = _words(
    "api_key private_key access_key secret_key encryption_key decryption_key signing_key"
    " hmac_key master_key account_key storage_key ssh_key pgp_key gpg_key license_key"
    " licence_key service_key auth_key shared_key session_key client_key consumer_key"
    " subscription_key function_key webhook_key deploy_key root_key aes_key rsa_key"
    " key_material session_id connect_sid session_sid"
    " card_number card_no card_num card_pan cc_number"
    " cc_num cc_no account_number account_no acct_number acct_no bank_account"
    " routing_number sort_code tax_id tax_number social_security national_id"
    " national_insurance security_number identity_number personal_number"
    " insurance_number passport_number passport_no passport_id driver_license"
    " drivers_license driving_licence driving_license license_number licence_number"
    " security_code security_answer secret_answer verification_code auth_code"
    " authorization_code recovery_code recovery_codes backup_code backup_codes mfa_code"
    " otp_code pin_code sms_code seed_phrase recovery_phrase connection_string conn_str"
    " mot_passe de_passe fiscal_code codice_fiscale steuer_id"
)
_LONG_PAIR = 9
_COUNTED_PAIRS = _words("credit_card debit_card bank_card")
_PHONE = _words("phone telephone tel fax msisdn phonenumber mobilenumber cellphone phones")
_PHONE_PAIRS = _words("phone_number phone_no mobile_number mobile_no fax_number tel_no")
# what may follow and still leave it a secret
_BEHIND = _words(
    "hash hashed value values confirm confirmation repeat repeated again old new current"
    " plain plaintext clear cleartext raw encoded encrypted decrypted b64 base header str"
    " string json param input data"
)
_BARE_BEHIND = frozenset(
    word + behind
    for word in ("password", "passwd", "secret", "token")
    for behind in (
        "hash",
        "confirm",
        "confirmation",
        "repeat",
        "again",
        "value",
        "new",
        "old",
    )
)
# the same written as one word: `encryptionkey`
_JOINED = tuple(pair.replace("_", "") for pair in _PAIRS if len(pair) >= _LONG_PAIR)
_ENDINGS += _JOINED
# a sid with any other word before it is the id of some service's own things
_ALSO_SECRET = _PAIRS | _BARE_BEHIND | {"_sid"}
# what stands in front of a word that otherwise names a secret
_INNOCENT = {
    "token": _words(
        "page next previous prev continuation pagination sync cursor stop eos bos pad unk"
        " cls sep mask lexer parse special current first last per fencing image audio video"
    ),
    "tokens": _words("stop special"),
    "signature": _words("function method call type email mail message block"),
    "session": _words(
        "training study work game conference yoga gym class trading therapy jam photo"
    ),
    "pin": _words("map drop gpio led"),
    "pass": _words("boarding ski bus day season first second render multi single"),
}
_LONGEST = 256
_SEEN = 4096


class Names:
    """
    The names that stand for secrets, ours and the user's.

    Args:
        more: Further names; `*` stands for any text. `member` is that word alone,
            `*_member` any name that ends with it.
        allowed: Names whose values are shown in spite of all else.
        allow_only: Show the values of *allowed* names and of *ours* alone.
        ours: Names that the house itself gives to fields.
        phones: Telephone numbers are secrets.
    """

    def __init__(
        self,
        more: Iterable[str] = (),
        allowed: Iterable[str] = (),
        *,
        allow_only: bool = False,
        ours: Iterable[str] = (),
        phones: bool = True,
    ) -> None:
        self._more = _matcher(more)
        self._allowed = _matcher(allowed)
        self._allow_only = allow_only
        self._ours = frozenset(ours)
        self._phones = phones
        self._seen: dict[str, Standing] = {}

    def standing(self, name: str) -> Standing:
        """Tell what a name in running text says of its value."""
        found = self._seen.get(name)
        if found is None:
            found = self._judge(name)
            if len(self._seen) >= _SEEN:  # names come from outside
                self._seen.clear()
            if len(name) <= _LONGEST:
                self._seen[name] = found
        return found

    def standing_of_field(self, name: str) -> Standing:
        """Tell what the name of a field or key says of its value."""
        found = self.standing(name)
        if found is Standing.OPEN and self._allow_only and name not in self._ours:
            allowed = self._allowed("_".join(words_of(name)))
            return Standing.OPEN if allowed else Standing.HIDDEN
        return found

    def _judge(self, name: str) -> Standing:
        words = words_of(name)
        plain = "_".join(words)
        if self._allowed(plain):
            return Standing.OPEN
        if self._more(plain):
            return Standing.SECRET
        found = _standing(words)
        return Standing.OPEN if found is Standing.PHONE and not self._phones else found


def words_of(name: str) -> list[str]:
    """Return the words of a name: `X-Api-Key`, `xApiKey` and `x.api[key]` have the same."""
    name = name[-_LONGEST:]
    if "%" in name:
        name = unquote_plus(name)
    spaced = _CAMEL.sub("_", name)
    found = [word.rstrip(_DIGITS) or word for word in _BETWEEN.split(spaced.lower())]
    return [word for word in found if word]


def _standing(words: list[str]) -> Standing:
    while len(words) > 1 and (words[-1] in _BEHIND or words[-1].isdecimal()):
        words = words[:-1]
    if not words:
        return Standing.OPEN
    last = words[-1]
    before = words[-2] if len(words) > 1 else ""
    pair = f"{before}_{last}"
    found = Standing.OPEN
    if before in _INNOCENT.get(last, ()):
        found = Standing.OPEN
    elif last in _COUNTED or pair in _COUNTED_PAIRS:
        found = Standing.COUNTED
    elif last in _SECRET or last.endswith(_ENDINGS) or {last, pair} & _ALSO_SECRET:
        found = Standing.SECRET
    elif last in _WEAK or last.endswith(_WEAK_ENDINGS):
        found = Standing.WEAK
    elif last in _PHONE or pair in _PHONE_PAIRS:
        found = Standing.PHONE
    return found


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells whether a name, as its words, is one of *patterns*."""
    plain = ["*".join(map(_spelt, pattern.split("*"))) for pattern in patterns]
    exact = {pattern.strip("_") for pattern in plain if "*" not in pattern}
    wild = [translate(pattern) for pattern in plain if "*" in pattern]
    any_of = re.compile("|".join(wild)).match if wild else None
    return lambda name: name in exact or (any_of is not None and any_of(name) is not None)


def _spelt(piece: str) -> str:
    """Return a piece of a pattern as `words_of` would spell it, with its outer bounds."""
    return _NUMBERED.sub("", _BETWEEN.sub("_", _CAMEL.sub("_", piece)).lower())
