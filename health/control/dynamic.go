package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// KindChallenge sets or clears values of ACME's challenges.
const KindChallenge Kind = "challenge"

// ChallengePrefix begins the name of every challenge (RFC 8555, section 8.4).
const ChallengePrefix = "_acme-challenge."

// The limits of challenges.
const (
	maxChallenges    = 1000 // in all
	maxChallengeOf   = 8    // values of one name
	maxChallengeText = 255  // bytes of a value, one text of a TXT record
	maxChallengeName = 255 * 4
	maxChallengeTTL  = 5 // seconds
	maxChallengeLife = 24 * time.Hour
	maxChallengeSets = 100 // of one command
)

// A Challenge is one value of a TXT record that a certificate authority looks for. Copies are independent.
type Challenge struct {
	Name    string    `json:"name"`  // fully qualified, lower case, begins with ChallengePrefix
	Value   string    `json:"value"` // printable ASCII without space, quote and backslash
	TTL     uint32    `json:"ttl"`   // 0 to 5 s
	Expires time.Time `json:"expires"`
	Epoch   uint64    `json:"epoch"`
	Index   uint64    `json:"index"`
	Actor   string    `json:"actor"`
}

// A ChallengeSet is one value's part of a command. Setting a value that is there renews it.
type ChallengeSet struct {
	Name    string    `json:"name"`
	Value   string    `json:"value,omitempty"` // to clear: empty is every value
	Clear   bool      `json:"clear,omitempty"`
	TTL     uint32    `json:"ttl,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

func (c *ChallengeSet) check() error {
	host, ok := strings.CutPrefix(c.Name, ChallengePrefix)
	switch {
	case !ok || len(host) < 2 || !strings.HasSuffix(host, ".") || len(c.Name) > maxChallengeName || c.Name != strings.ToLower(c.Name):
		return fmt.Errorf("challenge %q: want %s and the full name of a host", clip(c.Name, maxName), ChallengePrefix)
	case c.Value == "" && !c.Clear, len(c.Value) > maxChallengeText, strings.ContainsFunc(c.Value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }):
		return fmt.Errorf("challenge %s: want a value of 1 to %d printable ASCII bytes without space, quote and backslash", clip(c.Name, maxName), maxChallengeText)
	case c.TTL > maxChallengeTTL:
		return fmt.Errorf("challenge %s: TTL %d, at most %d", clip(c.Name, maxName), c.TTL, maxChallengeTTL)
	case !c.Clear && (c.Expires.IsZero() || !sane(c.Expires)):
		return fmt.Errorf("challenge %s: expires at %v", clip(c.Name, maxName), c.Expires)
	}
	return checkText(c.Name, maxChallengeName)
}

// checkChallenges reports what is wrong with the part of a command that is about challenges.
func (c *Command) checkChallenges() error {
	if n := len(c.Challenges); n == 0 || n > maxChallengeSets {
		return fmt.Errorf("%d challenges, want 1 to %d", n, maxChallengeSets)
	}
	for i := range c.Challenges {
		if err := c.Challenges[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Challenge) compare(o Challenge) int {
	return cmp.Or(cmp.Compare(c.Name, o.Name), cmp.Compare(c.Value, o.Value))
}

// Challenges returns the challenges that have not expired, ordered by name and value, and when the first of them will; the zero
// time without any. The caller owns the slice.
func (s *State) Challenges(now time.Time) (current []Challenge, until time.Time) {
	if s == nil {
		return nil, until
	}
	for _, c := range s.dynamic {
		if !c.Expires.After(now) {
			continue
		}
		current = append(current, c)
		if until.IsZero() || c.Expires.Before(until) {
			until = c.Expires
		}
	}
	return current, until
}

// challenge changes the challenges of s, which is not shared yet, unless it refuses. What has expired by the time of the entry goes.
func (s *State) challenge(cmd Command, res Result) Result {
	next, _ := s.Challenges(s.Time)
	for _, c := range cmd.Challenges {
		next = slices.DeleteFunc(next, func(o Challenge) bool { return o.Name == c.Name && (o.Value == c.Value || c.Clear && c.Value == "") })
		if c.Clear {
			continue
		}
		expires := c.Expires.UTC().Round(0)
		if most := s.Time.Add(maxChallengeLife); expires.After(most) {
			expires = most
		}
		if expires.After(s.Time) {
			next = append(next, Challenge{c.Name, c.Value, c.TTL, expires, s.Epoch, s.Index, cmd.Actor})
		}
	}
	slices.SortFunc(next, Challenge.compare)
	if err := checkCrowd(next); err != nil {
		return res.refuse(fmt.Errorf("%w: %w", ErrCommand, err))
	}
	s.dynamic = next
	return res
}

// orderOf says what a command wants of challenges: "set _acme-challenge.www.example.com.", and more after a comma.
func orderOf(sets []ChallengeSet) string {
	var said []string
	for _, c := range sets {
		do := "set "
		if c.Clear {
			do = "clear "
		}
		said = append(said, do+c.Name)
	}
	return clip(strings.Join(slices.Compact(said), ", "), maxErrorText)
}

// checkCrowd reports challenges, which are in order, that are more than allowed.
func checkCrowd(all []Challenge) error {
	if len(all) > maxChallenges {
		return fmt.Errorf("%d challenges at once, at most %d", len(all), maxChallenges)
	}
	for i := maxChallengeOf; i < len(all); i++ {
		if all[i].Name == all[i-maxChallengeOf].Name {
			return fmt.Errorf("%s has more than %d values", clip(all[i].Name, maxName), maxChallengeOf)
		}
	}
	return nil
}

// checkDynamic refuses what challenge could not have made.
func checkDynamic(all []Challenge) error {
	for i := range all {
		c := &all[i]
		c.Expires = c.Expires.UTC()
		set := ChallengeSet{Name: c.Name, Value: c.Value, TTL: c.TTL, Expires: c.Expires}
		if err := set.check(); err != nil {
			return err
		}
		if i > 0 && all[i-1].compare(*c) >= 0 {
			return fmt.Errorf("challenge %q out of order", c.Name)
		}
	}
	return checkCrowd(all)
}
