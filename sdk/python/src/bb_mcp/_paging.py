# SPDX-License-Identifier: Apache-2.0

"""Lists that fetch their pages while they are walked through."""

from __future__ import annotations

from typing import Any, Callable, Dict, Generic, Iterator, List, Optional, TypeVar

from ._errors import InvalidResponseError
from ._models import Resource

MAX_PAGE = 100
"""The most that the gateway puts into one page."""

T = TypeVar("T", bound=Resource)
Query = Dict[str, Optional[str]]


class Listing(Generic[T]):
    """Iterate over it to get every object, page by page.

    Nothing is asked before the first object is wanted, and no further page
    before it is reached. Each ``iter()`` starts anew. ``list(listing)`` gets
    them all, ``listing.first()`` the first one or None.
    """

    def __init__(self, fetch: Callable[[Query], Dict[str, Any]], item: Callable[[Dict[str, Any]], T], query: Query, limit: Optional[int]) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit must be a number of at least 1, not {limit!r}")
        self._fetch, self._item, self._query, self._limit = fetch, item, query, limit

    def __iter__(self) -> Iterator[T]:
        left = self._limit
        for page in self.pages():
            for one in page:
                yield one
                if left is not None:
                    left -= 1
                    if left == 0:
                        return

    def pages(self) -> Iterator[List[T]]:
        """The pages, each a list; the last may hold more than ``limit`` asks for."""
        cursor: Optional[str] = None
        left = self._limit
        while True:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            answer = self._fetch({**self._query, "limit": str(size), "cursor": cursor})
            data = answer.get("data")
            if not isinstance(data, list):
                raise InvalidResponseError("the answer is not a page: it has no list data")
            yield [self._item(one) for one in data]
            following = answer.get("next_cursor")
            if left is not None:
                left -= len(data)
            if not following or (left is not None and left <= 0):
                return
            if following == cursor:
                raise InvalidResponseError("the gateway's next_cursor leads back to the same page")
            cursor = following

    def first(self) -> Optional[T]:
        """The first object, or None if there is none."""
        return next(iter(self), None)

    def __repr__(self) -> str:
        return "Listing(iterate over it to fetch the objects)"
