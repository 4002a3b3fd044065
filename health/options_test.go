package health

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// Nodes of two versions agree on checks without options.
func TestDigestWithoutOptionsIsAsBefore(t *testing.T) {
	target := Target{
		ID: "api/e1/ipv4", Kind: KindHTTPS, Address: netip.MustParseAddrPort("192.0.2.1:443"), Host: "api.example.com", Path: "/",
		ExpectStatus: []StatusRange{{200, 399}}, Interval: 10 * time.Second, Fall: 3, Rise: 3,
	}
	const before = 0x47ade342
	if got := target.Digest(); got != before {
		t.Errorf("Digest = %#x, want %#x", got, before)
	}
}

func TestDigestCoversEveryOption(t *testing.T) {
	plain := Target{ID: "api/e1/ipv4", Kind: KindHTTP}
	seen := map[uint32]string{plain.Digest(): "no option"}
	fields := reflect.TypeOf(Options{})
	for i := range fields.NumField() {
		other := plain
		field := reflect.ValueOf(&other.Options).Elem().Field(i)
		switch field.Kind() {
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int:
			field.SetInt(1)
		case reflect.String:
			field.SetString("x")
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		default:
			t.Fatalf("%s is %v, of which this test knows no other value", fields.Field(i).Name, field.Kind())
		}
		if first, same := seen[other.Digest()]; same {
			t.Errorf("the digest with %s is that with %s", fields.Field(i).Name, first)
		}
		seen[other.Digest()] = fields.Field(i).Name
	}
}
