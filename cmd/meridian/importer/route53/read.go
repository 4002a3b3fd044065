package route53

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A reader reads the files.
type reader struct {
	in       input
	report   *importer.Report
	mistakes strict.Report
	file     string
	stack    *template // nil but for CloudFormation
}

func (r *reader) at(t *importer.Tree) strict.Position {
	if t == nil {
		return strict.Position{File: r.file}
	}
	return strict.Position{File: r.file, Line: t.Line}
}

// read reads one file: an output of the AWS CLI or a template of CloudFormation.
func (r *reader) read(f importer.File) {
	tree, err := importer.ReadTree(f)
	if err != nil {
		r.mistakes.Add(strict.Position{}, "%v", err)
		return
	}
	r.file, r.stack = f.Name, nil
	known := false
	for i, key := range treeKeys(tree) {
		value := tree.Items[i]
		switch key {
		case "ResourceRecordSets":
			for _, t := range value.Elements() {
				r.recordSet(t, "", "")
			}
		case "HealthChecks":
			for _, t := range value.Elements() {
				r.healthCheck(t, "")
			}
		case "HealthCheck":
			r.healthCheck(value, "")
		case "HostedZones":
			for _, t := range value.Elements() {
				r.hostedZone(t)
			}
		case "HostedZone":
			r.hostedZone(value)
		case "CidrBlocks":
			for _, t := range value.Elements() {
				r.cidrBlock(t)
			}
		case "Resources":
			r.template(tree)
		case "IsTruncated", "NextToken", "NextRecordName", "NextMarker":
			if text := scalarOf(value); text != "" && text != "false" {
				r.report.Add(cut, strict.Position{File: r.file, Line: tree.KeyLine(i)}, key, "")
			}
			continue
		default:
			continue
		}
		known = true
	}
	if !known {
		r.mistakes.Add(strict.Position{File: f.Name}, "is no output of aws route53 list-resource-record-sets, list-health-checks, get-health-check, list-hosted-zones, get-hosted-zone "+
			"or list-cidr-blocks, and no CloudFormation template with Resources")
	}
}

func treeKeys(t *importer.Tree) []string {
	if t == nil || t.Kind != importer.Map {
		return nil
	}
	return t.Keys
}

func scalarOf(t *importer.Tree) string {
	if t == nil || t.Kind != importer.Scalar {
		return ""
	}
	return t.Text
}

// text returns a scalar, or what a function of CloudFormation makes. What can't be made is noted.
func (r *reader) text(t *importer.Tree, subject string) (string, bool) {
	if r.stack != nil {
		text, why := r.stack.resolve(t, r, 0)
		if why != "" {
			r.report.Add(intrinsic, r.at(t), subject, "%s", why)
		}
		return text, why == ""
	}
	if t == nil || t.Kind != importer.Scalar {
		r.mistakes.Add(r.at(t), "%s: want a text or number", subject)
		return "", false
	}
	return t.Text, true
}

func (r *reader) integer(t *importer.Tree, subject string, least, most int) (int, bool) {
	text, ok := r.text(t, subject)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		r.mistakes.Add(r.at(t), "%s: %s is not a number from %d to %d", subject, strict.Quote(text), least, most)
		return 0, false
	}
	return n, true
}

func (r *reader) boolean(t *importer.Tree, subject string) bool {
	text, ok := r.text(t, subject)
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off":
	default:
		if ok {
			r.mistakes.Add(r.at(t), "%s: %s is not true or false", subject, strict.Quote(text))
		}
	}
	return false
}

func (r *reader) domain(t *importer.Tree, subject string) (string, bool) {
	text, ok := r.text(t, subject)
	if !ok {
		return "", false
	}
	name, ok := domain(text)
	if !ok {
		r.mistakes.Add(r.at(t), "%s: %s is not a domain name", subject, strict.Quote(text))
	}
	return name, ok
}

func (r *reader) unknown(t *importer.Tree, i int, subject string) {
	r.report.Add(unknownKey, strict.Position{File: r.file, Line: t.KeyLine(i)}, subject, "%s", strict.Quote(t.Keys[i]))
}

