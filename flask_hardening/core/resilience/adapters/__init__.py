"""Clients that can be protected, a module for each library, which alone imports it."""
