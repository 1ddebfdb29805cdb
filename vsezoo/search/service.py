"""Searches at a service, as `vsezoo serve` answers them; see docs/serve.md."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vsezoo.errors import ServerError, UsageError
from vsezoo.search.query_file import Asked
from vsezoo.storage.forms import Fields, FormError, Integer, ListOf, Number, Text

TOGETHER = 8
"""Requests at a time."""
PATIENCE = 60.0
"""Seconds for an answer."""
LARGEST = 2**26
"""Most bytes of an answer."""
ANSWER = Fields(
    {"results": ListOf(Fields({"rank": Integer(1), "score": Number(), "id": Text(), "item": Integer()}, others=True))},
    others=True,
)
BUSY = (429, 503)
TRIES = 6
LONGEST_PAUSE = 30.0
"""Seconds that are waited at most when the service is busy."""


class Service:
    """A service that searches.

    Args:
        url: its address.
        token: sent with each request, if it is not empty.
    """

    def __init__(self, url: str, token: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is not the address of a service.", remedy="Example: --at http://localhost:8000")
        self._url, self._token = url.rstrip("/"), token

    def search_many(self, queries: Sequence[Asked]) -> Iterator[list[dict[str, Any]]]:
        """Yield the results of each query, in order, as the service returns them.

        Raises:
            ServerError: for a service that cannot be reached, or that refuses.
        """
        with ThreadPoolExecutor(TOGETHER) as pool:
            yield from pool.map(self.search, queries)

    def search(self, asked: Asked) -> list[dict[str, Any]]:
        """Return the results of a query."""
        body = {"query": asked.query, "plus": list(asked.plus), "minus": list(asked.minus), "k": asked.k}
        found = self._send("search", body)
        try:
            ANSWER.check(found, "")
        except FormError as error:
            raise self._explain(f"does not answer as `vsezoo serve` does: {error}", "Check the address.") from None
        results: list[dict[str, Any]] = found["results"]
        return results

    def _send(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self._url}/{path}", json.dumps(body).encode(), headers, method="POST")
        for tries in range(1, TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    return json.loads(answer.read(LARGEST + 1)[:LARGEST])
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in BUSY and tries < TRIES:
                        time.sleep(_read_pause(error.headers.get("Retry-After", ""), tries))
                        continue
                    raise self._refuse(error) from None
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                remedy = "Check the address, and whether `vsezoo serve` runs there."
                raise self._explain(f"cannot be reached: {reason}", remedy) from None
            except (ValueError, RecursionError):
                raise self._explain("does not answer with JSON", "Check the address.") from None
        raise AssertionError

    def _refuse(self, error: urllib.error.HTTPError) -> ServerError:
        try:
            answer = json.loads(error.read(LARGEST + 1)[:LARGEST])
            return self._explain(f"{answer['error']}".rstrip("."), f"{answer.get('remedy', '')}")
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            return self._explain(f"answers {error.code} {error.reason}", "Check the address.")

    def _explain(self, problem: str, remedy: str) -> ServerError:
        return ServerError(f"{problem}.", file=self._url, remedy=remedy)


def _read_pause(header: str, tries: int) -> float:
    """Return the seconds to wait: as the service says, else longer with each try."""
    wanted = float(header) if header.isdecimal() else 0.5 * 2**tries
    return min(wanted, LONGEST_PAUSE)
