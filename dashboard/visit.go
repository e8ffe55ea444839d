// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"context"
	"net/http"
	"net/url"

	"bbmcp.quietstack.com/webhooks/client"
)

// visit is one request for a page. Its caller is in the context of the request.
type visit struct {
	*session

	d       *Dashboard
	w       http.ResponseWriter
	request *http.Request
	api     *client.Client
}

func (v *visit) ctx() context.Context { return v.request.Context() }

// id is the one in the path.
func (v *visit) id() string { return v.request.PathValue("id") }

// basePath is the path of the namespace's pages, without a trailing slash.
func (v *visit) basePath() string { return namespacePath(v.namespace) }

func namespacePath(namespace string) string { return Root + "ns/" + url.PathEscape(namespace) }

// may reports whether the caller has a right in the namespace of the page.
func (v *visit) may(verb, resource, name string) bool {
	return v.d.backend.May(v.ctx(), v.namespace, Right{Verb: verb, Resource: resource, Name: name})
}

// redirect sends the browser to a page of the namespace after an action; done selects the
// notice.
func (v *visit) redirect(path, done string) error {
	to := v.basePath() + path
	if done != "" {
		to += "?done=" + done
	}
	http.Redirect(v.w, v.request, to, http.StatusSeeOther)
	return nil
}
