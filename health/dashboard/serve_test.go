package dashboard

import (
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

var serveOn = flag.String("serve", "", "address on which to show the page of a made-up world until interrupted")

// TestServe shows the page for people and for the browser test:
//
//	go test -run TestServe -serve 127.0.0.1:8053 ./health/dashboard
//
// POST {"do": …} to /v1/fake/ to make things happen: see acts.
func TestServe(t *testing.T) {
	if *serveOn == "" {
		return // nobody wants to look
	}
	f := newFake(t)
	listener, err := net.Listen("tcp", *serveOn)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	s, err := Start(Config{Listener: listener, Gatherer: registry, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Extra: map[string]http.Handler{"/v1/fake/": http.HandlerFunc(f.act)}}, f.source())
	if err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(s)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			f.advance()
		case <-interrupted:
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			return
		}
	}
}

var acts = map[string]func(*fake){
	"euw1 down": func(f *fake) {
		for _, v := range fakeVantages {
			f.say(v.Node, "euw1", health.Down, health.ReasonRefused)
		}
	},
	"euw1 up": func(f *fake) {
		for _, v := range fakeVantages {
			f.say(v.Node, "euw1", health.Up, health.ReasonOK)
		}
	},
	"all down": func(f *fake) {
		for _, v := range fakeVantages {
			f.say(v.Node, "", health.Down, health.ReasonTimeout)
		}
	},
	"all up": func(f *fake) {
		for _, v := range fakeVantages {
			f.say(v.Node, "", health.Up, health.ReasonOK)
		}
	},
	"ap1 sees euw1 down": func(f *fake) { f.say("ap1", "euw1", health.Down, health.ReasonTimeout) },
	"aps1 drains": func(f *fake) {
		for _, v := range fakeVantages {
			f.say(v.Node, "aps1", health.Drain, health.ReasonDrain)
		}
	},
	"ap1 lost": func(f *fake) { f.change(func(n *NodeInfo) { n.Peers[0].Alive = false }) },
	"ap1 back": func(f *fake) { f.change(func(n *NodeInfo) { n.Peers[0].Alive = true }) },
	"eu1 lost": func(f *fake) { f.change(func(n *NodeInfo) { n.Peers[1].Alive = false }) },
	"no quorum": func(f *fake) {
		f.change(func(n *NodeInfo) { f.noQuorum, n.Quorum, n.Raft = true, false, "no leader; 1 of 3 voters in sight" })
	},
	"quorum": func(f *fake) {
		f.change(func(n *NodeInfo) { f.noQuorum, n.Quorum, n.Raft = false, true, "leader is eu1, 3 voters" })
	},
	"ap1 differs": func(f *fake) { f.skew = true },
	"ap1 agrees":  func(f *fake) { f.skew = false },
}

func (f *fake) act(w http.ResponseWriter, r *http.Request) {
	var body struct{ Do string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || acts[body.Do] == nil {
		refuse(w, http.StatusBadRequest, "unknown act")
		return
	}
	acts[body.Do](f)
	f.advance()
	reply(w, body)
}
