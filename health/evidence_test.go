package health

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
)

// The journal on disk is read by other versions: this text must stay readable.
func TestEvidenceJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 14, 2, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		e    Evidence
		text string
	}{
		{"of a status", Evidence{Before: Up, After: Down, Since: at, Measured: Down, Quorum: Quorum{Preset: QuorumMajority}, Held: true, Hold: HoldMass, Damped: true, Assigned: 2, Fresh: 1, Regions: []Vote{{Region: "eu", State: Down, Vantages: []Opinion{
			{Vantage: "eu1", State: Down, Reason: ReasonNoRoute, Fresh: true}, {Vantage: "eu2", Stale: "no heartbeat"}}}}},
			`{"before":"up","after":"down","since":"2026-03-01T14:02:00Z","measured":"down","quorum":"majority","held":true,"hold":"mass","damped":true,"assigned":2,"fresh":1,"regions":[{"region":"eu","state":"down","vantages":[` +
				`{"vantage":"eu1","state":"down","reason":"no route","fresh":true},{"vantage":"eu2","state":"unknown","reason":"none","fresh":false,"stale":"no heartbeat"}]}]}`},
		{"of a verdict", Evidence{After: Down, Attempts: []Attempt{
			{Start: at, Reason: ReasonStatus, Detail: "status 500", Connect: 1500 * time.Microsecond, TLS: 2 * time.Millisecond, FirstByte: time.Second, Total: 1004 * time.Millisecond}}},
			`{"before":"unknown","after":"down","attempts":[{"start":"2026-03-01T14:02:00Z","reason":"status","detail":"status 500",` +
				`"connect_seconds":0.0015,"tls_seconds":0.002,"first_byte_seconds":1,"total_seconds":1.004}]}`},
	} {
		text, err := json.Marshal(&tt.e)
		if err != nil || string(text) != tt.text {
			t.Errorf("%s: %s, %v, want %s", tt.name, text, err, tt.text)
		}
		var back Evidence
		if err := json.Unmarshal([]byte(tt.text), &back); err != nil || !reflect.DeepEqual(back, tt.e) {
			t.Errorf("%s: read back %+v, %v, want %+v", tt.name, back, err, tt.e)
		}
	}
	var r Reason
	if err := json.Unmarshal([]byte(`"of a newer version"`), &r); err != nil || r != ReasonOther {
		t.Errorf("an unknown reason = %v, %v, want other", r, err)
	}
	var s State
	if err := json.Unmarshal([]byte(`"sideways"`), &s); err == nil {
		t.Error("an unknown state is read without an error")
	}
}

// Every kind of event that the source declares is among the kinds that a journal can be asked for.
func TestEventKindsAreAll(t *testing.T) {
	var source []byte
	for _, file := range []string{"health.go", "evidence.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	declared := regexp.MustCompile(`EventKind = "([a-z]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(declared) != len(EventKinds) {
		t.Errorf("%d kinds are declared, %d listed", len(declared), len(EventKinds))
	}
	for _, d := range declared {
		if !slices.Contains(EventKinds[:], EventKind(d[1])) {
			t.Errorf("kind %q is declared and not listed", d[1])
		}
	}
}
