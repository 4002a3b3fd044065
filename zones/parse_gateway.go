package zones

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type gatewayKeys struct {
	services []strict.Named[serviceKeys]
	routes   []strict.At[Route]
}

type serviceKeys struct {
	upstreams []strict.Named[[]string]
}

var gatewayObject = strict.Object[gatewayKeys]{
	strict.Optional("services", "what requests are proxied to, by name", "",
		strict.Map("service", strict.Name[string](), serviceObject.Type("a service"), maxServices),
		func(g *gatewayKeys) *[]strict.Named[serviceKeys] { return &g.services }),
	strict.Optional("routes", "which requests go to which service: the most specific route wins, in whatever order they stand", "",
		strict.List(strict.Placed(routeObject.Type("a route")), maxRoutes),
		func(g *gatewayKeys) *[]strict.At[Route] { return &g.routes }),
}

var serviceObject = strict.Object[serviceKeys]{
	strict.Required("upstreams", "its servers, by region",
		strict.NotEmpty(strict.Map("region", strict.Name[string](), strict.NotEmpty(strict.OneOrList(strict.Parsed("host:port", hostPort), maxUpstreams)), maxRegions)),
		func(s *serviceKeys) *[]strict.Named[[]string] { return &s.upstreams }),
}

var routeObject = strict.Object[Route]{
	strict.Required("host", "of the request; *.example.com is every name below example.com", strict.Parsed("host name, or *. and a host name", routeHost),
		func(r *Route) *string { return &r.Host }),
	strict.Optional("path", "prefix of the request's path, in whole segments: /a is /a and /a/b, not /ab", "/", strict.Parsed("path", routePath),
		func(r *Route) *string { return &r.Path }),
	strict.Required("service", "where the requests go", strict.Name[string](),
		func(r *Route) *string { return &r.Service }),
}

func (p *parser) gateway() {
	p.source.gateway.services = byName(p, "service", p.source.gateway.services, maxServices)
	services := p.source.gateway.services
	for _, s := range services {
		service := Service{Name: s.Name, Upstreams: map[geo.RegionID][]string{}}
		context := fmt.Sprintf("service %q", s.Name)
		for _, u := range s.Value.upstreams {
			p.knownRegion(u.Position, context, u.Name)
			for i, hostPort := range u.Value {
				if slices.Contains(u.Value[:i], hostPort) {
					p.mistakes.Add(u.Position, "%s: region %q has the upstream %s twice", context, u.Name, hostPort)
				}
			}
			service.Upstreams[geo.RegionID(u.Name)] = u.Value
		}
		p.world.Gateway.Services = append(p.world.Gateway.Services, service)
	}
	p.routes()
}

func (p *parser) routes() {
	routes := p.source.gateway.routes
	if len(routes) > maxRoutes {
		p.mistakes.Add(routes[maxRoutes].Position, "%d routes, at most %d are allowed", len(routes), maxRoutes)
		return
	}
	slices.SortStableFunc(routes, func(a, b strict.At[Route]) int { return compareRoutes(a.Value, b.Value) })
	used := map[string]bool{}
	var last strict.At[Route]
	for _, r := range routes {
		route := r.Value
		used[route.Service] = true
		if route.Host == "" || route.Path == "" || route.Service == "" {
			continue // its mistake is noted
		}
		if !isDefined(p.source.gateway.services, route.Service) {
			p.mistakes.Add(r.Position, "route %s%s: %s", route.Host, route.Path, strict.Unknown("service", route.Service, namesOf(p.source.gateway.services)))
		}
		if last.Given() && compareRoutes(last.Value, route) == 0 {
			p.mistakes.Add(r.Position, "route %s%s: stands twice (first at %s)", route.Host, route.Path, last.Position)
			continue
		}
		last = r
		p.world.Gateway.Routes = append(p.world.Gateway.Routes, route)
	}
	for _, s := range p.source.gateway.services {
		if !used[s.Name] {
			p.warnings.Add(s.Position, "service %q: no route leads to it, so no request gets there", s.Name)
		}
	}
}

// compareRoutes orders the more specific route first: exact host before wildcard, longer wildcard before shorter, longer
// path before shorter. Only routes for the same requests are equal.
func compareRoutes(a, b Route) int {
	wildcard := func(r Route) int {
		if strings.HasPrefix(r.Host, "*.") {
			return 1
		}
		return 0
	}
	byLength := 0
	if wildcard(a) == 1 {
		byLength = cmp.Compare(len(b.Host), len(a.Host))
	}
	return cmp.Or(cmp.Compare(wildcard(a), wildcard(b)), byLength, cmp.Compare(a.Host, b.Host),
		cmp.Compare(len(b.Path), len(a.Path)), cmp.Compare(a.Path, b.Path))
}

func routeHost(text string) (string, error) {
	rest, wildcard := strings.CutPrefix(text, "*.")
	host, err := hostName(rest)
	if wildcard {
		host = "*." + host
	}
	return host, err
}

func routePath(text string) (string, error) {
	target, err := requestTarget(text)
	switch {
	case err != nil:
		return "", err
	case strings.ContainsAny(target, `?%\;`):
		return "", errors.New("a path prefix has no query, no escapes, no backslash and no semicolon")
	case path.Clean(target) != target:
		return "", fmt.Errorf("is matched in whole segments (write %s)", path.Clean(target))
	}
	return target, nil
}

// hostPort takes the address of an upstream and returns it with the host in lower case.
func hostPort(text string) (string, error) {
	if a, err := netip.ParseAddrPort(text); err == nil && a.Port() > 0 && a.Addr().Zone() == "" {
		return a.String(), nil
	}
	host, port, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	host, errHost := hostName(host)
	if !ok || err != nil || n == 0 || errHost != nil {
		return "", errors.New("is not host:port, such as 10.0.1.10:8000")
	}
	return host + ":" + strconv.FormatUint(n, 10), nil
}
