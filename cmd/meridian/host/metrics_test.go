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

What a node with all roles and a query log serves at ` + "`/metrics`" + ` of ` + "`listen.api`" + `, beside the metrics of the Go runtime and of the process. A counter
with labels appears when it first counts. Clients choose no label.

| metric | type | labels | meaning |
|---|---|---|---|
`

// The metrics that the edges of a running node have registered are those of docs/metrics.md.
func TestMetricsDocument(t *testing.T) {
	cfg := newNode(t)
	cfg.Nameserver.QueryLog = nodefile.QueryLog{File: filepath.Join(t.TempDir(), "queries.log"), Sample: 1, MaxSizeMiB: 1}
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	rows := metricRows(t, h.registry)
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
