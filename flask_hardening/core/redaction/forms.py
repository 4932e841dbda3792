"""Ways to write a name with its value that have no sign between them: options, pairs, XML, form data, SQL."""

from __future__ import annotations

import re

# a sign without which the form isn't there, and the form: its first group is the name, its
# last one the value
_QUOTED_VALUE = r"b?([\"'])((?:\\.|(?!\%d)[^\\\0])*+)"
FORMS = (
    (
        "--",
        re.compile(
            r"--([A-Za-z][\w-]{0,80})[ \t]+(?!-)(?:\"([^\"\0]*)|'([^'\0]*)|([^\s\"'\0]+))"
        ),
    ),
    ("--", re.compile(r"--([A-Za-z][\w-]{0,80})[\"'],[ ]*" + _QUOTED_VALUE % 2)),
    # a pair in round brackets, or one of several in square ones; two of those alone are
    # more often a list of names
    *(
        (
            quote + ",",
            re.compile(
                rf"(?:\(|(?<=\[)\[|(?<=\],)\[|(?<=\], )\[)b?{quote}([^{quote}\0\n]{{1,80}}){quote}, ?"
                + _QUOTED_VALUE % 2
            ),
        )
        for quote in ("'", '"')
    ),
    (
        "</",
        re.compile(
            r"<(?:[\w.-]+:)?([\w.-]{1,80})(?:\s[^<>\0]*)?>(?:<!\[CDATA\[)?((?:(?!\]\]>)[^<\0])+)(?=</|\]\]>|\0|$)"
        ),
    ),
    (
        "form-data",
        re.compile(
            r"name=\"([^\"\0]{1,80})\"[^\r\n\0]*(?:\r?\n[^\r\n\0]+)*\r?\n\r?\n"
            r"((?:(?!\r?\n--)[^\0])*+)"
        ),
    ),
)
# what a statement was given, without names: SQLAlchemy, PostgreSQL, MySQL
ONLY_PLACEHOLDERS = re.compile(r"\((?:\?|%s|\$\d+|:\w+|%\(\w+\)s|DEFAULT|NULL|[ ,])*\)")
ROW_SIGNS = ("[parameters: ", "Failing row", "Duplicate entry", "VALUES")
ROW = re.compile(
    r"\[parameters: (?=[(\[])|Failing row contains (?=\()|Duplicate entry (?='.*?' for key)"
    r"|(?:INSERT|REPLACE) INTO [^\s(\0]{1,120} ?\(([^()\0]*)\) VALUES ?(?=\()",
    re.IGNORECASE,
)
# what may stand between a name and a quoted value in SQL
OPERATOR = re.compile(r"(?:\s(?:NOT\s+)?(?:I?LIKE|BY|IN)|\s*(?:<>|!=))\s*$", re.IGNORECASE)
