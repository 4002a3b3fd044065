package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/meridian-gslb/meridian/cmd/meridian/demo"
	"github.com/meridian-gslb/meridian/deploy"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meridian": main})
}

// TestScripts starts the real program as its user would. Scripts have these commands beside testscript's own:
//
//	start NAME meridian ARGS…     starts the program in the background; its output goes to the file NAME.out
//	signal NAME SIGNAL            sends KILL, STOP, CONT, INT, TERM or HUP
//	ended NAME                    waits until it has ended
//	ask SERVER NAME TYPE [SUBNET] asks a nameserver over UDP, or over TCP with "tcp:" before the server
//	get URL HOST                  makes an HTTP request
//	unpack                        writes deploy/example here, and *.in as *.yaml, with the ports of this script
//	damage FILE                   overwrites a file with garbage
//	mark                          notes the time for by
//	now NAME                      sets an environment variable to the time, RFC 3339
//	by DURATION COMMAND… -> REGEXP       as within, but counted from the last mark
//	within DURATION COMMAND… -> REGEXP   repeats ask, get or meridian until what they print matches
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the scripts start the real program")
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "signal": sendSignal, "ended": ended, "ask": ask, "get": get, "within": within, "by": by, "mark": mark, "now": now,
			"unpack": unpack, "damage": damage,
		},
	})
}

// Ports of the demo, as names in the environment of scripts.
var portNames = map[string]int{"DNS": demo.DNSPort, "DOT": 8853, "GATEWAY": demo.GatewayPort, "API": demo.APIPort, "SERVICE": 8000, "GOSSIP": 7946, "CONTROL": 7000}

// setup draws an offset for the ports at which none of them is in use.
func setup(env *testscript.Env) error {
	for range 100 {
		offset := 1000 + rand.IntN(20_000)
		if !free(offset) {
			continue
		}
		env.Setenv("OFFSET", strconv.Itoa(offset))
		for name, port := range portNames {
			env.Setenv(name, strconv.Itoa(port+offset))
		}
		env.Setenv("MERIDIAN_ENDPOINT", fmt.Sprintf("http://127.0.0.1:%d", demo.APIPort+offset))
		env.Values["running"] = make(map[string]*exec.Cmd)
		env.Values["mark"] = new(time.Time)
		env.Defer(func() {
			for _, c := range env.Values["running"].(map[string]*exec.Cmd) {
				_ = c.Process.Signal(syscall.SIGCONT) // it may have ended, which is fine
				_ = c.Process.Kill()
				_ = c.Wait()
			}
			showOutputs(env)
		})
		return nil
	}
	return fmt.Errorf("no free ports")
}

// showOutputs logs how the outputs of the programs end that the script has started, for those who ask why it failed.
func showOutputs(env *testscript.Env) {
	files, _ := filepath.Glob(filepath.Join(env.WorkDir, "*.out")) // the pattern is a good one
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		env.T().Log(filepath.Base(file) + " ends:\n" + strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

func free(offset int) bool {
	for _, port := range portNames {
		for _, host := range []string{"127.0.0.1", "127.0.1.1", "127.0.2.1", "127.0.3.1"} {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port+offset))
			if err != nil {
				return false
			}
			l.Close()
		}
	}
	return true
}

func running(ts *testscript.TestScript) map[string]*exec.Cmd {
	return ts.Value("running").(map[string]*exec.Cmd)
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM ARGS…")
	}
	out, err := os.OpenFile(ts.MkAbs(args[0]+".out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	c := exec.Command(lookPath(ts, args[1]), args[2:]...)
	c.Dir = ts.MkAbs(".")
	c.Env = append(os.Environ(), "MERIDIAN_ENDPOINT="+ts.Getenv("MERIDIAN_ENDPOINT"))
	c.Stdout, c.Stderr = out, out
	ts.Check(c.Start())
	out.Close()
	running(ts)[args[0]] = c
}

var signals = map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	c := running(ts)[args[0]]
	if neg || c == nil {
		ts.Fatalf("signal: %s was not started", args[0])
	}
	ts.Check(c.Process.Signal(signals[args[1]]))
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	c := running(ts)[args[0]]
	delete(running(ts), args[0])
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if (err != nil) != neg {
			ts.Fatalf("%s ended with %v", args[0], err)
		}
	case <-time.After(15 * time.Second):
		_ = c.Process.Kill()
		ts.Fatalf("%s did not end within 15 s", args[0])
	}
}

func ask(ts *testscript.TestScript, neg bool, args []string) {
	text, err := query(ts, args)
	if (err != nil) != neg {
		ts.Fatalf("ask %v: %v", args, err)
	}
	_, werr := fmt.Fprintln(ts.Stdout(), text)
	ts.Check(werr)
}

