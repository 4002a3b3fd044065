// Package demo runs three regions of Meridian in one process: three full nodes that reach
// each other only through real sockets on loopback, and a service behind each gateway.
//
// It needs no root, no network and no file, makes its own keys, keeps its state in a
// temporary directory, and leaves nothing behind. Its API has one more part, /v1/demo/,
// that makes a region's gateway fail and tells no node about it.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/deploy"
	"github.com/meridian-gslb/meridian/gateway"
	"github.com/meridian-gslb/meridian/gateway/echo"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/health"
)

// Regions are the demo's regions; the first one's node has the dashboard.
var Regions = []geo.RegionID{"us-east", "eu-west", "ap-south"}

// The ports of the example. An offset moves all of them.
const (
	DNSPort     = 5300
	GatewayPort = 8080
	APIPort     = 8053
	servicePort = 8000
	gossipPort  = 7946
	controlPort = 7000
)

var ports = regexp.MustCompile(fmt.Sprintf(`\b(%d|%d|%d|%d|%d|%d)\b`,
	DNSPort, GatewayPort, APIPort, servicePort, gossipPort, controlPort))

// MaxOffset is the most that ports can be moved by.
const MaxOffset = 65535 - GatewayPort

// Options change the demo. The zero Options are the demo as the README tells it.
type Options struct {
	PortOffset int                                  // added to every port
	Interval   time.Duration                        // between probes; 0: the example's, 1 s
	Logger     *slog.Logger                         // of all nodes
	Events     func([]health.Event)                 // is told of what the first node sees; nil: nobody
	Faults     func(region geo.RegionID, how Fault) // is told of each fault, and of its end by an empty one; nil: nobody
}

// exampleInterval is how the example's world writes the interval of its check.
const exampleInterval = "interval: 1s"

// A Demo is three running nodes and what is around them.
type Demo struct {
	dir      string
	options  Options
	hosts    []*host.Host
	gateways map[geo.RegionID]*breakable
	services []*http.Server
}

// Start brings everything up.
func Start(options Options) (_ *Demo, err error) {
	dir, err := os.MkdirTemp("", "meridian-demo-")
	if err != nil {
		return nil, err
	}
	d := &Demo{dir: dir, options: options, gateways: make(map[geo.RegionID]*breakable)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := d.unpack(); err != nil {
		return nil, err
	}
	table, err := mmdb.Default()
	if err != nil {
		return nil, err
	}
	for i, region := range Regions {
		if err := d.start(region, table, i == 0); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// unpack writes the example world, its node files and fresh keys.
func (d *Demo) unpack() error {
	example, err := fs.Sub(deploy.Example, "example")
	if err != nil {
		return err
	}
	if err := os.CopyFS(d.dir, example); err != nil {
		return err
	}
	if err := d.adapt(); err != nil {
		return err
	}
	dir := filepath.Join(d.dir, "keys")
	if err := keys.Init(dir, "demo"); err != nil {
		return err
	}
	roles, err := health.ParseRoles(health.RoleNames[:])
	if err != nil {
		return err
	}
	for _, region := range Regions {
		if err := keys.Issue(dir, pki.Identity{Name: health.NodeID(region), Region: region, Roles: roles}, 24*time.Hour); err != nil {
			return err
		}
	}
	return nil
}

// adapt puts the options into the unpacked files.
func (d *Demo) adapt() error {
	return filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		adapted := ports.ReplaceAllStringFunc(string(text), func(port string) string {
			n, _ := strconv.Atoi(port) // the pattern matches nothing but numbers
			return strconv.Itoa(n + d.options.PortOffset)
		})
		if d.options.Interval != 0 {
			adapted = strings.Replace(adapted, exampleInterval, "interval: "+d.options.Interval.String(), 1)
		}
		return os.WriteFile(path, []byte(adapted), 0o600)
	})
}

func (d *Demo) start(region geo.RegionID, table *geo.Table, first bool) error {
	file := filepath.Join(d.dir, string(region)+".yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	cfg, err := nodefile.Parse(file, text)
	if err != nil {
		return err
	}
	service, err := d.serve(region, cfg.Gateway[0].Addr())
	if err != nil {
		return err
	}
	d.services = append(d.services, service)
	o := host.Options{
		Logger: d.options.Logger.With("node", string(region)), Table: table,
		Gateway: func(c *gateway.Config) {
			d.gateways[region] = newBreakable(c.Listeners[0])
			c.Listeners[0] = d.gateways[region]
		},
	}
	if first {
		o.API = map[string]http.Handler{"/v1/demo/": d.api()}
		o.Events = d.options.Events
	}
	h, err := host.Start(*cfg, o)
	if err != nil {
		return err
	}
	d.hosts = append(d.hosts, h)
	return nil
}

// serve starts the service behind a region's gateway.
func (d *Demo) serve(region geo.RegionID, address netip.Addr) (*http.Server, error) {
	at := netip.AddrPortFrom(address, uint16(servicePort+d.options.PortOffset))
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		var cause syscall.Errno
		errors.As(err, &cause) // the rest says again what and where
		return nil, fmt.Errorf("service of %s at %v: %w", region, at, cause)
	}
	server := NewService(string(region))
	go server.Serve(l)
	return server, nil
}

// NewService returns the service of a region: it answers with what it was asked.
func NewService(region string) *http.Server {
	return &http.Server{Handler: echo.Handler(region), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}

// A command is the body of a POST to /v1/demo/fail and /v1/demo/heal.
type command struct {
	Region geo.RegionID `json:"region"`
	How    Fault        `json:"how,omitempty"`
}

func (d *Demo) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/demo/fail", func(w http.ResponseWriter, r *http.Request) { d.set(w, r, false) })
	mux.HandleFunc("POST /v1/demo/heal", func(w http.ResponseWriter, r *http.Request) { d.set(w, r, true) })
	return mux
}

func (d *Demo) set(w http.ResponseWriter, r *http.Request, heal bool) {
	var c command
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		refuse(w, err)
		return
	}
	gateway := d.gateways[c.Region]
	if gateway == nil {
		refuse(w, fmt.Errorf("unknown region %q (have %s, %s, %s)", c.Region, Regions[0], Regions[1], Regions[2]))
		return
	}
	switch {
	case heal:
		c.How = healthy
	case c.How == "":
		c.How = Refuse
	}
	if err := gateway.Set(c.How); err != nil {
		refuse(w, err)
		return
	}
	if d.options.Faults != nil {
		d.options.Faults(c.Region, c.How)
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuse answers with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": "Bad Request", "status": http.StatusBadRequest, "detail": err.Error()})
}

// Close ends the demo and removes its files.
func (d *Demo) Close() error {
	var errs []error
	done := make(chan error, len(d.hosts))
	for _, h := range d.hosts {
		go func() { done <- h.Close() }()
	}
	for range d.hosts {
		errs = append(errs, <-done)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range d.services {
		errs = append(errs, s.Shutdown(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// Fatal gives an error if a node can't go on.
func (d *Demo) Fatal() <-chan error {
	fatal := make(chan error, len(d.hosts))
	for _, h := range d.hosts {
		go func() {
			if err, ok := <-h.Fatal(); ok {
				fatal <- err
			}
		}()
	}
	return fatal
}
