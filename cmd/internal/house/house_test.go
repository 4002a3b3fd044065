// Package house holds the test that keeps the packages of Meridian in their places.
package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/meridian-gslb/meridian/"

// A kind of package says what it may touch.
type kind int

const (
	pure  kind = iota // no sockets, files, goroutines, loggers, clocks or global random numbers
	edge              // touches the world, decides nothing
	top               // wires edges to a node
	tests             // only tests import it
)

// A room is a package, or with a trailing slash all packages below a folder, and what of the project it may import.
type room struct {
	path string
	kind kind
	may  []string
	why  string
}

// The first room that fits a package counts.
var house = []room{
	{"geo/mmdb/gen", top, []string{"geo"}, "it writes what geo/mmdb embeds"},
	{"geo/mmdb", edge, []string{"geo", "zones/strict"}, "it turns files into a geo source"},
	{"geo/rtt", pure, []string{"geo", "zones/strict"}, "it orders regions for places"},
	{"geo", pure, nil, "places know nothing of health or DNS"},
	{"health/control", pure, []string{"geo", "health"}, "the state machine of the voters must give the same on each"},
	{"health/probe", edge, []string{"health"}, "a probe reports and decides nothing"},
	{"health/gossip", edge, []string{"geo", "health"}, "the mesh carries bytes and reads none of them"},
	{"health/replica", edge, []string{"health", "health/control"}, "voters replicate commands and do not judge them"},
	{"health/dashboard", edge, []string{"geo", "health", "health/control", "zones", "zones/replay", "zones/whatif"}, "it shows what others decided"},
	{"health", pure, []string{"geo"}, "status follows from verdicts alone"},
	{"zones/strict", pure, nil, "it decodes any configuration"},
	{"zones/master", pure, []string{"zones/strict"}, "it reads records and knows no zone"},
	{"zones/static", pure, nil, "the records of a zone know neither pools nor clients"},
	{"zones/forecast", pure, []string{"geo", "health", "health/control", "zones", "zones/static", "zones/strict"}, "what a change does follows from two snapshots"},
	{"zones/whatif", pure, []string{"geo", "health", "health/control", "zones", "zones/strict"}, "what would be answered follows from the plan and its inputs"},
	{"zones/demand", pure, []string{"zones"}, "who decides when follows from the reports that were heard"},
	{"zones/replay", pure, []string{"geo", "health", "health/control", "zones"}, "what was in force follows from what was written down"},
	{"zones", pure, []string{"geo", "geo/rtt", "health", "health/control", "zones/master", "zones/static", "zones/strict"}, "it compiles what the pure packages decide"},
	{"dns/dnssec", pure, nil, "keys and signatures are made from bytes, whoever serves them"},
	{"dns/siphash", pure, nil, "a hash knows nothing of what it hashes"},
	{"dns/background", edge, nil, "how a thread gives way does not depend on its work"},
	{"dns/freeport", edge, nil, "which port is free does not depend on who listens"},
	{"dns/cookie", pure, []string{"dns/siphash"}, "a cookie is a function of secret, client and time"},
	{"dns/rrl", pure, []string{"dns/siphash"}, "what is too much follows from answers and time"},
	{"dns/wire", pure, []string{"dns/cookie", "dns/dnssec", "dns/rrl", "geo", "zones", "zones/static"}, "an answer is a function of query, snapshot and identity"},
	{"dns/signer", edge, []string{"dns/background", "dns/dnssec", "dns/wire", "zones", "zones/static"}, "it makes the signatures that answers ask for"},
	{"dns/server", edge, []string{"dns/background", "dns/cookie", "dns/rrl", "dns/wire", "geo", "zones"}, "sockets feed wire.Answer and nothing else"},
	{"dns/tap", edge, nil, "it copies bytes out and answers nothing"},
	{"dns/transfer", edge, []string{"geo", "zones", "zones/strict"}, "zones come and go through functions; it opens no listener"},
	{"gateway/echo", edge, []string{"gateway/head"}, "the demo's service is no part of the gateway"},
	{"gateway/route", pure, []string{"geo", "zones"}, "which service a request goes to is no matter of sockets"},
	{"gateway/balance", pure, []string{"geo", "zones"}, "which endpoint is next is no matter of sockets"},
	{"gateway/head", pure, nil, "heads are parsed and cleaned without a socket"},
	{"gateway", edge, []string{"gateway/balance", "gateway/head", "gateway/route", "geo", "geo/rtt", "zones"}, "a gateway proxies and samples; it does not steer"},
	{"cmd/internal/node", pure, []string{"geo", "geo/rtt", "health", "health/control", "zones", "zones/demand", "dns/dnssec", "dns/wire"}, "a node decides without the world"},
	{"cmd/internal/keyring", pure, []string{"dns/dnssec", "health", "health/control"}, "which keys a zone has is decided without the world"},
	{"cmd/internal/outgoing", pure, []string{"dns/dnssec", "health/control", "zones", "zones/static"}, "what others are given of a zone follows from the world, its keys and the day"},
	{"cmd/internal/sim", tests, []string{"*"}, "the simulator is the world of many nodes"},
	{"cmd/internal/wan", tests, []string{"*"}, "the virtual network carries real edges in tests"},
	{"cmd/internal/peers", tests, []string{"*"}, "the nameservers of others run beside ours in tests"},
	{"cmd/internal/lab", tests, []string{"cmd/internal/peers"}, "it runs the program as its users do, and knows no package that is in it"},
	{"cmd/internal/validate", tests, []string{"*"}, "validating resolvers judge the real program"},
	{"cmd/internal/bench", top, []string{"dns/freeport"}, "it measures the program as its users start it, and knows no package that is in it"},
	{"cmd/internal/pki", edge, []string{"geo", "health"}, "certificates say who a node is"},
	{"cmd/internal/house", tests, nil, ""},
	{"deploy", top, nil, "examples are data"},
	{"cmd/meridian/nodefile", edge, []string{"dns/rrl", "geo", "health", "zones/strict"}, "it reads one file"},
	{"cmd/meridian/importer/importtest", tests, []string{"cmd/meridian/importer", "geo", "health", "zones", "zones/strict"}, "it judges imports by what reads them"},
	{"cmd/meridian/importer/", pure, []string{"cmd/meridian/importer", "zones/strict"}, "what an import makes follows from its input alone"},
	{"cmd/meridian/importer", pure, []string{"zones/strict"}, "what an import makes follows from its input alone"},
	{"cmd/meridian/", top, []string{"*"}, "it wires everything"},
	{"cmd/meridian", top, []string{"*"}, "it wires everything"},
}

