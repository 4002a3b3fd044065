package journal

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

func TestContents(t *testing.T) {
	var c contents
	if c.may(&Query{}) {
		t.Error("the zero value may have something")
	}
	for _, e := range []health.Event{
		{Kind: health.EventStatus, Subject: "api/euw1/ipv4"},
		{Kind: health.EventStatus, Subject: "api/euw1/ipv4"},
		{Kind: health.EventEndpoint, Subject: "use1", Text: `,"kind":"held","subject":"text"`},
		{Kind: health.EventControl, Subject: `a "quoted" <é> name`},
		{Kind: health.EventRung, Subject: ""},
	} {
		e.Time = epoch
		c.add(appendLine(nil, e))
	}
	for _, tt := range []struct {
		name string
		q    Query
		want bool
	}{
		{"anything", Query{}, true},
		{"a kind that is there", Query{Kinds: []health.EventKind{health.EventStatus}}, true},
		{"a kind that is not", Query{Kinds: []health.EventKind{health.EventHeld}}, false},
		{"one of two kinds", Query{Kinds: []health.EventKind{health.EventHeld, health.EventEndpoint}}, true},
		{"a subject of any kind", Query{Subject: "use1"}, true},
		{"a subject that is not there", Query{Subject: "use"}, false},
		{"a subject of that kind", Query{Subject: "api/euw1/ipv4", Kinds: []health.EventKind{health.EventStatus}}, true},
		{"a subject of another kind", Query{Subject: "use1", Kinds: []health.EventKind{health.EventStatus}}, false},
		{"a name in a path", Query{Subject: "euw1"}, true},
		{"the end of a path", Query{Subject: "euw1/ipv4"}, true},
		{"a subject that JSON writes otherwise", Query{Subject: `a "quoted" <é> name`}, true},
		{"what a text says", Query{Subject: "text"}, false},
	} {
		if got := c.may(&tt.q); got != tt.want {
			t.Errorf("%s: may(%+v) = %v, want %v", tt.name, tt.q, got, tt.want)
		}
	}
	for i := range maxSubjects + 5 {
		c.add(appendLine(nil, health.Event{Time: epoch, Kind: health.EventVerdict, Subject: fmt.Sprint("e", i)}))
	}
	if n := len(c.kinds[health.EventVerdict]); n != 0 || !c.may(&Query{Subject: "e", Kinds: []health.EventKind{health.EventVerdict}}) {
		t.Errorf("of more subjects than are kept %d are, want none, and that it may be any", n)
	}
	if c.may(&Query{Subject: "e", Kinds: []health.EventKind{health.EventStatus}}) {
		t.Error("of the other kinds it is not known any more what there is")
	}
}

// What a segment has nothing of is not looked for in it, whoever wrote it.
func TestFindPassesOver(t *testing.T) {
	dir := t.TempDir()
	for i, kind := range []health.EventKind{health.EventStatus, health.EventHeld} {
		r := begin(t, dir, large, epoch)
		r.add(epoch.Add(time.Minute), kind, fmt.Sprintf("api/e%d/ipv4", i), "")
		r.end(epoch.Add(time.Hour))
	}
	r := begin(t, dir, large, epoch.Add(2*time.Hour))
	r.add(epoch.Add(2*time.Hour), health.EventEndpoint, "e2", "drain")
	r.find(Query{})
	for _, name := range files(t, dir, "*") { // who reads it gets an error
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		q    Query
		read bool
	}{
		{"a subject of the first segment", Query{Subject: "e0"}, true},
		{"of the second", Query{Subject: "e1", Newest: true}, true},
		{"of the one that is written", Query{Subject: "e2"}, true},
		{"a subject that there never was", Query{Subject: "e3", Newest: true}, false},
		{"a kind that there never was", Query{Kinds: []health.EventKind{health.EventControl}}, false},
		{"a subject with the kind of another", Query{Subject: "e0", Kinds: []health.EventKind{health.EventHeld}}, false},
	} {
		tt.q.Limit = 1
		if _, err := r.Find(context.Background(), tt.q); (err != nil) != tt.read {
			t.Errorf("%s: Find = %v, read %v, want %v", tt.name, err, err != nil, tt.read)
		}
	}
	r.end(epoch)
}
