package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health/control"
)

const (
	challengeTTL     = 5         // seconds
	challengeDefault = time.Hour // until a challenge expires
	challengeMost    = 24 * time.Hour
	challengeWait    = 15 * time.Second // for the voters, and for every nameserver
)

// The fields of a challenge's body, in the order in which a mistake lists them.
var challengeFields = []string{"name", "value", "clear", "life_seconds", "reason", "actor"}

func (s *Server) getChallenges(w http.ResponseWriter, _ *http.Request) {
	current, _ := s.src.Control().Challenges(time.Now())
	reply(w, map[string][]control.Challenge{"challenges": append([]control.Challenge{}, current...)})
}

func (s *Server) postChallenges(w http.ResponseWriter, r *http.Request) {
	cmd, bad := s.readChallenge(r)
	if bad != nil {
		bad.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), challengeWait)
	defer cancel()
	result, err := s.src.Challenge(ctx, cmd)
	s.decided(w, result, err, cmd.Key)
}

// readChallenge reads the body of a change of a challenge. It reports every mistake at once.
func (s *Server) readChallenge(r *http.Request) (control.Command, *problem) {
	var body struct {
		Name   string  `json:"name"`
		Value  string  `json:"value"`
		Clear  bool    `json:"clear"`
		Life   float64 `json:"life_seconds"`
		Reason string  `json:"reason"`
		Actor  string  `json:"actor"`
	}
	wrong, bad := readBody(r, challengeFields, &body)
	if bad != nil {
		return control.Command{}, bad
	}
	name := dns.CanonicalName(body.Name)
	if why := s.unfitChallenge(name); why != "" {
		wrong.add("name: %s", why)
	}
	wrong.missing(map[string]string{"reason": body.Reason, "actor": body.Actor})
	if body.Value == "" && !body.Clear {
		wrong.add("value: missing")
	}
	life := time.Duration(cmp.Or(body.Life, challengeDefault.Seconds()) * float64(time.Second))
	if body.Life < 0 || life < time.Second || life > challengeMost {
		wrong.add("life_seconds: %v, want 1 to %v", body.Life, challengeMost.Seconds())
	}
	if bad := wrong.problem(); bad != nil {
		return control.Command{}, bad
	}
	set := control.ChallengeSet{Name: name, Value: body.Value, Clear: body.Clear}
	if !body.Clear {
		set.TTL, set.Expires = challengeTTL, time.Now().Add(life).Truncate(time.Second)
	}
	return control.Command{
		Kind: control.KindChallenge, Actor: body.Actor, Reason: body.Reason, Challenges: []control.ChallengeSet{set},
	}, nil
}

// unfitChallenge says why a name can have no challenge of ours; empty where it can.
func (s *Server) unfitChallenge(name string) string {
	var wire [256]byte
	n, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	snapshot := s.src.Snapshot()
	switch {
	case err != nil || !strings.HasPrefix(name, control.ChallengePrefix):
		return fmt.Sprintf("%q is not %sHOST", name, control.ChallengePrefix)
	case snapshot == nil:
		return "no configuration is in force yet"
	}
	if zone, offset := snapshot.Plan.Zone(wire[:n]); zone == nil || offset == 0 {
		return fmt.Sprintf("%q is in no zone of ours", name)
	}
	return ""
}
