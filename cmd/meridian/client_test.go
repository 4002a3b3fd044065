package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A command asks the node that it is told to ask, whatever the environment or the node says.
func TestAsksNobodyElse(t *testing.T) {
	var others []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		others = append(others, r.Method+" "+r.URL.String())
		fmt.Fprint(w, `{"name": "other"}`)
	}))
	defer other.Close()
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/status" {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		fmt.Fprint(w, `{"name": "node"}`)
	}))
	defer node.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, other.URL)
	}
	t.Setenv("NO_PROXY", "")
	_, port, _ := strings.Cut(strings.TrimPrefix(node.URL, "http://"), ":")
	e := endpoint{Endpoint: "0.0.0.0:" + port} // this machine, but no address of loopback: for those no proxy is asked
	var answer struct{ Name string }
	if err := e.get("/v1/status", &answer); err != nil || answer.Name != "node" {
		t.Errorf("get = %+v, %v, want what the node answers", answer, err)
	}
	e.Endpoint = node.URL
	for _, ask := range []func() error{
		func() error { return e.get("/v1/checks", &answer) },
		func() error { return e.post("/v1/controls", answer, &answer) },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "it redirects to "+other.URL+"/v1/c") {
			t.Errorf("of a node that redirects: %+v, %v, want an error that says to where", answer, err)
		}
	}
	if others != nil {
		t.Errorf("others were asked: %v", others)
	}
}
