package host

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsIntroduction = `<!-- Made by go test ./cmd/meridian/host -run TestMetricsDocument -update. -->

# Metrics

What a node with all roles and a query log serves at ` + "`/metrics`" + ` of ` + "`listen.api`" + `, beside the metrics of the Go runtime and of the process. A node
with fewer roles has fewer. Clients choose no label.

Counters without labels are there from the start, at 0. So are, with every value of their labels, those whose names have ` + "`_dns_`" + ` in them (but not
` + "`meridian_dns_answers_total` and `meridian_dns_error_reports_total`" + `), ` + "`meridian_config_reloads_total`, `meridian_geo_reloads_total`, `meridian_dashboard_dropped_total`" + `,
` + "`meridian_dnssec_signatures_total`, `meridian_gateway_connections_refused_total` and `meridian_gateway_requests_refused_total`" + `. Every other
counter with labels appears when it first counts; until then a search in Prometheus finds nothing, not 0.

| metric | type | labels | meaning |
|---|---|---|---|
`

// dropReasons are the values of the label reason of meridian_dns_dropped_total, in words.
var dropReasons = map[string]string{
	"short":                   "shorter than the header of a message",
	"response":                "a response, not a query",
	"source_port":             "from port 0, to which nothing can be sent",
	"panic":                   "a bug in the answering; the log has it",
	"send":                    "the answer could not be sent",
	"slow_client":             "the client did not take the answer within 5 s",
	"slow_query":              "the client began a query and did not end it in time",
	"connections":             "as many connections as there may be, and none of them idle",
	"connections_per_client":  "as many connections of this client as there may be",
	"connections_per_network": "as many connections of this client's network as there may be",
	"evicted":                 "the connection that was idle longest, ended for a new one",
	"maintain":                "a transfer, notice, update or query with a TSIG record, and as many of these under way as there may be: SERVFAIL, over UDP no answer",
	"unsigned":                "no signature was to be had within 2 s: there is no answer, and over HTTPS and QUIC the request is ended. Over UDP the answer is truncated instead, and `meridian_dns_truncated_total` counts it",
	"protocol":                "what came over HTTPS or QUIC is no query as RFC 8484 and RFC 9250 want it",
}

// The metrics that the edges of a running node have registered are those of docs/metrics.md.
func TestMetricsDocument(t *testing.T) {
	cfg := newNode(t)
	cfg.Nameserver.QueryLog = nodefile.QueryLog{File: filepath.Join(t.TempDir(), "queries.log"), Sample: 1, MaxSizeMiB: 1}
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	rows := append(metricRows(t, h.registry), reasonRows(t, h.registry)...)
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	const file = "../../../docs/metrics.md"
	want := metricsIntroduction + strings.Join(rows, "")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); got != want {
		have := strings.SplitAfter(got, "\n")
		for _, row := range rows {
			if !slices.Contains(have, row) {
				t.Errorf("%s lacks %s", file, row)
			}
		}
		t.Errorf("%s is not what a node shows; run: go test ./cmd/meridian/host -run TestMetricsDocument -update", file)
	}
}

// reasonRows are a section with all values of the label reason of meridian_dns_dropped_total.
func reasonRows(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{"\n## Reasons of `meridian_dns_dropped_total`\n", "\n| reason | what was dropped, and why |\n", "|---|---|\n"}
	for _, f := range families {
		if f.GetName() != "meridian_dns_dropped_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			reason := labels["reason"]
			if labels["transport"] != "udp" {
				continue
			}
			if dropReasons[reason] == "" {
				t.Errorf("reason %s of meridian_dns_dropped_total has no words in dropReasons", reason)
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s |\n", reason, dropReasons[reason]))
		}
	}
	if len(rows)-3 != len(dropReasons) {
		t.Errorf("%d reasons are counted, dropReasons has %d", len(rows)-3, len(dropReasons))
	}
	return rows
}

var description = regexp.MustCompile(`^Desc\{fqName: "(meridian_[a-z0-9_]+)", help: ("(?:[^"\\]|\\.)*"), unit: "", constLabels: \{\}, variableLabels: \{(.*)\}\}$`)

// metricRows are the rows of the table, by name, of all that is registered, whether it has counted or not.
func metricRows(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]string)
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descs)
		close(descs)
	}()
	var rows []string
	for d := range descs {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			if strings.Contains(d.String(), "meridian") {
				t.Errorf("metric not understood: %v", d)
			}
			continue
		}
		name := parts[1]
		help, err := strconv.Unquote(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		if kind := kinds[name]; kind != "" && kind != kindOf(name) {
			t.Errorf("%s is a %s, want %s by its name", name, kind, kindOf(name))
		}
		if !strings.HasSuffix(help, ".") {
			t.Errorf("%s: help %q is no sentence", name, help)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kindOf(name), strings.ReplaceAll(parts[3], ",", ", "), strings.ReplaceAll(help, "|", `\|`)))
	}
	slices.Sort(rows)
	return rows
}

// kindOf says what a metric is by the custom of naming, since one that has not counted yet does not show it.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_duration_seconds"):
		return "histogram"
	}
	return "gauge"
}
