// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// webhooksPerPage is the number of webhooks on a page.
const webhooksPerPage = 50

// webhookRow is a webhook in a list.
type webhookRow struct {
	rest.Webhook

	State   string
	Health  Health
	Summary healthSummary
}

// webhooksView is the content of the list of webhooks.
type webhooksView struct {
	Rows      []webhookRow
	All       int // before the filter
	Found     int // by it
	Search    string
	State     string
	States    []stateCount
	After     string // place after which the next page begins; "": there is none
	MayCreate bool
}

// stateCount is an entry of the filter.
type stateCount struct {
	State string
	Count int
}

// listAllWebhooks reads every webhook of the namespace, by name.
func (v *visit) listAllWebhooks() (all []rest.Webhook, err error) {
	for webhook, err := range v.api.Webhooks(v.ctx()) {
		if err != nil {
			return nil, err
		}
		all = append(all, webhook)
	}
	return all, nil
}

func (v *visit) showWebhooks() error {
	all, err := v.listAllWebhooks()
	if err != nil {
		return err
	}
	query := v.request.URL.Query()
	view := webhooksView{
		All: len(all), Search: strings.TrimSpace(query.Get("q")), State: query.Get("state"),
		MayCreate: v.may("create", "webhooks", "") && v.may("create", "secrets", ""),
	}
	counts := map[string]int{}
	var found []webhookRow
	for _, webhook := range all {
		row := webhookRow{Webhook: webhook, State: webhookState(webhook)}
		counts[row.State]++
		if (view.State == "" || row.State == view.State) && row.matchesSearch(view.Search) {
			found = append(found, row)
		}
	}
	for _, state := range []string{"active", "failing", "disabled", "suspended"} {
		view.States = append(view.States, stateCount{State: state, Count: counts[state]})
	}
	view.Found = len(found)
	if err := v.loadWebhookHealth(found); err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b webhookRow) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	if after := query.Get("after"); after != "" {
		found = slices.DeleteFunc(found, func(row webhookRow) bool { return row.sortKey() <= after })
	}
	if len(found) > webhooksPerPage {
		found = found[:webhooksPerPage]
		view.After = found[webhooksPerPage-1].sortKey()
	}
	for i := range found {
		found[i].Summary = summarizeHealth(found[i].Health)
	}
	view.Rows = found
	return v.showPage("webhooks", layout{Title: "Webhooks", Nav: "webhooks", Live: v.livePath(Topic{}), Body: view})
}

// sortKey orders webhooks: those that deliver nothing first, the rest by name.
func (r webhookRow) sortKey() string {
	rank := "2"
	switch {
	case r.State == rest.WebhookDisabled || r.Health.Problem != "":
		rank = "0"
	case r.State == rest.WebhookFailing:
		rank = "1"
	}
	return rank + "." + r.Name
}

// Why says in a line why a webhook delivers nothing; "": it delivers, or the reason is
// unknown.
func (r webhookRow) Why() string {
	switch {
	case r.Health.Problem != "":
		return r.Health.Problem
	case r.State != rest.WebhookDisabled && r.State != rest.WebhookFailing:
		return ""
	case r.Health.Latest != "":
		return r.Health.Latest
	case r.EndpointHealth.Healthy != nil && !*r.EndpointHealth.Healthy:
		return r.EndpointHealth.Message
	}
	return ""
}

// loadWebhookHealth loads the health of webhooks.
func (v *visit) loadWebhookHealth(rows []webhookRow) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.WebhookID
	}
	health, err := v.d.backend.Health(v.ctx(), v.namespace, ids...)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Health = health[rows[i].WebhookID]
	}
	return nil
}

// matchesSearch reports whether a text of the webhook contains the search.
func (r webhookRow) matchesSearch(search string) bool {
	if search == "" {
		return true
	}
	search = strings.ToLower(search)
	texts := append([]string{r.Name, r.URL, r.WebhookID, textFrom(r.Description)}, r.Events...)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), search) })
}

// needsAttention reports whether a person should look at a webhook.
func (r webhookRow) needsAttention() bool {
	return r.State == rest.WebhookFailing || r.State == rest.WebhookDisabled || r.Health.Problem != "" || r.Health.Skipped || r.Suspended && r.Health.Waiting > 0
}

// webhookState is the state to show: suspended before the status, because the owner has to
// know that first, and failing as soon as the endpoint is unhealthy.
func webhookState(w rest.Webhook) string {
	if w.Suspended && w.Status != rest.WebhookDisabled {
		return "suspended"
	}
	if healthy := w.EndpointHealth.Healthy; w.Status == rest.WebhookActive && healthy != nil && !*healthy {
		return rest.WebhookFailing
	}
	return w.Status
}
