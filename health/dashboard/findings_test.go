package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

var discard = slog.New(slog.DiscardHandler)

// A row of the timeline: something happens, and the page says this of it.
type row struct {
	name  string
	after time.Duration
	do    func(*fake)
	want  string // the top line
	level string // of the first finding
}

func all(check string, state health.State, reason health.Reason) func(*fake) {
	return func(f *fake) {
		for _, v := range fakeVantages {
			f.say(v.Node, check, state, reason)
		}
	}
}

func peer(name health.NodeID, edit func(*Peer)) func(*fake) {
	return func(f *fake) {
		f.change(func(n *NodeInfo) {
			for i := range n.Peers {
				if n.Peers[i].Name == name {
					edit(&n.Peers[i])
				}
			}
		})
	}
}

func switches(on bool, names ...control.ControlID) func(*fake) {
	return func(f *fake) {
		c := control.Command{Kind: control.KindSet, Actor: "mia", Reason: "drill", Overrides: []string{"keep-two", "last-on:api"}}
		for _, name := range names {
			c.Switches = append(c.Switches, control.Switch{Control: name, On: on})
		}
		f.submit(context.Background(), c)
	}
}

// byHand sets endpoints by hand, "euw1=drain" or for a while, "euw1=drain/1h".
func byHand(text string) func(*fake) {
	return func(f *fake) {
		c := control.Command{Kind: control.KindOverlay, Actor: "mia", Reason: "drill"}
		for _, word := range strings.Fields(text) {
			name, to, _ := strings.Cut(word, "=")
			state, life, _ := strings.Cut(to, "/")
			set := control.OverlaySet{Endpoint: name, State: control.Manual(state)}
			set.For, _ = time.ParseDuration(life)
			c.Overlays = append(c.Overlays, set)
		}
		f.submit(context.Background(), c)
	}
}

func submits(c control.Command) func(*fake) {
	c.Actor, c.Reason = "mia", "drill"
	return func(f *fake) { f.submit(context.Background(), c) }
}

func refuses(text string, zones ...string) func(*fake) {
	return func(f *fake) { f.change(func(n *NodeInfo) { n.Refused = &Refusal{Text: text, Zones: zones} }) }
}

