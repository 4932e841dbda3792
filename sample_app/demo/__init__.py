"""The demo: the whole system on one machine, real traffic, and one request followed by its id."""
