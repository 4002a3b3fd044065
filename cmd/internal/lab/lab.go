//go:build linux

// Package lab runs the real program in five regions that are as far from each other as five cities, and breaks them.
//
// It decides when a packet between two regions arrives and whether it does; which endpoint dies, hangs, answers wrongly or
// loses packets; and how long that was seen in answers. It knows no package of the product: it writes the files that an operator writes, starts the
// program, and asks as clients ask. It never touches the network that it runs in, and never waits for the product's word that something
// has happened: what counts is what nameservers answer.
//
// Always: a region is a network namespace, and all that joins the regions is a router in the test; whatever the lab has made or started
// ends with the test's process, however that ends; a row that is printed was measured from the instant of the fault.
package lab

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

const (
	device    = "lab" // a region's way out
	deviceMTU = 1400
)

// A lab is the regions, and what runs in them.
type lab struct {
	t       *testing.T // for as long as it lasts all that is started does
	cities  *cities
	regions []*region
	router  *router
	dir     string
	program string

	vantages int // of each region: its nameserver, and nodes that only probe
}

// A region is a network namespace with one way out. All of 10.77.N.0/24 is its own.
type region struct {
	index int
	name  string
	space *peers.Space

	nodes     map[string]*program // by what their names end with
	standIn   *program
	puppeteer puppeteer // of the stand-in
}

// address returns an address of the region.
func (r *region) address(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{network[0], network[1], byte(r.index + 1), byte(host)})
}

// build joins five regions by a router; nothing runs in them yet. Where that can't be done the test is skipped, loudly.
func build(t *testing.T, vantages int, seed uint64) *lab {
	t.Helper()
	peers.Need(t, "ip", "nft")
	l := &lab{t: t, cities: readCities(), vantages: vantages}
	var ports []io.ReadWriteCloser
	for i, name := range l.cities.names {
		r := &region{index: i, name: name, space: peers.NewSpace(t), nodes: make(map[string]*program)}
		port, err := r.open()
		if err != nil {
			for _, p := range ports {
				p.Close()
			}
			t.Skipf("SKIPPED: no way out of a network namespace: %v", err)
		}
		l.regions, ports = append(l.regions, r), append(ports, port)
	}
	hurry()
	l.router = newRouter(ports, l.cities.delay, seed)
	t.Cleanup(l.router.close)
	for _, r := range l.regions {
		if err := r.nft(filterRules); err != nil {
			t.Skipf("SKIPPED: no packet filter in a network namespace: %v", err)
		}
	}
	return l
}

// open makes the way out and returns the end of it that the router has.
func (r *region) open() (port *os.File, err error) {
	r.space.Do(func() {
		var fd int
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			err = fmt.Errorf("/dev/net/tun: %w", err)
			return
		}
		request, wrong := unix.NewIfreq(device)
		if wrong != nil {
			panic(wrong)
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			unix.Close(fd)
			err = fmt.Errorf("TUNSETIFF: %w", err)
			return
		}
		port = os.NewFile(uintptr(fd), device)
		own := r.address(1)
		for _, command := range []string{
			fmt.Sprintf("address add %s/32 dev lo", own),
			fmt.Sprintf("route add local %s/24 dev lo src %s", r.address(0), own),
			fmt.Sprintf("link set %s up mtu %d", device, deviceMTU),
			fmt.Sprintf("route add %d.%d.0.0/16 dev %s src %s", network[0], network[1], device, own),
		} {
			if out, wrong := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); wrong != nil {
				port.Close()
				err = fmt.Errorf("ip %s: %w: %s", command, wrong, out)
				return
			}
		}
	})
	return port, err
}

// hurry has all threads of the process, and those that they start, go before others: the network must not be slower than what it joins. Programs
// that the lab starts do not inherit it.
func hurry() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, -15) // a thread that has ended needs none
		}
	}
}

// filterRules has a region drop all packets to the addresses in one set, and of those in another 30 % each way.
const filterRules = `table inet lab {
	set hole { type ipv4_addr; }
	set lossy { type ipv4_addr; }
	chain in {
		type filter hook input priority 0;
		ip daddr @hole drop
		ip daddr @lossy numgen random mod 1000 < 300 drop
	}
	chain out {
		type filter hook output priority 0;
		ip saddr @lossy numgen random mod 1000 < 300 drop
	}
}
`
