"""`protect` as a registry: who it takes, who may add to it, and what it says to others."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from flask_hardening.core.resilience import protection
from flask_hardening.core.resilience.protection import Entry, protect


class Client:
    """A client of a library that the core knows nothing of."""


@pytest.fixture
def library(monkeypatch):
    """A library and its adapter, which are loaded; what the adapter was asked."""
    asked = []
    module, adapter = ModuleType("a_library"), ModuleType("an_adapter")
    module.Client = Client
    adapter.protect = lambda *args: asked.append(args)
    monkeypatch.setitem(sys.modules, "a_library", module)
    monkeypatch.setitem(sys.modules, "an_adapter", adapter)
    monkeypatch.setattr(protection, "_entries", list(protection._entries))
    return asked


def test_others_register_themselves(library):
    """Its adapter is asked once, with what is right for such clients where nobody says more."""
    entry = Entry("a_library", "Client", "an_adapter", "queue", "queue")
    protection.register(entry)
    protection.register(entry)
    client = Client()
    assert protect(client, attempts=2) is client
    protect(client, attempts=2)
    assert library == [(client, "queue", "queue", {"attempts": 2})]


def test_what_it_does_not_know(library):
    """The error names what there is, and what it got."""
    with pytest.raises(TypeError, match=r"requests\.Session.*; got a .*\.Client"):
        protect(Client())
