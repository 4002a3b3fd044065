package signer_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/dns/wire"
)

// A zone that has keys which are not here gives no answer, to nobody; one that has none is answered unsigned.
func TestKeysThatAreNotHere(t *testing.T) {
	s, err := signer.New(signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	world := snapshot(t)
	s.Published(world)
	for _, step := range []struct {
		why    string
		do     func()
		ready  bool
		signed bool
	}{
		{"nothing is known", func() {}, true, false},
		{"they are elsewhere", func() { s.Await(apex) }, false, false},
		{"they come", func() { s.SetKeys(apex, keys(t)) }, true, true},
		{"they are elsewhere again", func() { s.Await(apex) }, false, false},
		{"there are none", func() { s.SetKeys(apex, nil) }, true, false},
	} {
		step.do()
		for _, by := range []wire.Signer{s, s.Maker(func() bool { return true })} {
			for _, q := range []struct {
				name  string
				qtype uint16
			}{{"mail.example.com.", dns.TypeA}, {"none.example.com.", dns.TypeA}, {"example.com.", dns.TypeDNSKEY}, {"mail.unsigned.org.", dns.TypeA}} {
				for _, do := range []bool{true, false} {
					query := new(dns.Msg).SetQuestion(q.name, q.qtype)
					query.SetEdns0(4096, do)
					m, _ := asker{world, by}.put(t, query, 0)
					ours := q.name != "mail.unsigned.org."
					if failed := m.Rcode == dns.RcodeServerFailure; failed == (step.ready || !ours) {
						t.Errorf("%s: %s %s, DO %t: %v, want it answered: %t", step.why, q.name, dns.Type(q.qtype), do, m, step.ready || !ours)
					}
					if ours && !step.ready && (len(m.Answer)+len(m.Ns) > 0 || m.Authoritative || extendedError(m) != dns.ExtendedErrorCodeNotReady) {
						t.Errorf("%s: %s %s, DO %t: %v, want nothing but the extended error Not Ready", step.why, q.name, dns.Type(q.qtype), do, m)
					}
				}
			}
		}
		m, _ := asker{world, s.Maker(func() bool { return true })}.ask(t, "mail.example.com.", dns.TypeA, false, 0)
		if signed := len(m.Answer) == 2; signed != step.signed {
			t.Errorf("%s: %v, want it signed: %t", step.why, m, step.signed)
		}
		if generation, _ := s.Generation(apex); generation != 0 && !step.signed {
			t.Errorf("%s: generation %d of keys that are not here", step.why, generation)
		}
	}
}

// extendedError returns the code of an extended error, or one that is none.
func extendedError(m *dns.Msg) uint16 {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return 0xFFFF
}