// recordSet reads a record set of a zone, which may be empty; CloudFormation calls it by the name of a resource.
func (r *reader) recordSet(t *importer.Tree, zone, resource string) {
	subject := resource
	if subject == "" {
		subject = "record set"
	}
	if name, ok := r.domain(t.Get("Name"), subject+": Name"); ok {
		s := &recordSet{at: r.at(t), zone: zone, name: name, kind: strings.ToUpper(scalarOf(t.Get("Type")))}
		subject = name
		if s.kind == "" {
			r.mistakes.Add(s.at, "%s: has no Type", subject)
			return
		}
		good := true
		for i, key := range t.Keys {
			good = r.recordKey(s, t, i, key, subject) && good
		}
		switch {
		case !good: // said
		case s.policyInstance != "":
			r.report.Add(trafficPolicy, s.at, s.subject(), "%s", s.policyInstance)
		case s.alias == nil && len(s.values) == 0:
			r.mistakes.Add(s.at, "%s: has neither ResourceRecords nor AliasTarget", s.subject())
		default:
			r.in.sets = append(r.in.sets, s)
		}
	}
}

// recordKey reads one key of a record set. It reports whether the set can go on without what could not be read.
func (r *reader) recordKey(s *recordSet, t *importer.Tree, i int, key, subject string) (good bool) {
	value, good := t.Items[i], true
	if value.IsNull() {
		return true
	}
	subject += ": " + key
	switch key {
	case "Name", "Type":
	case "SetIdentifier":
		s.id, good = r.text(value, subject)
	case "Weight":
		var n int
		n, good = r.integer(value, subject, 0, 255)
		s.weight = &n
	case "Region":
		s.region, good = r.text(value, subject)
	case "Failover":
		s.failover, good = r.text(value, subject)
		if good && s.failover != "PRIMARY" && s.failover != "SECONDARY" {
			r.mistakes.Add(r.at(value), "%s: %s is not PRIMARY or SECONDARY", subject, strict.Quote(s.failover))
		}
	case "MultiValueAnswer":
		s.multi = r.boolean(value, subject)
	case "GeoLocation":
		s.geo = &geoLocation{}
		good = r.keys(value, subject, map[string]*string{"ContinentCode": &s.geo.continent, "CountryCode": &s.geo.country, "SubdivisionCode": &s.geo.subdivision})
		r.want(good && *s.geo == geoLocation{}, value, subject, "ContinentCode or CountryCode")
	case "GeoProximityLocation":
		s.proximity, good = r.proximity(value, subject)
		r.want(good && s.proximity.region == "" && s.proximity.localZone == "" && s.proximity.at == nil, value, subject, "AWSRegion, LocalZoneGroup or Coordinates")
	case "CidrRoutingConfig":
		s.cidr = &cidrLocation{}
		good = r.keys(value, subject, map[string]*string{"CollectionId": &s.cidr.collection, "LocationName": &s.cidr.location})
		r.want(good && s.cidr.location == "", value, subject, "LocationName")
	case "TTL":
		var n int
		n, good = r.integer(value, subject, 0, 1<<31-1)
		ttl := uint32(n)
		s.ttl = &ttl
	case "ResourceRecords":
		s.values, good = r.values(value, subject)
	case "AliasTarget":
		s.alias, good = r.alias(value, subject)
	case "HealthCheckId":
		if s.health, good = r.text(value, subject); !good {
			s.health, good = "?", true // answered without its check, which is said
		}
	case "TrafficPolicyInstanceId":
		s.policyInstance, good = r.text(value, subject)
	case "HostedZoneId", "HostedZoneName":
		if r.stack == nil {
			r.unknown(t, i, s.subject())
		}
	case "Comment":
		r.report.Add(comments, r.at(value), s.subject(), "Comment")
	default:
		r.unknown(t, i, s.subject())
	}
	return good
}

// want notes what is missing.
func (r *reader) want(missing bool, t *importer.Tree, subject, what string) {
	if missing {
		r.mistakes.Add(r.at(t), "%s: has no %s", subject, what)
	}
}

// keys reads the texts of a map.
func (r *reader) keys(t *importer.Tree, subject string, into map[string]*string) (good bool) {
	good = true
	for i, key := range treeKeys(t) {
		field := into[key]
		if field == nil {
			r.unknown(t, i, subject)
			continue
		}
		if t.Items[i].IsNull() {
			continue
		}
		text, ok := r.text(t.Items[i], subject+"."+key)
		*field, good = text, good && ok
	}
	return good
}

