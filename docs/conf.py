"""How Sphinx builds these pages: Markdown only, nothing fetched from the network."""

project = "flask-hardening"
author = "The flask-hardening authors"
extensions = ["myst_parser"]
exclude_patterns = ["_build", "benchmark.md"]
html_theme = "furo"
html_title = "flask-hardening"
html_copy_source = False
myst_heading_anchors = 3
