package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/meridian-gslb/meridian/gateway/head"
)

// problem makes the answer to a request that no upstream answers (RFC 9457). The detail is ours, constant,
// and tells nothing of what is behind the gateway.
func problem(status int, detail, id string, extra ...head.Field) *Response {
	text, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"requestId"`
	}{"about:blank", http.StatusText(status), status, detail, id})
	if err != nil {
		panic(err) // strings and a number
	}
	return document(status, "application/problem+json", text, append(extra, head.Field{Name: "X-Request-Id", Value: id})...)
}

// document makes an answer of the gateway's own.
func document(status int, kind string, text []byte, extra ...head.Field) *Response {
	text = append(text, '\n')
	fields := head.Fields{{Name: "Content-Type", Value: kind}, {Name: "Cache-Control", Value: "no-store"}}
	return &Response{
		Status: status,
		Fields: append(fields, extra...),
		Body:   Body{Reader: io.NopCloser(bytes.NewReader(text)), Length: int64(len(text))},
	}
}