func TestFindings(t *testing.T) {
	const well = "All 6 checks up, all 3 nodes agree"
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		s := start(t, f, newPipes())
		for _, r := range []row{
			{"all is well", 0, func(*fake) {}, well, ""},
			{"one vantage dissents", 0, func(f *fake) { f.say("ap1", "euw1/ipv4", health.Down, health.ReasonTimeout) },
				well + ". Check gateway/euw1/ipv4: up, but ap-south says down (timeout)", "notice"},
			{"two do", 0, func(f *fake) { f.say("eu1", "euw1/ipv4", health.Down, health.ReasonRefused) },
				"Check gateway/euw1/ipv4 is down: 1 of 3 regions say up, 3 of 3 vantages fresh, 1 × timeout, 1 × refused", "critical"},
			{"what its control has taken out is expected, were it not in other pools", 0, switches(false, "api-eu-west"),
				"Check gateway/euw1/ipv4 is down: 1 of 3 regions say up, 3 of 3 vantages fresh, 1 × timeout, 1 × refused", "critical"},
			{"back", 0, all("euw1", health.Up, health.ReasonOK), well + ". Control api-eu-west is off (mia: drill)", "notice"},
			{"two off", 0, switches(false, "api-us-east"), "Safety rule api/keep-two is broken: it needs at least 2 of 3 on, and 1 are", "critical"},
			{"all off", 0, switches(false, "api-ap-south"), "Pool api has nothing to answer some clients with (and 2 more)", "critical"},
			{"on again", 0, switches(true, "api-us-east", "api-eu-west", "api-ap-south"), well, ""},
			{"everything is down", 0, all("", health.Down, health.ReasonTimeout),
				"3 pools have nothing up for some clients: admin, api, canary (and 6 more)", "critical"},
			{"and up", 0, all("", health.Up, health.ReasonOK), well, ""},
			{"draining", 0, all("aps1/ipv4", health.Drain, health.ReasonDrain), "Check gateway/aps1/ipv4: draining: it asks for no new clients", "warning"},
			{"no longer", 0, all("", health.Up, health.ReasonOK), well, ""},
			{"a node is lost", 0, peer("ap1", func(p *Peer) { p.Alive = false }), "Node ap1 in ap-south is lost", "warning"},
			{"most are", 0, peer("eu1", func(p *Peer) { p.Alive = false }), "2 nodes are lost or differ: ap1, eu1 (and 6 more)", "warning"},
			{"they return", 0, func(f *fake) {
				peer("ap1", func(p *Peer) { p.Alive = true })(f)
				peer("eu1", func(p *Peer) { p.Alive = true })(f)
			}, well, ""},
			{"UDP fails with a node", 0, func(f *fake) {
				f.change(func(n *NodeInfo) {
					n.Gossip = &Gossip{Keys: []string{"aa"}, Peers: []GossipPeer{{Node: "ap1", Trouble: "UDP fails from here to it, TCP works (firewall?)", Keys: []string{"aa"}}, {Node: "eu1"}}}
				})
			}, "Gossip with ap1: UDP fails from here to it, TCP works (firewall?)", "warning"},
			{"with two", 0, func(f *fake) {
				f.change(func(n *NodeInfo) {
					n.Gossip = &Gossip{Keys: []string{"aa"}, Peers: []GossipPeer{{Node: "ap1", Trouble: "x"}, {Node: "eu1", Trouble: "x"}}}
				})
			}, "2 members are reached by gossip in part: ap1, eu1", "warning"},
			{"a key is being replaced", 0, func(f *fake) {
				f.change(func(n *NodeInfo) {
					n.Gossip = &Gossip{Keys: []string{"bb", "aa"}, Peers: []GossipPeer{{Node: "ap1", Keys: []string{"aa", "bb"}}, {Node: "eu1", Keys: []string{"bb"}}}}
				})
			}, well + ". Key bb of the mesh is sent under here, and another by node ap1: a rotation is not over", "notice"},
			{"it is", 0, func(f *fake) {
				f.change(func(n *NodeInfo) {
					n.Gossip = &Gossip{Keys: []string{"bb"}, Peers: []GossipPeer{{Node: "ap1", Keys: []string{"bb"}}}}
				})
			}, well, ""},
			{"set by hand", 0, byHand("euw1=drain/1h"), well + ". Endpoint euw1 is drained since 2000-01-01T00:00:00Z, expires 2000-01-01T01:00:00Z (mia: drill); measured up", "notice"},
			{"forced up, and so it is", 0, byHand("euw1=force_up"), well + ". Endpoint euw1 is forced up since 2000-01-01T00:00:00Z (mia: drill); measured up", "notice"},
			{"a check is down that people have answered", 0, all("euw1/ipv4", health.Down, health.ReasonTimeout),
				"Check gateway/euw1/ipv4 is down: 0 of 3 regions say up, 3 of 3 vantages fresh, 3 × timeout", "critical"},
			{"and that nobody is answered", 0, byHand("euw1=force_down"),
				"Endpoint euw1 is forced down since 2000-01-01T00:00:00Z (mia: drill); measured gateway/euw1/ipv4 down, gateway/euw1/ipv6 up (and 1 more)", "notice"},
			{"by hand no longer, and up", 0, func(f *fake) { byHand("euw1=auto")(f); all("", health.Up, health.ReasonOK)(f) }, well, ""},
			{"two by hand, one of which the configuration lost", 0, byHand("euw1=force_down zz1=drain"), well + ". 2 endpoints are set by hand: euw1, zz1", "notice"},
			{"that one alone", 0, byHand("euw1=auto"), well + ". Endpoint zz1 is drained since 2000-01-01T00:00:00Z (mia: drill); no pool here has it", "notice"},
			{"until something else", 0, byHand("zz1=auto euw1=drain/2s"), well + ". Endpoint euw1 is drained since 2000-01-01T00:00:00Z, expires 2000-01-01T00:00:02Z (mia: drill); measured up", "notice"},
			{"its end is on its way", 6 * time.Second, func(*fake) {}, well + ". Endpoint euw1 is drained since 2000-01-01T00:00:00Z, expires 2000-01-01T00:00:02Z (mia: drill); measured up", "notice"},
			{"overdue", time.Second, func(*fake) {},
				"Endpoint euw1 is drained since 2000-01-01T00:00:00Z, although it was to end at 2000-01-01T00:00:02Z: the voters have not ended it (mia: drill); measured up", "warning"},
			{"ended", 0, submits(control.Command{Kind: control.KindExpire}), well, ""},
			{"latched", 0, submits(control.Command{Kind: control.KindLatch, Latch: []control.Member{{Pool: "admin", Endpoint: "use1"}}}),
				well + ". Endpoint use1 is passed over in pool admin since 2000-01-01T00:00:07Z, until it is resumed; measured up", "notice"},
			{"what the configuration lost", 0, func(f *fake) {
				submits(control.Command{Kind: control.KindLatch, Latch: []control.Member{{Pool: "admin", Endpoint: "aps1"}}})(f)
				submits(control.Command{Kind: control.KindResume, Resume: &control.Member{Pool: "admin", Endpoint: "use1"}})(f)
			}, well + ". Pool admin has no endpoint aps1, which waits since 2000-01-01T00:00:07Z to be resumed", "notice"},
			{"resumed", 0, submits(control.Command{Kind: control.KindResume, Resume: &control.Member{Pool: "admin"}}), well, ""},
			{"no quorum", 0, func(f *fake) { f.change(func(n *NodeInfo) { n.Quorum = false }) },
				"No quorum of voters: controls stay as they are and can't be changed", "warning"},
			{"no voters", 0, func(f *fake) { f.change(func(n *NodeInfo) { n.Raft = "" }) }, well, ""},
			{"a quorum", 0, func(f *fake) { f.change(func(n *NodeInfo) { n.Quorum, n.Raft = true, "leader is eu1, 3 voters" }) }, well, ""},
			{"a configuration is refused", 0, refuses("a.yaml:1: x\nb.yaml:2: y\n"),
				"The configuration on disk is refused, an older one is in force: a.yaml:1: x (and 1 more)", "warning"},
			{"a zone file is", 0, refuses("a.zone:1: x", "a.zone"),
				"Not taken: zone file a.zone; what was served instead stays, all else on disk is in force: a.zone:1: x", "warning"},
			{"three are", 0, refuses("a.zone:1: x\nb.zone:1: y\nc.zone:1: z", "a.zone", "b.zone", "c.zone"),
				"Not taken: zone files a.zone, b.zone, c.zone; what was served instead stays, all else on disk is in force: a.zone:1: x (and 2 more)", "warning"},
			{"many are", 0, refuses("a.zone:1: x", "a.zone", "b.zone", "c.zone", "d.zone", "e.zone"),
				"Not taken: zone files a.zone, b.zone, c.zone and 2 more; what was served instead stays, all else on disk is in force: a.zone:1: x", "warning"},
			{"a zone has no data", 0, func(f *fake) { f.change(func(n *NodeInfo) { n.Failing = &Failing{1, []string{"example.com."}} }) },
				"Node us1 answers SERVFAIL for zone example.com., of which it has no data or not the keys; its log says why", "critical"},
			{"it is mended", 0, func(f *fake) { f.change(func(n *NodeInfo) { n.Refused, n.Failing = nil, nil }) }, well, ""},
			{"a database of places is refused", 0, func(f *fake) {
				f.change(func(n *NodeInfo) { n.PlacesRefused = &Refusal{Text: "city.mmdb: damaged: x\no.yaml:1: y"} })
			}, "The databases or overrides that clients are placed by are refused, older ones are in force: city.mmdb: damaged: x (and 1 more)", "warning"},
			{"it is taken", 0, func(f *fake) { f.change(func(n *NodeInfo) { n.PlacesRefused = nil }) }, well, ""},
			{"not ready", 0, peer("eu1", func(p *Peer) { p.Ready = false }), well + ". Node eu1 in eu-west does not answer queries yet", "notice"},
			{"ready", 0, peer("eu1", func(p *Peer) { p.Ready = true }), well, ""},
			{"nodes differ, as they do while news travels", 0, func(f *fake) { f.skew = true }, well, ""},
			{"still, not for long enough", 4 * time.Second, func(*fake) {}, well, ""},
			{"that is too long for news", 2 * time.Second, func(*fake) {}, "Node ap1 differs in its answers: SNAPSHOT (and 1 more)", "warning"},
			{"an alarm", 55 * time.Second, func(*fake) {}, "Node ap1 differs in its answers: SNAPSHOT (and 1 more)", "critical"},
			{"they agree", 0, func(f *fake) { f.skew = false }, well, ""},
			{"and begin anew", 0, func(f *fake) { f.skew = true }, well, ""},
		} {
			time.Sleep(r.after)
			r.do(f)
			f.advance()
			synctest.Wait()
			st := s.status(s.scene(time.Now()))
			got := ""
			if len(st.Findings) > 0 {
				got = levelNames[st.Findings[0].Level]
			}
			digests := fmt.Sprintf("%v, not %v", f.snapshot.Digest+1, f.snapshot.Digest)
			st.Summary = strings.ReplaceAll(st.Summary, digests, "SNAPSHOT")
			if st.Summary != r.want || got != r.level {
				t.Errorf("%s: %q, %q, want %q, %q", r.name, st.Summary, got, r.want, r.level)
			}
		}
	})
}