func (r *reader) proximity(t *importer.Tree, subject string) (*proximity, bool) {
	p, good := &proximity{}, true
	for i, key := range treeKeys(t) {
		value, ok := t.Items[i], true
		switch key {
		case "AWSRegion":
			p.region, ok = r.text(value, subject+".AWSRegion")
		case "LocalZoneGroup":
			p.localZone, ok = r.text(value, subject+".LocalZoneGroup")
		case "Bias":
			p.bias, ok = r.integer(value, subject+".Bias", -99, 99)
		case "Coordinates":
			var latitude, longitude string
			ok = r.keys(value, subject+".Coordinates", map[string]*string{"Latitude": &latitude, "Longitude": &longitude})
			if ok {
				p.at, ok = r.coordinates(value, subject, latitude, longitude)
			}
		default:
			r.unknown(t, i, subject)
		}
		good = good && ok
	}
	return p, good
}

func (r *reader) coordinates(t *importer.Tree, subject, latitude, longitude string) (*place, bool) {
	p := &place{}
	var errLatitude, errLongitude error
	p.latitude, errLatitude = strconv.ParseFloat(latitude, 64)
	p.longitude, errLongitude = strconv.ParseFloat(longitude, 64)
	if errLatitude != nil || errLongitude != nil || !(p.latitude >= -90 && p.latitude <= 90 && p.longitude >= -180 && p.longitude <= 180) {
		r.mistakes.Add(r.at(t), "%s: %s, %s are no coordinates", subject, strict.Quote(latitude), strict.Quote(longitude))
		return nil, false
	}
	return p, true
}

// values reads ResourceRecords: maps with Value from the CLI, texts in CloudFormation.
func (r *reader) values(t *importer.Tree, subject string) (values []string, good bool) {
	good = true
	items := t.Elements()
	if r.stack != nil && t.Kind != importer.List {
		items = []*importer.Tree{t} // a function that makes a list
	}
	for _, item := range items {
		if value := item.Get("Value"); value != nil {
			item = value
		} else if r.stack == nil {
			r.mistakes.Add(r.at(item), "%s: has no Value", subject)
			continue
		}
		text, ok := r.text(item, subject)
		good = good && ok
		values = append(values, decimalEscapes(text))
	}
	return values, good
}

func (r *reader) alias(t *importer.Tree, subject string) (*alias, bool) {
	a := &alias{}
	target, good := r.domain(t.Get("DNSName"), subject+".DNSName")
	a.target = target
	for i, key := range treeKeys(t) {
		switch key {
		case "DNSName", "HostedZoneId":
		case "EvaluateTargetHealth":
			a.evaluate = r.boolean(t.Items[i], subject+".EvaluateTargetHealth")
		default:
			r.unknown(t, i, subject)
		}
	}
	return a, good
}

func (r *reader) hostedZone(t *importer.Tree) {
	apex, ok := r.domain(t.Get("Name"), "hosted zone: Name")
	if !ok {
		return
	}
	z := hostedZone{id: strings.TrimPrefix(scalarOf(t.Get("Id")), "/hostedzone/"), apex: apex, at: r.at(t)}
	z.private = scalarOf(t.Get("Config").Get("PrivateZone")) == "true"
	r.in.zones = append(r.in.zones, z)
}

func (r *reader) cidrBlock(t *importer.Tree) {
	location := scalarOf(t.Get("LocationName"))
	r.block(t.Get("CidrBlock"), "", location)
}

func (r *reader) block(t *importer.Tree, collection, location string) {
	text, ok := r.text(t, "CIDR location "+location)
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		r.mistakes.Add(r.at(t), "CIDR location %s: %s is not an IP prefix", location, strict.Quote(text))
		return
	}
	if r.in.blocks[collection] == nil {
		r.in.blocks[collection] = map[string]prefixes{}
	}
	if p = p.Masked(); !slices.Contains(r.in.blocks[collection][location], p) {
		r.in.blocks[collection][location] = append(r.in.blocks[collection][location], p)
	}
}
