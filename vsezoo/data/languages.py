"""The languages of captions, as the names of columns and files give them. Imports neither torch nor numpy."""

from __future__ import annotations

import re
from collections.abc import Sequence

LISTED = """
aa ab af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu
fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km
kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj
om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn
to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu fil quz
"""
CODES = frozenset(LISTED.split())
"""Codes of ISO 639-1, without `id` (Indonesian): a column `caption_id` has no captions; and two more of XM3600."""

COLUMNS = ("language", "lang", "locale")
"""Columns of tables that name the language of the captions in their row."""

CODE = r"(?P<code>[a-z]{2,3})(?:[_-][a-z]{2,4})?"
FORMS = tuple(re.compile(form.format(CODE)) for form in (r"(?:.*?[ _.-])?{}", r"{}[ _.-][a-z].*"))
"""Columns such as `caption_en` and `caption_pt-br`, `en`, and `en_caption`."""


def find_code(column: str) -> str:
    """Return the language of a column of captions, such as `caption_en`, `en_caption` or `en`; empty if it has none."""
    found = (form.fullmatch(column) for form in FORMS)
    return next((one["code"] for one in found if one and one["code"] in CODES), "")


def find_language_column(columns: Sequence[str]) -> str:
    """Return the column that names the language of each row; empty if there is none."""
    return next((name for name in COLUMNS if name in columns), "")
