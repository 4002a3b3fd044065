package route53

import (
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/importtest"
	"github.com/meridian-gslb/meridian/zones/strict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each testdata/NAME/in is imported; testdata/NAME/out is the world's directory that it becomes.
func TestImports(t *testing.T) {
	for dir, result := range imports(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) { importtest.Golden(t, dir, result, *update) })
	}
}

func imports(t *testing.T) map[string]*importer.Result {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*/in")
	if err != nil || len(dirs) < 2 {
		t.Fatalf("inputs %v, %v, want some", dirs, err)
	}
	results := map[string]*importer.Result{}
	for _, in := range dirs {
		result, err := Import(inputs(t, in), nil)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		results[filepath.Dir(in)] = result
	}
	return results
}

// inputs returns files by name, as the command line would.
func inputs(t testing.TB, dir string) (files []importer.File) {
	t.Helper()
	tree := importtest.Tree(t, dir)
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		files = append(files, importer.File{Name: name, Data: tree[name]})
	}
	return files
}

func TestEveryFeature(t *testing.T) {
	var results []*importer.Result
	for _, r := range imports(t) {
		results = append(results, r)
	}
	importtest.EveryFeature(t, Features, results...)
}

// What can't be read is refused as a whole, every mistake at its line.
func TestUnreadable(t *testing.T) {
	for _, row := range []struct{ why, text, want string }{
		{"not JSON", "{\n  \"HealthChecks\": [\n    {]\n", "f:3: not JSON: invalid character ']'"},
		{"cut off", "{\n  \"HealthChecks\": [\n", "f:2: not JSON: ends too early"},
		{"more after the end", "{\"HealthChecks\": []}\n{}", "f:2: not JSON: something stands after its end"},
		{"not YAML", "Resources:\n  - a\n b: [", "f:2: not YAML: did not find expected key"},
		{"an alias", "Resources: &a\n  b: *a", "f:2: alias *a: CloudFormation takes none"},
		{"a key twice", "{\"HealthChecks\": [],\n\"HealthChecks\": []}", `f:2: key "HealthChecks" stands twice`},
		{"something else", "{\"Buckets\": []}", "f: is no output of aws route53 list-resource-record-sets, list-health-checks, get-health-check, list-hosted-zones, get-hosted-zone " +
			"or list-cidr-blocks, and no CloudFormation template with Resources"},
		{"every mistake at once", `{"ResourceRecordSets": [
 {"Name": "a..b", "Type": "A"},
 {"Name": "a.example.", "Type": "A", "Weight": 256, "TTL": "x", "ResourceRecords": [{"Value": "192.0.2.1"}]},
 {"Name": "b.example.", "Type": "A"},
 {"Name": "c.example.", "ResourceRecords": []},
 {"Name": "d.example.", "Type": "A", "Failover": "THIRD", "MultiValueAnswer": "maybe", "ResourceRecords": [{}]},
 {"Name": "e.example.", "Type": "A", "GeoProximityLocation": {"Coordinates": {"Latitude": "91", "Longitude": "0"}}, "ResourceRecords": [{"Value": "192.0.2.1"}]},
 {"Name": "f.example.", "Type": "A", "GeoLocation": {}, "CidrRoutingConfig": {"CollectionId": "c"}, "GeoProximityLocation": {"Bias": 1}, "ResourceRecords": [{"Value": "192.0.2.1"}]}
]}`, `f:2: record set: Name: "a..b" is not a domain name
f:3: a.example.: TTL: "x" is not a number from 0 to 2147483647
f:3: a.example.: Weight: "256" is not a number from 0 to 255
f:4: b.example. A: has neither ResourceRecords nor AliasTarget
f:5: c.example.: has no Type
f:6: d.example. A: has neither ResourceRecords nor AliasTarget
f:6: d.example.: Failover: "THIRD" is not PRIMARY or SECONDARY
f:6: d.example.: MultiValueAnswer: "maybe" is not true or false
f:6: d.example.: ResourceRecords: has no Value
f:7: e.example.: GeoProximityLocation: "91", "0" are no coordinates
f:8: f.example.: CidrRoutingConfig: has no LocationName
f:8: f.example.: GeoLocation: has no ContinentCode or CountryCode
f:8: f.example.: GeoProximityLocation: has no AWSRegion, LocalZoneGroup or Coordinates`},
		{"health checks", `{"HealthChecks": [
 {"Id": "1"},
 {"Id": "2", "HealthCheckConfig": {"Type": "HTTP", "IPAddress": "1.2.3", "Port": 0, "RequestInterval": 5, "FailureThreshold": 11}}
]}`, `f:2: a health check has no Id or no HealthCheckConfig
f:3: health check 2: FailureThreshold: "11" is not a number from 1 to 10
f:3: health check 2: IPAddress: "1.2.3" is not an IP address
f:3: health check 2: Port: "0" is not a number from 1 to 65535
f:3: health check 2: RequestInterval: "5" is not a number from 10 to 30`},
		{"a block", "{\"CidrBlocks\": [{\"CidrBlock\": \"x\", \"LocationName\": \"l\"}]}", `f:1: CIDR location l: "x" is not an IP prefix`},
	} {
		result, err := Import([]importer.File{{Name: "f", Data: []byte(row.text)}}, nil)
		var problems strict.Problems
		if result != nil || !errors.As(err, &problems) {
			t.Errorf("%s: Import = %v, %v, want problems", row.why, result, err)
			continue
		}
		if got := problems.Error(); got != row.want {
			t.Errorf("%s: problems\n%s\nwant\n%s", row.why, got, row.want)
		}
	}
}

