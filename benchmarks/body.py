"""A JSON body of 2 kB as an invoicing API gets them, another one each time."""

from __future__ import annotations

import random

import orjson

_WORDS = (
    "annual maintenance of the heating system in the north wing including travel parts and"
    " disposal as agreed on the phone with your colleague second reminder"
).split()
_NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Margaret", "Dennis")


def bodies(count: int) -> list[bytes]:
    """Return so many bodies, the same ones at each call."""
    dice = random.Random(2026)
    return [orjson.dumps(_body(dice)) for _ in range(count)]


def _body(dice: random.Random) -> dict[str, object]:
    name = dice.choice(_NAMES)
    return {
        "invoice_number": f"INV-2026-{dice.randrange(10**6):06}",
        "issued_at": f"2026-11-{dice.randrange(1, 29):02}T10:{dice.randrange(60):02}:00Z",
        "due_at": f"2026-12-{dice.randrange(1, 29):02}T00:00:00Z",
        "currency": "EUR",
        "status": dice.choice(("draft", "sent", "paid", "overdue")),
        "customer": {
            "id": f"{dice.getrandbits(128):032x}",
            "first_name": name,
            "last_name": dice.choice(_NAMES) + "son",
            "email": f"{name.lower()}.{dice.randrange(999)}@example.com",
            "phone": f"+44 20 7{dice.randrange(999):03} {dice.randrange(9999):04}",
            "vat_registered": True,
            "address": {
                "street": f"{dice.randrange(200)} St James's Square",
                "city": "London",
                "postcode": "SW1Y 4JH",
                "country": "United Kingdom",
            },
        },
        "lines": [_line(dice) for _ in range(7)],
        "payment": {
            "method": "card",
            "card_number": "4111 1111 1111 1111",
            "cvv": f"{dice.randrange(1000):03}",
            "holder": name.upper(),
            "save_for_later": False,
        },
        "access_token": f"{dice.getrandbits(256):064x}",
        "notes": " ".join(dice.choices(_WORDS, k=24)),
        "metadata": {"source": "web", "campaign": "autumn-2026", "attempt": 1},
    }


def _line(dice: random.Random) -> dict[str, object]:
    return {
        "description": " ".join(dice.choices(_WORDS, k=8)),
        "quantity": dice.randrange(1, 9),
        "unit_price": f"{dice.randrange(500)}.{dice.randrange(100):02}",
        "vat_percent": 19,
    }
