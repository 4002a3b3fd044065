package dashboard

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// ZoneKeys is what is shown of the DNSSEC keys of one zone. It is immutable.
type ZoneKeys struct {
	Zone        string      `json:"zone"`
	Stage       string      `json:"stage"`
	Generation  uint64      `json:"generation"`
	Keys        []Key       `json:"keys"`
	DS          []string    `json:"ds"`    // that the parent should have now, as records
	Waits       []string    `json:"waits"` // for what the stage waits; none: for nothing
	Nameservers []KeyServer `json:"nameservers"`
	Changed     time.Time   `json:"changed"`
	Actor       string      `json:"actor"`
	Reason      string      `json:"reason"`
	Index       uint64      `json:"index"`
	Error       string      `json:"error,omitempty"` // why the rest is not known
}

// A Key is one key and what it does.
type Key struct {
	Tag       uint16 `json:"tag"`
	Role      string `json:"role"` // KSK, ZSK or CSK
	Algorithm string `json:"algorithm"`
	Does      string `json:"does"` // "published, signs, in CDS"
}

// A KeyServer is a nameserver that a roll waits for, and what it serves.
type KeyServer struct {
	Name       string    `json:"name"`
	Generation uint64    `json:"generation"`
	Heard      time.Time `json:"heard,omitzero"` // zero: never
}

// A KeyOrder is what a person wants of a zone's keys.
type KeyOrder struct {
	Zone       string          `json:"zone"`
	Do         string          `json:"do"`
	Reason     string          `json:"reason"`
	Actor      string          `json:"actor"`
	Nameserver string          `json:"nameserver"`
	Keys       json.RawMessage `json:"keys"`
	Key        string          `json:"key"`
}

// What an order of keys may fail by, beside the refusals of package control.
var (
	ErrKeysBusy  = errors.New("order must wait") // what is under way must be over first
	ErrKeysOrder = errors.New("order refused")   // it is wrong at any time
)

var orderFields = []string{"zone", "do", "reason", "actor", "nameserver", "keys", "key"}

func (s *Server) getKeys(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string][]ZoneKeys{"zones": append([]ZoneKeys{}, s.src.Keys()...)})
}

func (s *Server) postKeys(w http.ResponseWriter, r *http.Request) {
	order, bad := readOrder(r)
	if bad != nil {
		bad.write(w)
		return
	}
	if order.Key == "" {
		order.Key = rand.Text()
	}
	ctx, cancel := context.WithTimeout(r.Context(), submitWait)
	defer cancel()
	result, err := s.src.OrderKeys(ctx, order)
	switch {
	case errors.Is(err, ErrKeysBusy):
		problem{Status: http.StatusConflict, Code: "busy", Detail: err.Error()}.write(w)
	case errors.Is(err, ErrKeysOrder):
		problem{Status: http.StatusUnprocessableEntity, Code: "order", Detail: err.Error()}.write(w)
	default:
		s.decided(w, result, err, order.Key)
	}
}

// readOrder reads the body of an order. It reports every mistake at once.
func readOrder(r *http.Request) (order KeyOrder, bad *problem) {
	wrong, bad := readBody(r, orderFields, &order)
	if bad != nil {
		return order, bad
	}
	if wrong.decoded {
		wrong.missing(map[string]string{"zone": order.Zone, "do": order.Do, "actor": order.Actor, "reason": order.Reason})
	}
	return order, wrong.problem()
}
