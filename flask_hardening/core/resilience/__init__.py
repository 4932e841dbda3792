"""Calls to the outside that survive a slow or dead dependency."""
