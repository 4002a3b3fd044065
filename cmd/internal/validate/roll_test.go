//go:build linux

package validate_test

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What the top level says of the keys reaches every resolver when its TTL has passed.
func TestDelegationChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of validating resolvers takes half a minute")
	}
	l := build(t, subjects[0], 1)
	right := l.delegationSigner(t, apex)
	addresses := l.resolve(t)
	for _, step := range []struct {
		why, ds string
		rcode   int
		secure  bool
	}{
		{"the right key", right, dns.RcodeSuccess, true},
		{"the right key beside another", wrongKey + right, dns.RcodeSuccess, true},
		{"no key", "", dns.RcodeSuccess, false},
		{"the right key again", right, dns.RcodeSuccess, true},
		{"another key", wrongKey, dns.RcodeServerFailure, false}, // last: unbound keeps to that for a minute
	} {
		l.delegate(t, step.ds)
		for i, at := range addresses {
			l.within(t, 15*time.Second, resolvers[i].name+": "+step.why, func() bool {
				m, err := l.ask(at, "www.shop.example.", dns.TypeA)
				return err == nil && m.Rcode == step.rcode && m.AuthenticatedData == step.secure
			})
		}
	}
}

// within repeats until it is so.
func (l *lab) within(t *testing.T, limit time.Duration, why string, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); time.Sleep(100 * time.Millisecond) { // the resolvers live in real time
		if time.Since(begin) > limit {
			t.Errorf("%s: not so within %v", why, limit)
			return
		}
	}
}
