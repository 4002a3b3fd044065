package health

import (
	"fmt"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

// opinions are those of fresh vantages, written u, d and D (drain), and of stale ones that say up (s).
func opinions(text string) []Opinion {
	var list []Opinion
	for i, c := range text {
		o := Opinion{Vantage: NodeID(fmt.Sprint("n", i)), Fresh: c != 's'}
		o.State = map[rune]State{'u': Up, 'd': Down, 'D': Drain, 's': Up}[c]
		list = append(list, o)
	}
	return list
}

func TestRegionVote(t *testing.T) {
	for _, c := range []struct {
		name, vantages string
		want           State
	}{
		{"nobody is there", "", Unknown},
		{"nobody is fresh", "sss", Unknown},
		{"one says up", "u", Up},
		{"one says down", "d", Down},
		{"one says drain", "D", Drain},
		{"a tie is the better state", "ud", Up},
		{"a tie of drain and down is drain", "Dd", Drain},
		{"a tie of up and drain is up", "uD", Up},
		{"most say up", "uud", Up},
		{"most say down", "udd", Down},
		{"one up and one drain of three have not failed", "uDd", Drain},
		{"what is stale does not count", "dss", Down},
		{"what is stale makes no tie", "uds", Up},
	} {
		if got := regionVote(opinions(c.vantages)); got != c.want {
			t.Errorf("%s: regionVote(%q) = %v, want %v", c.name, c.vantages, got, c.want)
		}
	}
}

func TestQuorum(t *testing.T) {
	for _, c := range []struct {
		name    string
		regions []string // the vantages of each
		want    State
	}{
		{"no region", nil, Unknown},
		{"no region votes", []string{"s", "s", ""}, Unknown},
		{"one region, up", []string{"u"}, Up},
		{"one region, down", []string{"d"}, Down},
		{"one region of two vantages: both must say down", []string{"ud"}, Up},
		{"two regions: both must say down", []string{"u", "d"}, Up},
		{"two regions, down", []string{"d", "d"}, Down},
		{"two regions: one that does not vote leaves one", []string{"d", "s"}, Down},
		{"three regions: one that is cut off must not keep an endpoint up", []string{"u", "d", "d"}, Down},
		{"three regions: two are enough", []string{"u", "u", "d"}, Up},
		{"three regions, of which two vote: one is enough", []string{"u", "d", "s"}, Up},
		{"three regions: up and drain together keep it from being down", []string{"u", "D", "d"}, Drain},
		{"three regions, drain", []string{"D", "D", "D"}, Drain},
		{"three regions: one drain is not enough", []string{"D", "d", "d"}, Down},
		{"five regions: two are enough", []string{"u", "u", "d", "d", "d"}, Up},
		{"five regions: one is not", []string{"u", "d", "d", "d", "d"}, Down},
		{"eleven regions: two are more than 18 %", regions(2, 9), Up},
		{"twelve regions: two are not more than 18 %", regions(2, 10), Down},
		{"twelve regions: three are", regions(3, 9), Up},
	} {
		var votes []Vote
		for i, vantages := range c.regions {
			votes = append(votes, Vote{geo.RegionID(fmt.Sprint("r", i)), regionVote(opinions(vantages)), opinions(vantages)})
		}
		if got := (Quorum{}).decide(votes); got != c.want {
			t.Errorf("%s: quorum(%q) = %v, want %v", c.name, c.regions, got, c.want)
		}
	}
}

func TestSlim(t *testing.T) {
	for _, c := range []struct {
		quorum  string
		regions []string
		want    bool
	}{
		{"default", []string{"ddu", "ddu", "ddu", "ddu", "uuu"}, true},
		{"default", []string{"ddu", "ddu", "ddu", "ddu", "duu"}, true},
		{"default", []string{"ddu", "ddu", "ddu", "ddu", "ddu"}, false},
		{"default", []string{"ddd", "ddd", "ddd", "ddd", "uuu"}, false},
		{"default", []string{"ddd", "ddu", "dus", "uuu"}, true},
		{"default", []string{"ddd", "ddu", "dss", "uss"}, false},
		{"default", []string{"ddD", "ddD", "ddD", "DDD"}, true},
		{"default", []string{"d", "d", "u"}, false},
		{"default", []string{"dd", "dd", "uu"}, false},
		{"default", []string{"ddu"}, false},
		{"default", []string{"dddduuu"}, true},
		{"majority", []string{"ddu", "ddu", "ddu", "uuu", "uuu"}, false},
		{"all", []string{"ddu", "uuu", "uuu", "uuu", "uuu"}, false},
	} {
		quorum, err := ParseQuorum(c.quorum)
		if err != nil {
			t.Fatal(err)
		}
		if got := quorum.slim(votesOf(c.regions...)); got != c.want {
			t.Errorf("%s: slim(%q) = %v, want %v", c.quorum, c.regions, got, c.want)
		}
	}
}

func regions(up, down int) (list []string) {
	for i := range up + down {
		list = append(list, map[bool]string{true: "u", false: "d"}[i < up])
	}
	return list
}