func TestEscapes(t *testing.T) {
	for text, want := range map[string]string{
		`\052.a.example.`:  "*.a.example.",
		`A.Example`:        "a.example.",
		`a\056b.example.`:  `a\.b.example.`,
		`caf\303\251.test`: `caf\195\169.test.`,
	} {
		if got, ok := domain(text); !ok || got != want {
			t.Errorf("domain(%s) = %s, %v, want %s", text, got, ok, want)
		}
	}
	for text, want := range map[string]string{`"a\040b"`: `"a\032b"`, `"a\"b"`: `"a\"b"`, `\\040`: `\\040`, `\`: `\`, `"\377"`: `"\255"`} {
		if got := decimalEscapes(text); got != want {
			t.Errorf("decimalEscapes(%s) = %s, want %s", text, got, want)
		}
	}
	if _, ok := domain(strings.Repeat("a", 64)); ok {
		t.Error("a label of 64 bytes is a domain name")
	}
}

// Any input gives a world or problems. What is written is YAML, whose keys and names are good, whatever the input says.
func FuzzImport(f *testing.F) {
	names, err := filepath.Glob("testdata/*/in/*")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 20_000 {
			f.Add(data)
		}
	}
	health, err := os.ReadFile("testdata/listing/in/health.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, sets := range []string{
		`{"Name": "a.", "Type": "SOA", "ResourceRecords": [{"Value": "b. c. 1 2 3 4 5"}]}, {"Name": "\\057.a.", "Type": "A", "Weight": 0, "SetIdentifier": "", "ResourceRecords": [{"Value": "::1"}]}`,
		`{"Name": "a.", "Type": "SOA", "ResourceRecords": [{"Value": "b. c. 1 2 3 4 5"}]}, {"Name": "a.", "Type": "HTTPS", "ResourceRecords": [{"Value": "1 . alpn=h2"}]}, {"Name": "b.a.", "Type": "AAAA", "MultiValueAnswer": true, "AliasTarget": {"DNSName": "c.a."}}`,
		`{"Name": "a.", "Type": "SOA", "ResourceRecords": [{"Value": "b. c. 1 2 3 4 5"}]}, {"Name": "b.a.", "Type": "A", "Region": "?", "AliasTarget": {"DNSName": "x."}, "SetIdentifier": "\u2028 \u0085: #"}`,
	} {
		f.Add([]byte(`{"ResourceRecordSets": [` + sets + `]}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		result, err := Import([]importer.File{{Name: "in", Data: data}, {Name: "health", Data: health}}, []string{"a"})
		if err != nil {
			var problems strict.Problems
			if result != nil || !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("Import = %v, %v, want problems alone", result, err)
			}
			return
		}
		importtest.CheckFiles(t, result.Files)
		for _, n := range result.Report.Notes() {
			if !slices.Contains(Features, n.Feature) {
				t.Errorf("feature %s is not in Features", n.Feature.Name)
			}
		}
	})
}