// A check that is down is no alarm where people have decided that nobody is answered what it is of, and it is said who has.
func TestDownAndBarred(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(*fake)
		want string // of the findings about checks
	}{
		{"answered", byHand("use1=force_up"), "critical Check gateway/aps1/ipv4 is down: 0 of 3 regions say up, 3 of 3 vantages fresh, 3 × timeout"},
		{"drained, so it may be answered", byHand("aps1=drain"), "critical Check gateway/aps1/ipv4 is down: 0 of 3 regions say up, 3 of 3 vantages fresh, 3 × timeout"},
		{"forced down", byHand("aps1=force_down"), "notice Check gateway/aps1/ipv4 is down, and its endpoint is forced down: 0 of 3 regions say up, 3 of 3 vantages fresh, 3 × timeout"},
	} {
		f := newFake(t)
		all("aps1/ipv4", health.Down, health.ReasonTimeout)(f)
		test.do(f)
		var got []string
		for _, finding := range find(scene{now: time.Now(), node: f.node, health: f.health, control: f.control, snapshot: f.snapshot}, nil) {
			if finding.Kind == kindCheck {
				got = append(got, levelNames[finding.Level]+" "+finding.Text)
			}
		}
		if strings.Join(got, "|") != test.want {
			t.Errorf("%s: %s, want %s", test.name, strings.Join(got, "|"), test.want)
		}
	}
}