// What no pure package imports, and why. An entry "path.Name" forbids one name.
var impure = map[string]string{
	"net":               "pure code has no sockets (net/netip is fine)",
	"net/http":          "pure code has no sockets",
	"os":                "pure code has no files",
	"io/ioutil":         "pure code has no files",
	"log":               "pure code reports by its results",
	"log/slog":          "pure code reports by its results",
	"sync":              "pure code is owned by one goroutine",
	"sync/atomic":       "pure code is owned by one goroutine",
	"context":           "pure code does not wait",
	"math/rand":         "pure code is handed its random numbers",
	"crypto/rand":       "pure code is handed its random numbers",
	"os/exec":           "pure code starts nothing",
	"runtime":           "pure code does not know what it runs on",
	"syscall":           "pure code has no sockets",
	"golang.org/x/sys/": "pure code has no sockets",

	"time.Now":       "pure code is handed the time",
	"time.Since":     "pure code is handed the time",
	"time.Until":     "pure code is handed the time",
	"time.Sleep":     "pure code does not wait",
	"time.After":     "pure code does not wait",
	"time.NewTimer":  "pure code does not wait",
	"time.NewTicker": "pure code does not wait",
	"time.AfterFunc": "pure code does not wait",
}

func TestImports(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		seen++
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		checkFile(t, path, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("read %d files, that can't be all of them", seen)
	}
}

func checkFile(t *testing.T, path, rel string) {
	t.Helper()
	dir := rel[:strings.LastIndexByte(rel, '/')]
	i := slices.IndexFunc(house, func(r room) bool {
		return r.path == dir || strings.HasSuffix(r.path, "/") && strings.HasPrefix(dir, r.path)
	})
	if i < 0 {
		t.Errorf("%s: package %s has no room in the house: add it to the list with what it may import and why", rel, dir)
		return
	}
	r := house[i]
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if inner, ok := strings.CutPrefix(name, module); ok {
			checkInner(t, rel, r, inner)
		} else if why, bad := impure[name]; bad && r.kind == pure {
			t.Errorf("%s imports %q: %s", rel, name, why)
		}
	}
	if r.kind != pure {
		return
	}
	for name, why := range impure {
		if strings.HasPrefix(name, "time.") && strings.Contains(string(source), name+"(") {
			t.Errorf("%s calls %s: %s", rel, name, why)
		}
	}
	if strings.Contains(string(source), "\tgo func") {
		t.Errorf("%s starts a goroutine: pure code is owned by one", rel)
	}
}

func checkInner(t *testing.T, rel string, r room, inner string) {
	t.Helper()
	if !slices.Contains(r.may, inner) && !slices.Contains(r.may, "*") {
		t.Errorf("%s imports %s, which %s may not (it may: %s): %s", rel, inner, r.path, strings.Join(r.may, ", "), r.why)
	}
	for _, other := range house {
		if other.path == inner && other.kind == tests && r.kind != tests {
			t.Errorf("%s imports %s, which is for tests", rel, inner)
		}
	}
}

// In an import block dns always means github.com/miekg/dns, so the folder dns has no package of its own.
func TestDNSFolderHasNoPackage(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "dns", "*.go"))
	if err != nil || len(files) > 0 {
		t.Errorf("dns/ holds %v (%v), want only sub-folders", files, err)
	}
}
