package health

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var years = flag.Int("years", 40, "how many years of fifteen vantages TestFigureFalseDowns lasts")

// Fifteen vantages in five regions are each wrong about one endpoint for 5 % of the time, in errors of 30 s, each by itself: how often a year is it
// taken down? Most of the time too few are wrong at once to matter; whenever enough are, a table is told what they say.
func TestFigureFalseDowns(t *testing.T) {
	const (
		regions, nodes = 5, 3
		share          = 0.05
		wrongFor       = 30.0 // seconds, as all times here: a duration ends after 292 years
		year           = 365.25 * 86400
		enough         = 8 // wrong at once: two in each of four regions
	)
	l := newTimeline(regions, nodes)
	l.setTargets(l.target)
	l.do(t, "up")
	l.pass(10 * time.Second)
	tell := func(at int, wrong bool) {
		l.do(t, fmt.Sprintf("%s r%d-n%d", map[bool]string{false: "up", true: "down"}[wrong], at/nodes, at%nodes))
	}

	type end struct {
		at   float64
		node int
	}
	var errors []end // that go on, in the order of their ends
	var wrong [regions * nodes]bool
	rnd := rand.New(rand.NewPCG(1, 15))
	crises, downs, down := 0, 0, false
	for now := 0.0; now < year*float64(*years); {
		crisis, node, before := len(errors) >= enough, 0, now
		now += rnd.ExpFloat64() * wrongFor * (1 - share) / share / float64(len(wrong)-len(errors))
		if len(errors) > 0 && errors[0].at < now {
			now, node = errors[0].at, errors[0].node
			errors = errors[1:]
		} else {
			for node = rnd.IntN(len(wrong)); wrong[node]; {
				node = rnd.IntN(len(wrong))
			}
			errors = append(errors, end{now + wrongFor, node})
		}
		wrong[node] = !wrong[node]
		switch {
		case crisis:
			l.pass(time.Duration((now - before) * float64(time.Second)))
			tell(node, wrong[node])
		case len(errors) >= enough:
			crises++
			for i := range wrong {
				tell(i, wrong[i])
			}
		}
		if !crisis {
			continue
		}
		down = down || l.View().Status(l.target.ID, Global).State == Down
		if len(errors) < enough {
			if down {
				downs++
			}
			l.do(t, "up")
			l.pass(time.Minute)
			down = false
		}
	}
	perYear := float64(downs) / float64(*years)
	t.Logf("figure: 15 vantages, each wrong about one endpoint 5 %% of the time for 30 s: eight and more at once %d times in %d years, the endpoint taken down %d times: %.2g a year",
		crises, *years, downs, perYear)
	if crises < *years/2 || perYear > 0.01 && downs > 3 {
		t.Errorf("%d times eight at once, taken down %d times in %d years; want once a year and more, and less than 0.01 a year", crises, downs, *years)
	}
}
