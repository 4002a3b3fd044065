package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// A zone that came signed is answered by what it has, all types included: there is no signature over anything else.
func TestPresignedAnswers(t *testing.T) {
	signature := " 13 2 300 20300101000000 20200101000000 7 signed.example. " + strings.Repeat("A", 86) + "=="
	var zone strings.Builder
	for _, line := range []string{
		"$ORIGIN signed.example.", "$TTL 300",
		"@ SOA ns hostmaster 1 7200 900 1209600 60", "@ RRSIG SOA" + signature, "@ NS ns", "@ RRSIG NS" + signature,
		"@ NSEC ns NS SOA RRSIG NSEC", "@ RRSIG NSEC" + signature,
		"ns TXT text", "ns RRSIG TXT" + strings.Replace(signature, "13 2", "13 3", 1), "ns A 192.0.2.1", "ns RRSIG A" + strings.Replace(signature, "13 2", "13 3", 1),
		"ns NSEC @ A TXT RRSIG NSEC", "ns RRSIG NSEC" + strings.Replace(signature, "13 2", "13 3", 1),
	} {
		zone.WriteString(line + "\n")
	}
	world, err := zones.Parse(zones.FileMap{"world.yaml": []byte("zones: {signed.example: {file: z}}"), "z": []byte(zone.String())})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(table(t), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	s := plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Unix(0, 0))
	for _, row := range []struct{ why, query, want string }{
		{"all types with signatures", "ns.signed.example. ANY edns=1232 do", "A RRSIG"},
		{"all types without", "ns.signed.example. ANY", "A"},
		{"all types at the apex", "signed.example. ANY edns=1232 do", "NS RRSIG"},
		{"signatures, asked for by name", "ns.signed.example. RRSIG", "RRSIG"},
	} {
		var types []string
		for line := range strings.Lines(ask(t, s, strings.Fields(row.query))) {
			if words := strings.Fields(line); words[0] == "answer:" {
				types = append(types, words[4])
			}
		}
		if got := strings.Join(types, " "); got != row.want {
			t.Errorf("%s: %q, want %q", row.why, got, row.want)
		}
	}
}
