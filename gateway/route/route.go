// Package route matches the host and path of a request to a service.
//
// It never guesses: a host that no route names has no service, and a path that an upstream
// could read as the path of another route is refused. It decodes a path once and resolves
// no name.
//
// The path that is matched is the path that is forwarded. Normalising twice changes nothing.
// Tables are immutable: any number of goroutines may match by them.
package route

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/zones"
)

// What Match cannot do.
var (
	ErrUnknownHost = errors.New("no route has this host")
	ErrUnknownPath = errors.New("no route of this host has this path")
	ErrAmbiguous   = errors.New("the path can be read as that of another route")
	ErrHost        = errors.New("host") // wrapped by every refusal of a host
)

// A Table holds the routes of a gateway. The zero Table has none.
type Table struct {
	exact    map[string][]zones.Route // by host; longest path first
	wildcard map[string][]zones.Route // by what follows the *, its dot included
}

// New checks g and makes its table. It reports all mistakes at once.
func New(g zones.Gateway) (*Table, error) {
	known := make(map[string]bool, len(g.Services))
	var errs []error
	for _, s := range g.Services {
		if known[s.Name] {
			errs = append(errs, fmt.Errorf("service %q: twice", s.Name))
		}
		known[s.Name] = true
	}
	t := &Table{exact: map[string][]zones.Route{}, wildcard: map[string][]zones.Route{}}
	for _, r := range g.Routes {
		if !known[r.Service] {
			errs = append(errs, fmt.Errorf("route %s%s: unknown service %q", r.Host, r.Path, r.Service))
		}
		path, err := ParsePath(r.Path)
		if err == nil && path.ambiguous {
			err = fmt.Errorf("%w: holds %%2F, %%5C, ; or //", ErrPath)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("route %s%s: %w", r.Host, r.Path, err))
			continue
		}
		// A prefix ends on a segment border, so the slash at its end says nothing.
		stored := zones.Route{Host: r.Host, Path: strings.TrimSuffix(path.text, "/"), Service: r.Service}
		byHost, key := t.exact, r.Host
		if rest, ok := strings.CutPrefix(r.Host, "*"); ok {
			byHost, key = t.wildcard, rest
		}
		if host, err := ParseHost(strings.TrimPrefix(key, ".")); err != nil || host != strings.TrimPrefix(key, ".") ||
			strings.HasPrefix(key, ".") != strings.HasPrefix(r.Host, "*") {
			errs = append(errs, fmt.Errorf("route %s%s: %w: want a lower-case name, or *. and one", r.Host, r.Path, ErrHost))
			continue
		}
		if slices.ContainsFunc(byHost[key], func(o zones.Route) bool { return o.Path == stored.Path }) {
			errs = append(errs, fmt.Errorf("route %s%s: twice", r.Host, r.Path))
			continue
		}
		byHost[key] = append(byHost[key], stored)
	}
	for _, byHost := range []map[string][]zones.Route{t.exact, t.wildcard} {
		for _, routes := range byHost {
			slices.SortFunc(routes, func(a, b zones.Route) int { return cmp.Compare(len(b.Path), len(a.Path)) })
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// Len returns how many hosts, wildcards included, have routes.
func (t *Table) Len() int { return len(t.exact) + len(t.wildcard) }

// Match returns the most specific route of a host, as ParseHost gives it, and a path.
//
//	exact host before wildcard, the longer wildcard before the shorter, then the longer path
//	a host whose routes do not have the path: the next less specific host
//	another reading of the path has another route, or has one where this has none: ErrAmbiguous
func (t *Table) Match(host string, path Path) (zones.Route, error) {
	found, err := t.match(host, path.text)
	for _, reading := range path.readings() {
		if other, _ := t.match(host, reading); other != found {
			return zones.Route{}, ErrAmbiguous
		}
	}
	return found, err
}

func (t *Table) match(host, path string) (zones.Route, error) {
	err := ErrUnknownHost
	if routes, ok := t.exact[host]; ok {
		err = ErrUnknownPath
		if r, ok := longest(routes, path); ok {
			return r, nil
		}
	}
	for rest := host; ; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			return zones.Route{}, err
		}
		rest = rest[dot:]
		if routes, ok := t.wildcard[rest]; ok {
			err = ErrUnknownPath
			if r, ok := longest(routes, path); ok {
				return r, nil
			}
		}
		rest = rest[1:]
	}
}

// longest returns the first of routes, longest first, whose prefix ends on a segment border of path.
func longest(routes []zones.Route, path string) (zones.Route, bool) {
	for _, r := range routes {
		if rest, ok := strings.CutPrefix(path, r.Path); ok && (rest == "" || rest[0] == '/') {
			return r, true
		}
	}
	return zones.Route{}, false
}

// ParseHost returns the name in an authority: lower case, without port and without the dot at its
// end. An IPv6 address keeps its brackets.
func ParseHost(authority string) (string, error) {
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i+1:]
	}
	if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		return "", fmt.Errorf("%w: bad port in %.80q", ErrHost, authority)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(inner, "]") {
			return "", fmt.Errorf("%w: bad address %.80q", ErrHost, authority)
		}
		return "[" + addr.String() + "]", nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || len(host) > 253 {
		return "", fmt.Errorf("%w: %.80q is empty or too long", ErrHost, authority)
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("%w: bad name %.80q", ErrHost, authority)
		}
	}
	return host, nil
}
