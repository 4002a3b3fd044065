package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memberlist forgets a dead node after GossipToTheDeadTime and never calls it again, so the two halves of a longer
// partition would stay apart for ever. Here the absent are joined again, whoever they are.

const (
	joinsAtOnce    = 8 // of a round; the next round begins where this one ended
	resolveTimeout = 5 * time.Second
	earlyJoins     = 8 * time.Second // until pauses of 1 s, 2 s, 4 s become those of Rejoin
)

func checkSeed(seed string) error {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return fmt.Errorf("seed %q: want host:port", seed)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return fmt.Errorf("seed %q: want host:port", seed)
	}
	return nil
}

// keepJoined joins what is absent: at once, again soon while all nodes may be starting together, and then every
// Rejoin, give or take a tenth so that nodes don't do it in step.
func (m *Mesh) keepJoined() {
	j := joiner{Mesh: m, failing: map[netip.AddrPort]bool{}, unresolved: map[string]bool{}}
	for early := time.Second; ; early *= 2 {
		began := time.Now()
		j.round()
		m.reidentify()
		pause := early
		if early >= min(earlyJoins, m.config.Rejoin) {
			early, pause = earlyJoins, m.config.Rejoin
		}
		pause += rand.N(pause/5+1) - pause/10
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(pause - time.Since(began)):
		}
	}
}

// a joiner is the state of keepJoined, kept so that only changes are logged.
type joiner struct {
	*Mesh
	failing    map[netip.AddrPort]bool
	unresolved map[string]bool
	last       netip.AddrPort // that was tried
}

// join exchanges states with whoever is at an address. Its error is memberlist's for that one, without the list and the address around it.
func (m *Mesh) join(at netip.AddrPort) error {
	_, err := m.list.Join([]string{at.String()})
	if err == nil {
		return nil
	}
	_, trouble, found := strings.Cut(err.Error(), "failed to join "+at.String()+": ")
	if !found {
		trouble = err.Error()
	}
	return errors.New(strings.TrimSpace(trouble))
}

func (j *joiner) round() {
	addresses := j.absent()
	failing := map[netip.AddrPort]bool{}
	for _, a := range addresses {
		if j.failing[a] {
			failing[a] = true
		}
	}
	j.failing = failing // only of those that are still absent

	// Take turns: go on behind the last one that was tried.
	if i, found := slices.BinarySearchFunc(addresses, j.last, netip.AddrPort.Compare); len(addresses) > joinsAtOnce {
		if found {
			i++
		}
		addresses = append(addresses[i:len(addresses):len(addresses)], addresses[:i]...)[:joinsAtOnce]
	}
	errs := make([]error, len(addresses))
	var round sync.WaitGroup
	for i, a := range addresses {
		round.Go(func() {
			if j.leaving.Load() || j.ctx.Err() != nil {
				errs[i] = context.Canceled
				return
			}
			errs[i] = j.join(a)
		})
		j.last = a
	}
	round.Wait()
	if j.leaving.Load() || j.ctx.Err() != nil {
		return
	}
	for i, a := range addresses {
		j.metrics.join(errs[i])
		if errs[i] == nil {
			delete(j.failing, a)
		} else if !j.failing[a] {
			j.failing[a] = true
			j.log.Warn("join failed, will go on trying", "address", a, "err", errs[i])
		}
	}
}

// absent are the addresses of seeds and of remembered members at which there is no member, sorted.
func (j *joiner) absent() []netip.AddrPort {
	present, absent := j.table.addresses()
	for _, seed := range j.config.Seeds {
		absent = append(absent, j.resolve(seed)...)
	}
	slices.SortFunc(absent, netip.AddrPort.Compare)
	return slices.DeleteFunc(slices.Compact(absent), func(a netip.AddrPort) bool { return present[a] || a == j.address })
}

func (j *joiner) resolve(seed string) []netip.AddrPort {
	host, service, _ := net.SplitHostPort(seed)
	port, _ := strconv.ParseUint(service, 10, 16)
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(port))}
	}
	ctx, cancel := context.WithTimeout(j.ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		j.metrics.join(err)
		if !j.unresolved[seed] && j.ctx.Err() == nil {
			j.log.Warn("seed not found, will go on trying", "address", seed, "err", err)
		}
		j.unresolved[seed] = true
		return nil
	}
	delete(j.unresolved, seed)
	addresses := make([]netip.AddrPort, len(found))
	for i, a := range found {
		addresses[i] = netip.AddrPortFrom(a.Unmap(), uint16(port))
	}
	return addresses
}

// reidentify looks again at nodes that are here: certificates end.
func (m *Mesh) reidentify() {
	for _, e := range m.table.entries() {
		_, err := m.identify(&e.node)
		if !m.table.mark(e, err != nil) {
			continue
		}
		if err != nil {
			m.metrics.refused.WithLabelValues(refusedIdentity).Inc()
			m.log.Warn("member refused", "peer", e.node.Name, "err", err)
		} else {
			m.log.Info("member joined", "peer", e.node.Name, "address", address(&e.node))
		}
		m.inbox.change()
	}
}
