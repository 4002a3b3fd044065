package zones

import (
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/zones/strict"
)

func TestReportAgent(t *testing.T) {
	long := strings.Repeat("x", 60)
	for _, test := range []struct{ agent, want string }{
		{"Errors.example.NET", "errors.example.net."},
		{`""`, `world.yaml:1: report_agent: "": is not the name of an agent (RFC 9567: not the root; at most 128 bytes)`},
		{".", `world.yaml:1: report_agent: ".": is not the name of an agent (RFC 9567: not the root; at most 128 bytes)`},
		{"a..b", `world.yaml:1: report_agent: "a..b": is not a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all)`},
		{long + "." + long + ".nets.", long + "." + long + ".nets."},
		{long + "." + long + ".netss.", `world.yaml:1: report_agent: ` + strict.Quote(long+"."+long+".netss.") + `: is not the name of an agent (RFC 9567: not the root; at most 128 bytes)`},
	} {
		world, err := Parse(FileMap{"world.yaml": []byte("report_agent: " + test.agent + "\n")})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = world.ReportAgent
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.agent, got, test.want)
		}
	}
}

// A zone is reported unless the agent lies in it. Of those in which it does, the closest takes the reports.
func TestReportsOfZones(t *testing.T) {
	const zone = "@ 300 IN SOA ns1.example.com. hostmaster.example.com. 1 7200 900 1209600 300\n@ 300 IN NS ns1.example.com.\n@ 300 IN NS ns2.example.com.\n"
	const names = "net example.net x-example.net errors.example.net below.errors.example.net com"
	files := FileMap{"world.yaml": []byte("zone_directories: [zones]\nreport_agent: errors.example.net\n")}
	for apex := range strings.FieldsSeq(names) {
		files["zones/"+apex+".zone"] = []byte(zone)
	}
	world, err := Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	var told, holders []string
	for apex := range strings.FieldsSeq(names) {
		name, err := wireName(apex)
		if err != nil {
			t.Fatal(err)
		}
		z, _ := plan.Zone(name)
		if plan.Reports.About(z, name) {
			told = append(told, apex)
		}
		if report, _ := wireName("_er.1.x.7._er.errors.example.net"); plan.Reports.Hold(z, report) {
			holders = append(holders, apex)
		}
	}
	if got, want := string(plan.Reports.Option), "\x00\x12\x00\x14\x06errors\x07example\x03net\x00"; got != want {
		t.Errorf("option = %q, want %q", got, want)
	}
	if got, want := strings.Join(told, " "), "x-example.net com"; got != want {
		t.Errorf("reported are %s, want %s", got, want)
	}
	if got, want := strings.Join(holders, " "), "errors.example.net"; got != want {
		t.Errorf("reports are in %s, want %s", got, want)
	}
	if plan, err := (&World{}).Compile(new(geo.Builder).Build(), rtt.New().Orders()); err != nil || plan.Reports != nil {
		t.Errorf("without an agent: %v, %v, want no reports", plan.Reports, err)
	}
}

func TestReadReport(t *testing.T) {
	world := World{ReportAgent: "err.example.net."}
	plan, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		want Report
	}{
		{"_er.1.Broken.example.com.7._ER.err.example.net.", Report{"broken.example.com.", "1", 7}},
		{"_er.1-28.22._er.err.example.net.", Report{".", "1-28", 22}},
		{`_er.1.a\.b.\000.65535._er.err.example.net.`, Report{`a\.b.\000.`, "1", 65535}},
	} {
		name, err := wireName(test.name)
		if err != nil {
			t.Fatal(err)
		}
		code, whole := plan.Reports.InfoCode(name)
		got, err := plan.Reports.Read(append(name, "more of a message"...))
		if err != nil || got != test.want || !whole || code != got.InfoCode {
			t.Errorf("Read(%s) = %+v, %v, by InfoCode %d, %v, want %+v", test.name, got, err, code, whole, test.want)
		}
	}
}

func TestEndsWith(t *testing.T) {
	for _, test := range []struct {
		reason, name, end string
		want              bool
	}{
		{"the name itself", "a.example.net", "a.example.net", true},
		{"below", "x.y.a.example.net", "a.example.net", true},
		{"above", "example.net", "a.example.net", false},
		{"beside", "ba.example.net", "a.example.net", false},
		{"everything is below the root", "a", ".", true},
		{"a label that ends as the name does", `x.y\001a\007example\003net`, "a.example.net", false},
	} {
		name, err := wireName(test.name)
		if err != nil {
			t.Fatal(err)
		}
		end, err := wireName(test.end)
		if err != nil {
			t.Fatal(err)
		}
		if got := endsWith(name, end); got != test.want {
			t.Errorf("%s: endsWith(%q, %q) = %v, want %v", test.reason, name, end, got, test.want)
		}
	}
}
