package gdnsd

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
)

// A watch is what service types come to for an address.
type watch struct {
	check string // empty: none
	down  bool   // always
	look  string // comment: why there is no check
}

// watch turns the names of service types into a check.
func (b *builder) watch(types *value, subject string) watch {
	var found []watch
	for _, t := range types.list() {
		found = append(found, b.service(t.scalar(), t))
	}
	var w watch
	for _, f := range found {
		w.down = w.down || f.down
		if w.look == "" {
			w.look = f.look
		}
		if w.check == "" {
			w.check = f.check
		}
	}
	if checks := slices.DeleteFunc(found, func(f watch) bool { return f.check == "" }); len(checks) > 1 && types != nil {
		b.report.Add(severalChecks, types.at, subject, "%s", w.check)
		w.look = "its other service types are not mapped: a pool has one check"
	} else if w.check != "" {
		w.look = ""
	}
	if w.down {
		w.check = ""
	}
	return w
}

// service returns what one service type comes to. It is made, and noted, when it is first used.
func (b *builder) service(name string, used *value) watch {
	if w, known := b.services[name]; known {
		return w
	}
	definition := b.config.get("service_types").get(name)
	w := watch{}
	switch plugin := definition.get("plugin").scalar(); {
	case definition == nil && (name == "up" || name == ""):
		if used != nil {
			b.report.Add(always, used.at, name, "")
		}
	case definition == nil && name == "down":
		w.down = true
		b.report.Add(alwaysDown, used.at, name, "")
	case definition == nil:
		b.report.Add(lostReference, used.at, "service type "+name, "")
		w.look = "its service type " + name + " is nowhere, so it is always up"
	case plugin == "static":
		feature := always
		if w.down = strings.EqualFold(definition.get("state").scalar(), "DOWN"); w.down {
			feature = alwaysDown
		}
		b.report.Add(feature, definition.at, name, "")
	case plugin == "null":
		w.down = true
		b.report.Add(alwaysDown, definition.at, name, "")
	case plugin == "http_status", plugin == "tcp_connect":
		c, why := b.check(name, plugin, definition)
		if why != "" {
			b.report.Add(otherService, definition.at, name, "%s", why)
			w.look = "its service type " + name + " is not mapped, so it is always up"
			break
		}
		b.world.Checks = append(b.world.Checks, c)
		w.check = c.Name
	default:
		b.report.Add(otherService, definition.at, name, "%s", plugin)
		w.look = "its service type " + name + " (" + plugin + ") is not mapped, so it is always up"
	}
	b.services[name] = w
	return w
}

const most = 10 // consecutive probes of a check

var (
	requestTarget = regexp.MustCompile(`^/[!-"$-~]{0,1000}$`)
	hostName      = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)
	statusCode    = regexp.MustCompile(`^[1-5][0-9][0-9]$`)
)

// check makes a check of a service type, or says why not.
func (b *builder) check(name, plugin string, v *value) (c importer.Check, why string) {
	subject := "service type " + name
	number := func(key string, byDefault, least, limit int) int {
		text := v.get(key).scalar()
		n, err := strconv.Atoi(text)
		switch {
		case v.get(key) == nil:
			return byDefault
		case err != nil || n < least || n > limit:
			why = fmt.Sprintf("%s %q", key, text)
		}
		return n
	}
	c = importer.Check{Name: b.checkNames.New(name), Type: "tcp", Comment: []string{"service type " + name}}
	c.Interval = time.Duration(number("interval", 10, 1, 255)) * time.Second
	down, up := number("down_thresh", 10, 1, 65535), number("up_thresh", 20, 1, 65535)
	c.Fall, c.Rise = min(down, most), min(up, most)
	c.Port = number("port", 0, 1, 65535)
	feature := tcpConnect
	if plugin == "http_status" {
		feature = httpStatus
		c.Type, c.Path, c.Host = "http", v.get("url_path").scalar(), strings.ToLower(strings.TrimSuffix(v.get("vhost").scalar(), "."))
		c.Status = []string{"200"}
		if codes := v.get("ok_codes"); codes != nil {
			c.Status = nil
			for _, code := range codes.list() {
				if !statusCode.MatchString(code.scalar()) || len(c.Status) == 16 {
					why = fmt.Sprintf("ok_codes %q", code.scalar())
				}
				c.Status = append(c.Status, code.scalar())
			}
		}
		switch {
		case len(c.Status) == 0:
			why = "ok_codes has none"
		case c.Path != "" && !requestTarget.MatchString(c.Path):
			why = fmt.Sprintf("url_path %q", c.Path)
		case c.Host != "" && (len(c.Host) > 253 || !hostName.MatchString(c.Host)):
			why = fmt.Sprintf("vhost %q", c.Host)
		}
	} else if c.Port == 0 && why == "" {
		why = "port is missing"
	}
	if why != "" {
		return c, why
	}
	b.report.Add(feature, v.at, subject, "")
	b.report.Add(thresholds, v.at, subject, "up %d, down %d", up, down)
	for i, key := range v.keys {
		switch key {
		case "plugin", "interval", "up_thresh", "ok_thresh", "down_thresh", "port":
		case "url_path", "vhost", "ok_codes":
			if plugin != "http_status" {
				b.report.Add(unknownKey, v.items[i].at, subject, "%s", key)
			}
		case "method":
			if text := v.items[i].scalar(); text != "GET" {
				b.report.Add(otherMethod, v.items[i].at, subject, "%s", text)
			}
		case "timeout":
			b.report.Add(timeout, v.items[i].at, subject, "%s s", v.items[i].scalar())
		default:
			b.report.Add(unknownKey, v.items[i].at, subject, "%s", key)
		}
	}
	return c, ""
}
