package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/demo"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

type demoCommand struct {
	Run     demoRun     `cmd:"" default:"withargs" help:"Run the demo until ^C."`
	Fail    demoFail    `cmd:"" help:"Make the gateway of a region of a running demo fail, and tell no node."`
	Service demoService `cmd:"" help:"Run the service of a region that the demo has behind its gateways, for nodes that run by themselves."`
	Heal    demoHeal    `cmd:"" help:"Mend the gateway of a region of a running demo."`
}

type demoRun struct {
	Verbose    bool          `help:"Print the logs of all nodes." short:"v"`
	PortOffset int           `help:"Added to every port, for when some are in use." placeholder:"N"`
	Interval   time.Duration `help:"Between probes, 1s to 5m." default:"1s"`
}

const whatToTry = `Meridian demo: three regions in this process, each a nameserver, probe, gateway and voter of its own.
Checks run every {interval} here, and a recovered endpoint waits 2s (by default 10s and 30s); Raft's time-outs are short too.

  nameservers   127.0.1.1:{dns} (us-east; also 127.0.0.1:{dns})  127.0.2.1:{dns} (eu-west)  127.0.3.1:{dns} (ap-south)
  gateways      http://127.0.1.1:{gateway}  http://127.0.2.1:{gateway}  http://127.0.3.1:{gateway}
  dashboard     http://127.0.0.1:{api}

Try in another terminal (the program is go run ./cmd/meridian if it is not installed):
  dig @127.0.0.1 -p {dns} api.example.com +subnet=8.8.8.0/24       a client in America
  dig @127.0.0.1 -p {dns} api.example.com +subnet=91.0.0.0/24      in Germany
  dig @127.0.0.1 -p {dns} api.example.com +subnet=103.21.124.0/24  in India
  curl -H 'Host: api.example.com' http://$(dig @127.0.0.1 -p {dns} api.example.com +short +subnet=91.0.0.0/24):{gateway}/hello
  meridian explain api.example.com --client 91.0.0.1
  meridian demo fail eu-west        and ask for Germany again, at any nameserver; then: meridian demo heal eu-west
      (who goes down twice within ten minutes must answer ten probes in a row before it counts as up)
  meridian control set api-us-east off --reason 'try it'
  meridian control set api-eu-west off --reason 'one too many'      the rule keep-two refuses
  meridian status
`

// Run runs the demo.
func (c demoRun) Run() error {
	level := slog.LevelError
	if c.Verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	started := time.Now()
	if c.PortOffset < 0 || c.PortOffset > demo.MaxOffset {
		return fmt.Errorf("--port-offset %d: want 0 to %d", c.PortOffset, demo.MaxOffset)
	}
	if c.Interval < time.Second || c.Interval > 5*time.Minute {
		return fmt.Errorf("--interval %v: want 1s to 5m", c.Interval)
	}
	d, err := demo.Start(demo.Options{PortOffset: c.PortOffset, Interval: c.Interval, Logger: log, Events: tell, Faults: tellFault})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w (or move all ports of the demo: --port-offset 1000)", err)
	}
	if err != nil {
		return err
	}
	port := func(n int) string { return strconv.Itoa(n + c.PortOffset) }
	fmt.Print(strings.NewReplacer("{dns}", port(demo.DNSPort), "{gateway}", port(demo.GatewayPort), "{api}", port(demo.APIPort),
		"{interval}", c.Interval.String()).Replace(whatToTry))
	if c.PortOffset != 0 {
		fmt.Printf("  (with this for the commands: export MERIDIAN_ENDPOINT=http://127.0.0.1:%s)\n", port(demo.APIPort))
	}
	fmt.Printf("Up after %.1f s. ^C ends it and leaves nothing behind.\n\n", time.Since(started).Seconds())
	select {
	case <-signals:
	case err = <-d.Fatal():
	}
	signal.Stop(signals) // a second ^C ends it at once
	fmt.Println("ending")
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// tell prints the events that someone who tries the demo wants to see.
func tell(events []health.Event) {
	for _, e := range events {
		switch e.Kind {
		case health.EventStatus, health.EventControl, health.EventEndpoint, health.EventLatch, health.EventRung, health.EventHeld, health.EventConfig:
			fmt.Printf("%s %s %s: %s\n", e.Time.Format("15:04:05.000"), e.Kind, e.Subject, e.Text)
		}
	}
}

// tellFault prints what was done to a gateway.
func tellFault(region geo.RegionID, how demo.Fault) {
	text := "is made to fail: " + string(how)
	if how == "" {
		text = "is mended"
	}
	fmt.Printf("%s demo: the gateway of %s %s; no node was told\n", time.Now().Format("15:04:05.000"), region, text)
}

type demoFail struct {
	endpoint
	Region string `arg:"" help:"Region whose gateway is to fail."`
	How    string `help:"How: refuse (connections), hang (after connecting), 500 (to every request), cut (no packet comes back)." default:"refuse" enum:"refuse,hang,500,cut"`
}

// Run makes a gateway fail.
func (c demoFail) Run() error {
	return c.post("/v1/demo/fail", map[string]string{"region": c.Region, "how": c.How}, nil)
}

type demoHeal struct {
	endpoint
	Region string `arg:"" help:"Region whose gateway is to be mended."`
}

// Run mends a gateway.
func (c demoHeal) Run() error {
	return c.post("/v1/demo/heal", map[string]string{"region": c.Region}, nil)
}

type demoService struct {
	Region string         `arg:"" help:"Region that it answers in the name of."`
	Listen netip.AddrPort `help:"Where it listens." default:"127.0.0.1:8000" placeholder:"ADDRESS:PORT"`
}

// Run serves until it is told to end.
func (c demoService) Run() error {
	l, err := net.Listen("tcp", c.Listen.String())
	if err != nil {
		return err
	}
	fmt.Printf("the service of %s answers at http://%s\n", c.Region, l.Addr())
	return demo.NewService(c.Region).Serve(l)
}
