"""Ordinary data pass unchanged: what holds no secret is nothing to hide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flask_hardening.core.redaction import active

CORPUS = json.loads(Path(__file__).with_name("innocent.json").read_text(encoding="utf-8"))
TEXTS: list[str] = CORPUS["texts"]
VALUES: list[dict[str, object]] = CORPUS["values"]


def _different(entries: list[object]) -> int:
    return len({json.dumps(entry, sort_keys=True) for entry in entries})


def test_there_are_enough_of_them():
    """The corpus has as many different texts and values as it takes to be worth asking."""
    assert len(TEXTS) == _different(TEXTS) >= 350
    assert len(VALUES) == _different(VALUES) >= 150


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_innocent_texts(text):
    """A text without a secret is shown as it is."""
    assert active().scrub(text) == text


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_innocent_values(value):
    """A value without a secret is copied as it is, whatever its names remind of."""
    assert active().clean(value) == value


def test_innocent_texts_together():
    """Nor do texts become secrets by what stands in the lines above and below them."""
    together = "\n".join(TEXTS)
    assert active().scrub(together, len(together)) == together