// An endpoint that is up by hand and not by what is measured is a warning.
func TestForcedUpAgainstWhatIsMeasured(t *testing.T) {
	for _, test := range []struct {
		name  string
		check string // that is down
		want  level
	}{
		{"measured up", "use1", levelNotice}, {"measured down", "aps1", levelWarning}, {"measured down in one family", "aps1/ipv6", levelWarning},
	} {
		f := newFake(t)
		all(test.check, health.Down, health.ReasonTimeout)(f)
		byHand("aps1=force_up")(f)
		for _, finding := range find(scene{now: time.Now(), node: f.node, health: f.health, control: f.control, snapshot: f.snapshot}, nil) {
			if finding.Kind == kindEndpoint && finding.Level != test.want {
				t.Errorf("%s: %s, want %s: %s", test.name, levelNames[finding.Level], levelNames[test.want], finding.Text)
			}
		}
	}
}

func TestNoRoomForLatches(t *testing.T) {
	f := newFake(t)
	for i := range control.MaxLatches / 100 {
		var c control.Command
		c.Kind = control.KindLatch
		for j := range 100 {
			c.Latch = append(c.Latch, control.Member{Pool: "old", Endpoint: fmt.Sprint(100*i + j)})
		}
		submits(c)(f)
	}
	found := find(scene{now: time.Now(), node: f.node, health: f.health, control: f.control, snapshot: f.snapshot}, nil)
	if len(found) != control.MaxLatches+1 || found[0].Level != levelWarning || !strings.HasPrefix(found[0].Text, "5000 members wait to be resumed, and there is no room") {
		t.Errorf("%d findings, the first %+v, want one that says that there is no room", len(found), found[0])
	}
}

