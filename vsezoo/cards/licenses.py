"""The licence identifiers of the Hub, which refuses a card with any other when it is pushed."""

from __future__ import annotations

import re

from vsezoo.errors import UsageError, suggest_name

LISTED = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa
unlicense zlib pddl apple-ascl apple-amlr gemma llama2 llama3 llama3.1 llama3.2 llama3.3 unknown other
"""
"""As the types of the Hub's JavaScript client list them, with those of model families that came later."""

LICENSES = frozenset(LISTED.split())

LISTED_AT = "https://huggingface.co/docs/hub/repositories-licenses"


def require_license(name: str) -> None:
    """Refuse what is not an identifier of the Hub, such as a licence's full name.

    Raises:
        UsageError: names the nearest identifier.
    """
    if name in LICENSES:
        return
    plain = re.sub(r"\b(the|license|licence|version)\b|[\s_,]+", " ", name.lower().replace(" v", " ")).strip()
    plain = re.sub(r"\s+", "-", plain)
    hint = f"The identifiers are listed at {LISTED_AT}; `other` is for a licence that is not among them."
    near = plain if plain in LICENSES else f"{plain}.0" if f"{plain}.0" in LICENSES else ""
    remedy = f"Did you mean {near!r}? {hint}" if near else suggest_name(plain, sorted(LICENSES), hint)
    raise UsageError(f"{name!r} is not an identifier of a licence on the Hub.", remedy=remedy)
