package node

import (
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A member whose signature is good may say anything: nothing crashes, nobody else's verdicts are touched, no endpoint that two regions see goes down,
// and what the others say is taken as before.
func FuzzReceive(f *testing.F) {
	names := []health.NodeID{"eu1", "in1", "us1"}
	honest := start(f, "in1", testEpoch)
	for _, m := range honest.pass(time.Minute) {
		if _, _, body, err := health.Open(m.Bytes, func(health.NodeID, []byte, []byte) bool { return true }); err == nil {
			f.Add(byte(m.Kind), body)
		}
	}
	f.Add(byte(health.KindPull), (&health.Pull{Of: "us1"}).Append(nil))
	f.Add(byte(health.KindVerdicts), (&health.Batch{Incarnation: 1 << 50, Sequence: 3, Full: true, Records: []health.Record{
		{Check: health.CheckID("api/us1/ipv4").Key(), State: health.Down, Reason: health.ReasonRefused, Sequence: 3}}}).Append(nil))

	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		eu, in, us := mesh(t)
		for _, d := range []*driver{eu, in, us} {
			d.observe(health.ReasonOK)
		}
		run(3*time.Second, eu, in, us)
		for _, name := range names {
			if s := eu.status(string(name)); s.State != health.Up {
				t.Fatalf("%s is %v before anything was said", name, s.State)
			}
		}
		_, sequence, digest := eu.table.Vector("us1")
		message := health.Message{Bytes: health.Seal(health.MessageKind(kind), "in1", body, in.cfg.Sign)}
		eu.get(message)
		eu.get(message)
		if _, s, d := eu.table.Vector("us1"); s != sequence || d != digest {
			t.Errorf("in1 changed what us1 says: sequence %d, digest %x, was %d, %x", s, d, sequence, digest)
		}
		us.observe(health.ReasonOK)
		run(2*time.Second, eu, us)
		for _, name := range names {
			if s := eu.status(string(name)); s.State != health.Up {
				t.Errorf("%s is %v after in1 said what it liked: %s", name, s.State, s.Summary())
			}
		}
		if _, _, d := us.table.Vector("us1"); d == 0 {
			t.Error("us1 says nothing")
		} else if _, _, got := eu.table.Vector("us1"); got != d {
			t.Errorf("us1's verdicts have digest %x at eu1, want %x", got, d)
		}
	})
}
