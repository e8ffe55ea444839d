// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"
)

// Page says which part of a list to return.
type Page struct {
	// Limit is how many entries at most, up to 100; 0 is 20.
	Limit int
	// Cursor is NextCursor of the page before; empty: the first page.
	Cursor string
}

func (p Page) query() url.Values {
	query := url.Values{}
	if p.Limit != 0 {
		query.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		query.Set("cursor", p.Cursor)
	}
	return query
}

// pageSize is what iterators ask for: the most that the API gives.
const pageSize = 100

// pages yields what page returns, page after page. It stops at the first error,
// which it yields.
func pages[T any](ctx context.Context, size int, page func(context.Context, Page) ([]T, *string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for at := (Page{Limit: size}); ; {
			entries, next, err := page(ctx, at)
			if err != nil {
				yield(none, err)
				return
			}
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
			}
			if next == nil || *next == "" {
				return
			}
			if *next == at.Cursor {
				yield(none, errors.New("bbmcp: the list does not go on: a page names itself as the next one"))
				return
			}
			at.Cursor = *next
		}
	}
}
