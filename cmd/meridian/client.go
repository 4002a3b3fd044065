package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxResponse bounds what is read of a node's answer.
const maxResponse = 64 << 20

// direct asks an address and nobody else: no proxy that the environment names, and nobody to whom an answer redirects.
var direct = http.Client{
	Timeout:   30 * time.Second,
	Transport: new(http.Transport),
	CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		return fmt.Errorf("it redirects to %v, which no node does", r.URL)
	},
}

// post has a node's API do what body, marshalled to JSON, says, and reads its answer into result unless that is nil.
func (e endpoint) post(path string, body, result any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := e.call(http.MethodPost, path, "application/json", bytes.NewReader(data))
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(answer, result)
}

// call asks a node's API. An error that the node words as a problem document (RFC 9457) is returned in its words.
func (e endpoint) call(method, path, accept string, body io.Reader) ([]byte, error) {
	base := e.Endpoint
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	request, err := http.NewRequest(method, strings.TrimRight(base, "/")+path, body)
	if err != nil || request.URL.Scheme != "http" {
		return nil, fmt.Errorf("endpoint %q: want http://ADDRESS:PORT", e.Endpoint)
	}
	request.Header.Set("Accept", accept)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := direct.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("no node answers at %s (is one running? --endpoint or MERIDIAN_ENDPOINT says where): %w", e.Endpoint, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return data, nil
	}
	var problem struct{ Title, Detail string }
	if json.Unmarshal(data, &problem) != nil || problem.Title == "" {
		return nil, fmt.Errorf("%s: %s", strings.ToLower(response.Status), strings.TrimSpace(string(data)))
	}
	if problem.Detail == "" {
		return nil, errors.New(problem.Title)
	}
	return nil, errors.New(problem.Detail)
}

// get reads a JSON document of a node's API.
func (e endpoint) get(path string, into any) error {
	data, err := e.call(http.MethodGet, path, "application/json", nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