// query returns the answer in one line: rcode, flags, records by section, scope.
func query(ts *testscript.TestScript, args []string) (string, error) {
	if len(args) < 3 {
		ts.Fatalf("usage: ask SERVER NAME TYPE [SUBNET]")
	}
	host, tcp := strings.CutPrefix(args[0], "tcp:")
	client := dns.Client{Timeout: time.Second}
	if tcp {
		client.Net = "tcp"
	}
	m := new(dns.Msg).SetQuestion(dns.Fqdn(args[1]), dns.StringToType[args[2]])
	m.RecursionDesired = false
	if len(args) > 3 {
		prefix, err := netip.ParsePrefix(args[3])
		ts.Check(err)
		m.SetEdns0(1232, false)
		family := uint16(1)
		if prefix.Addr().Is6() {
			family = 2
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family,
			SourceNetmask: uint8(prefix.Bits()), Address: prefix.Addr().AsSlice()})
	}
	r, _, err := client.Exchange(m, net.JoinHostPort(host, ts.Getenv("DNS")))
	if err != nil {
		return err.Error(), err
	}
	return answerText(r), nil
}

func answerText(r *dns.Msg) string {
	text := dns.RcodeToString[r.Rcode]
	if r.Authoritative {
		text += " aa"
	}
	if r.Truncated {
		text += " tc"
	}
	for _, rr := range r.Answer {
		text += " | " + strings.ReplaceAll(rr.String(), "\t", " ")
	}
	if len(r.Ns) > 0 {
		text += fmt.Sprintf(" | authority: %d %s", len(r.Ns), dns.TypeToString[r.Ns[0].Header().Rrtype])
	}
	if o := r.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if subnet, ok := option.(*dns.EDNS0_SUBNET); ok {
				text += fmt.Sprintf(" | scope /%d", subnet.SourceScope)
			}
		}
	}
	return text
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	text, err := fetch(args)
	if (err != nil) != neg {
		ts.Fatalf("get %v: %v", args, err)
	}
	_, werr := fmt.Fprintln(ts.Stdout(), text)
	ts.Check(werr)
}

func fetch(args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	if err != nil {
		return "", err
	}
	if len(args) > 1 {
		request.Host = args[1]
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err.Error(), err
	}
	defer response.Body.Close()
	var b strings.Builder
	fmt.Fprintln(&b, response.Status)
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		fmt.Fprintln(&b, scanner.Text())
	}
	return b.String(), nil
}

func mark(ts *testscript.TestScript, neg bool, args []string) {
	*ts.Value("mark").(*time.Time) = time.Now()
}

func now(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], time.Now().UTC().Format(time.RFC3339Nano))
}

func within(ts *testscript.TestScript, neg bool, args []string) { repeat(ts, neg, args, time.Now()) }

func by(ts *testscript.TestScript, neg bool, args []string) {
	repeat(ts, neg, args, *ts.Value("mark").(*time.Time))
}

// repeat runs a command until what it prints matches, for a time from begin on.
func repeat(ts *testscript.TestScript, neg bool, args []string, begin time.Time) {
	if len(args) < 4 || args[len(args)-2] != "->" {
		ts.Fatalf("usage: within DURATION ask|get|meridian ARGS… -> REGEXP")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	want := regexp.MustCompile(args[len(args)-1])
	command, last := args[1:len(args)-2], ""
	for time.Since(begin) < limit {
		switch command[0] {
		case "ask":
			last, _ = query(ts, command[1:])
		case "get":
			last, _ = fetch(command[1:])
		default:
			c := exec.Command(lookPath(ts, command[0]), command[1:]...)
			c.Env = append(os.Environ(), "MERIDIAN_ENDPOINT="+ts.Getenv("MERIDIAN_ENDPOINT"))
			c.Dir = ts.MkAbs(".")
			out, _ := c.CombinedOutput() // a failure shows in what it printed
			last = string(out)
		}
		if want.MatchString(last) != neg {
			ts.Logf("after %.2f s: %s", time.Since(begin).Seconds(), strings.TrimSpace(last))
			return
		}
		time.Sleep(20 * time.Millisecond) // the program under test runs on real time
	}
	ts.Fatalf("not within %v: %v\nlast: %s", limit, command, last)
}

var examplePorts = regexp.MustCompile(`\b(5300|8080|8053|8000|7946|7000)\b`)

func unpack(ts *testscript.TestScript, neg bool, args []string) {
	offset, err := strconv.Atoi(ts.Getenv("OFFSET"))
	ts.Check(err)
	example, err := fs.Sub(deploy.Example, "example")
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs("."), example))
	ts.Check(filepath.WalkDir(ts.MkAbs("."), func(path string, e fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || e.IsDir() || ext != ".yaml" && ext != ".in" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		moved := examplePorts.ReplaceAllStringFunc(string(text), func(port string) string {
			n, _ := strconv.Atoi(port)
			return strconv.Itoa(n + offset)
		})
		return os.WriteFile(strings.TrimSuffix(path, ext)+".yaml", []byte(moved), 0o600)
	}))
}

func damage(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	for i := range data {
		data[i] ^= 0x5a
	}
	ts.Check(os.WriteFile(path, data, 0o600))
}

func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range strings.Split(ts.Getenv("PATH"), ":") {
		if _, err := os.Stat(dir + "/" + name); err == nil {
			return dir + "/" + name
		}
	}
	ts.Fatalf("%s is not in PATH", name)
	return ""
}
