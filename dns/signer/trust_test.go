package signer_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/signer"
)

// A generation is told when everything is signed by its keys, not before.
func TestGenerationIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := signer.New(signer.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		want := func(when string, generation uint64, whole bool) {
			t.Helper()
			synctest.Wait()
			if g, w := s.Generation(apex); g != generation || w != whole {
				t.Errorf("%s: Generation = %d, %v, want %d, %v", when, g, w, generation, whole)
			}
		}
		want("without keys", 0, false)
		set := keys(t)
		s.SetKeys(apex, set)
		want("before a snapshot", 1, false)
		s.Published(snapshot(t))
		want("signed", 1, true)

		s.Trust(false)
		next := *set
		next.Generation = 2
		s.SetKeys(apex, &next)
		want("while the clock can't be trusted", 2, false)
		s.Trust(true)
		want("when it can", 2, true)

		broken := *set
		broken.Generation, broken.Signers = 3, nil
		s.SetKeys(apex, &broken)
		want("with a key missing", 3, false)
		s.SetKeys(apex, nil)
		want("with the keys taken away", 0, false)
	})
}

// While the clock can't be trusted nothing new is signed, and what is signed stays, past the time at which it would be renewed.
func TestDistrustedClockSignsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := signer.New(signer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		a := asker{snapshot(t), s.Maker(func() bool { return true })}
		s.SetKeys(apex, keys(t))
		s.Published(a.snapshot)
		synctest.Wait()
		signature := func(name string) string {
			m, _ := a.ask(t, name, dns.TypeA, true, 0)
			for _, rr := range append(m.Answer, m.Ns...) {
				if r, ok := rr.(*dns.RRSIG); ok && r.TypeCovered != dns.TypeSOA { // that is signed ahead
					return r.Signature
				}
			}
			return ""
		}
		mail, random := signature("mail.example.com."), signature("random.example.com.")
		s.Trust(false)
		time.Sleep(9 * 24 * time.Hour) // every signature is due anew after 7.7 days
		synctest.Wait()
		if got := signature("mail.example.com."); got != mail || mail == "" {
			t.Errorf("signature %q, want %q as before", got, mail)
		}
		if got := signature("random.example.com."); got != random || random == "" {
			t.Errorf("signature of a denial %q, want %q as before", got, random)
		}
		if got := signature("other.example.com."); got != "" {
			t.Errorf("signature %q of what was never asked for, want none", got)
		}
		s.Trust(true)
		synctest.Wait()
		if got := signature("mail.example.com."); got == mail || got == "" {
			t.Errorf("signature %q, want another than before", got)
		}
		if got := signature("other.example.com."); got == "" {
			t.Error("no signature though the clock is good again")
		}
	})
}
