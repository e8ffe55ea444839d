// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"cmp"
	"net/http"
	"slices"
)

const (
	// maxAttention bounds the webhooks that the overview lists.
	maxAttention = 20
	// nearLimit is the percentage of a quota from which the overview mentions it.
	nearLimit = 80
)

// overviewView is the content of the overview.
type overviewView struct {
	Webhooks      int
	Counts        []stateCount
	Attention     []webhookRow
	MoreAttention int // troubled webhooks beyond those
	Full          []webhookRow
	Backlog       *Backlog // nil: the caller may not list deliveries
	CountPart     int      // percent
	BytesPart     int
	Names         map[string]string // of webhooks, by id
	Summary       healthSummary     // of all webhooks
	Well          bool              // nothing needs attention
	MayCreate     bool
}

func (v *visit) showOverview() error {
	all, err := v.listAllWebhooks()
	if err != nil {
		return err
	}
	health, err := v.d.backend.Health(v.ctx(), v.namespace)
	if err != nil {
		return err
	}
	view := overviewView{
		Webhooks: len(all), Names: make(map[string]string, len(all)),
		MayCreate: v.may("create", "webhooks", "") && v.may("create", "secrets", ""),
	}
	counts := map[string]int{}
	finished := 0
	for _, webhook := range all {
		row := webhookRow{Webhook: webhook, State: webhookState(webhook), Health: health[webhook.WebhookID]}
		counts[row.State]++
		view.Names[webhook.WebhookID] = webhook.Name
		row.Summary = summarizeHealth(row.Health)
		finished += row.Summary.Total
		view.Summary.Succeeded += row.Summary.Succeeded
		if row.needsAttention() {
			view.Attention = append(view.Attention, row)
		}
		if percentage(row.Health.Waiting, row.Health.Limit) >= nearLimit {
			view.Full = append(view.Full, row)
		}
	}
	view.Summary.Total, view.Summary.Share = finished, percentage(view.Summary.Succeeded, finished)
	for _, state := range []string{"active", "failing", "disabled", "suspended"} {
		view.Counts = append(view.Counts, stateCount{State: state, Count: counts[state]})
	}
	view.sortByUrgency()
	view.Backlog, err = v.d.backend.Backlog(v.ctx(), v.namespace)
	if err != nil && newPageError(err).Status != http.StatusForbidden {
		return err
	}
	if b := view.Backlog; b != nil {
		view.CountPart = percentage(b.Count, b.CountLimit)
		view.BytesPart = percentage(int(b.Bytes>>10), int(b.BytesLimit>>10))
	}
	view.Well = len(view.Attention) == 0 && len(view.Full) == 0 && view.CountPart < nearLimit && view.BytesPart < nearLimit
	return v.showPage("overview", layout{Title: "Overview", Nav: "overview", Live: v.livePath(Topic{}), Body: view})
}

// sortByUrgency orders by state, disabled webhooks first, then by the latest failure.
func (o *overviewView) sortByUrgency() {
	weight := func(r webhookRow) int {
		return map[string]int{"disabled": 0, "failing": 1, "active": 2, "suspended": 3}[r.State]
	}
	slices.SortStableFunc(o.Attention, func(a, b webhookRow) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), timeFrom(b.Health.LastFailure).Compare(timeFrom(a.Health.LastFailure)))
	})
	if len(o.Attention) > maxAttention {
		o.MoreAttention = len(o.Attention) - maxAttention
		o.Attention = o.Attention[:maxAttention]
	}
}