func TestDisagreements(t *testing.T) {
	node := func(name health.NodeID, world, snapshot health.Hash64, index uint64) Peer {
		return Peer{Name: name, Alive: true, Ready: true, Heard: time.Unix(1, 0), World: world, Snapshot: snapshot, Epoch: 1, Index: index}
	}
	edit := func(p Peer, f func(*Peer)) Peer { f(&p); return p }
	for _, test := range []struct {
		name  string
		peers []Peer
		want  string
	}{
		{"nobody", nil, ""},
		{"alone", []Peer{node("a", 1, 1, 1)}, ""},
		{"the many are right", []Peer{node("a", 1, 1, 1), node("b", 1, 2, 1), node("c", 1, 2, 1)}, "a answers"},
		{"of two, this one", []Peer{node("b", 1, 2, 1), node("a", 1, 1, 1)}, "b answers"},
		{"another configuration explains other answers", []Peer{node("a", 1, 1, 1), node("b", 1, 1, 1), node("c", 2, 2, 1)}, "c configuration"},
		{"the newest controls are right", []Peer{node("a", 1, 1, 1), node("b", 1, 1, 1), node("c", 1, 1, 2)}, "a controls, b controls"},
		{"the dead do not count", []Peer{node("a", 1, 1, 1), edit(node("b", 2, 2, 2), func(p *Peer) { p.Alive = false })}, ""},
		{"nor those not heard", []Peer{node("a", 1, 1, 1), edit(node("b", 0, 0, 0), func(p *Peer) { p.Heard = time.Time{} })}, ""},
		{"who answers nothing has no answers to compare", []Peer{node("a", 1, 1, 1), edit(node("b", 1, 0, 1), func(p *Peer) { p.Ready = false })}, ""},
	} {
		var got []string
		for _, d := range disagreements(NodeInfo{Name: "a", Peers: test.peers}) {
			got = append(got, fmt.Sprintf("%s %s", d.node, d.what))
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

func TestNeeds(t *testing.T) {
	abc := []control.ControlID{"a", "b", "c"}
	for _, test := range []struct {
		rule control.Rule
		want string
	}{
		{control.Rule{Assert: control.AtLeast, Threshold: 2, Of: abc}, "at least 2 of 3 on"},
		{control.Rule{Assert: control.Any, Of: abc}, "at least 1 of 3 on"},
		{control.Rule{Assert: control.All, Of: abc}, "all 3 on"},
		{control.Rule{Assert: control.AtLeast, Threshold: 2, Of: abc, Inverted: true}, "at most 1 of 3 on"},
		{control.Rule{Assert: control.Any, Of: abc, Inverted: true}, "none of 3 on"},
		{control.Rule{Assert: control.All, Of: abc, Inverted: true}, "not all 3 on"},
	} {
		if got := needs(test.rule); got != test.want {
			t.Errorf("needs(%+v) = %q, want %q", test.rule, got, test.want)
		}
	}
}
