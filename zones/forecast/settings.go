package forecast

import (
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// settings returns what a thing of the model says, field by field, under the keys that the world's files have for it. So a field that
// the model is given some day is compared without a word here.
func settings(of any) (all []Setting) {
	if of == nil {
		return nil
	}
	return settingsOf(reflect.ValueOf(of).Elem())
}

// settingsOf does the work of settings; what a struct embeds is as if it stood there.
func settingsOf(v reflect.Value) (all []Setting) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			all = append(all, settingsOf(v.Field(i))...)
			continue
		}
		if key := keyOf(v.Type(), field); field.IsExported() && key != "" {
			all = append(all, Setting{Key: key, After: text(v.Field(i))})
		}
	}
	return all
}

// keys are those of fields that are not simply called so in the world's files; an empty one is no setting, or is compared elsewhere.
var keys = map[string]string{
	"Region.ID": "", "Region.At": "coordinates",
	"Check.Name": "", "Check.Kind": "type",
	"Pool.Name": "", "Pool.Members": "",
	"Member.Endpoint": "", "Member.Pool": "", "Member.ASNs": "asns",
	"NewControl.Name": "", "Rule.Name": "",
	"Zone.Apex": "", "Zone.Steer": "", "Zone.Static": "", "Zone.Version": "", "Zone.Copied": "", "Zone.Sign": "dnssec",
	"Transfer.XoT": "xot", "Catalog.Apex": "", "Service.Name": "",
	"World.Regions": "", "World.Checks": "", "World.Pools": "", "World.Definitions": "", "World.Gateway": "", "World.Zones": "",
	"World.Catalogs": "", "World.Digest": "", "World.Warnings": "", "World.Refused": "", "World.Directories": "zone_directories", "World.Latency": "latency_tables",
}

func keyOf(t reflect.Type, field reflect.StructField) string {
	if key, ok := keys[t.Name()+"."+field.Name]; ok {
		return key
	}
	return snake(field.Name)
}

// snake writes a field's name as keys are written: WhenAllDown is when_all_down, and a word in capitals one word.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		begins := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if begins {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// isNothing reports whether a value is that of a setting which is not given.
func isNothing(text string) bool { return text == "" || text == "0" || text == "0s" || text == "false" }

// text is a value for people.
func text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		if v.IsZero() {
			return ""
		}
	}
	switch known := v.Interface().(type) {
	case zones.MinUp:
		if known.Percent > 0 {
			return fmt.Sprintf("%d%%", known.Percent)
		}
		return strconv.Itoa(known.Count)
	case zones.LatencyTable:
		return fmt.Sprintf("%s (%d entries, %016x)", known.Name(), known.Len(), known.Digest())
	case health.StatusRange:
		if known.Low == known.High {
			return strconv.Itoa(known.Low)
		}
		return fmt.Sprintf("%d-%d", known.Low, known.High)
	case []byte:
		h := fnv.New64a()
		h.Write(known)
		return fmt.Sprintf("%d bytes, %016x", len(known), h.Sum64())
	case fmt.Stringer:
		return known.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return text(v.Elem())
	case reflect.Struct:
		return "{" + strings.Join(fields(v), ", ") + "}"
	case reflect.Slice, reflect.Array:
		var texts []string
		for i := range v.Len() {
			if text := text(v.Index(i)); !isNothing(text) {
				texts = append(texts, text)
			}
		}
		if len(texts) == 1 {
			return texts[0]
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case reflect.Map:
		of := make(map[string]string, v.Len())
		for _, key := range v.MapKeys() {
			of[fmt.Sprint(key)] = text(v.MapIndex(key))
		}
		var texts []string
		for _, key := range slices.Sorted(maps.Keys(of)) {
			texts = append(texts, key+": "+of[key])
		}
		return "{" + strings.Join(texts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// fields are those of a struct that say something.
func fields(v reflect.Value) (texts []string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if text := text(v.Field(i)); !isNothing(text) {
			texts = append(texts, keyOf(v.Type(), field)+": "+text)
		}
	}
	return texts
}
