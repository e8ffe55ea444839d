// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// figures are what one case has shown.
type figures struct {
	name          string
	without, with neighbourNotice
	processes     []usage
	plane         float64 // cores of API server and etcd
	cores         float64 // that the gateway may take; 0: that is not judged
	extra         []string
}

// figuresTable shows figures of many cases.
func figuresTable(all []figures) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tneighbour\tlost\trefused\tp99 direct: without\twith\tp99 stored: without\twith\tgateway MiB\tits dispatcher\tmanager\tits dispatcher\tcores of the four\tof API server and etcd\tof others\t")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%d events\t%d\t%d\t%s\t%s\t%s\t%s\t", f.name, f.with.sent, f.with.lost, f.with.refused,
			formatMilliseconds(f.without.direct), formatMilliseconds(f.with.direct), formatMilliseconds(f.without.stored), formatMilliseconds(f.with.stored))
		var cores []string
		for _, u := range f.processes {
			if u.ended != "" {
				fmt.Fprint(w, "ENDED\t")
				cores = append(cores, "-")
				continue
			}
			fmt.Fprintf(w, "%d of %d\t", u.peak>>20, u.limit>>20)
			cores = append(cores, fmt.Sprintf("%.2f", u.cores))
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t\n", strings.Join(cores, " "), f.plane, f.with.others)
	}
	_ = w.Flush() // a Builder takes everything
	for _, f := range all {
		for _, line := range f.extra {
			fmt.Fprintf(&out, "%s: %s\n", f.name, line)
		}
	}
	return out.String()
}

func formatMilliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
