package route53

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A template is one of CloudFormation.
type template struct {
	parameters *importer.Tree
	resources  *importer.Tree
	told       map[string]bool // parameters whose default was used, which is said once
	steps      int             // functions that may still be resolved
}

// The types of resources that matter.
const (
	typeHealthCheck    = "AWS::Route53::HealthCheck"
	typeHostedZone     = "AWS::Route53::HostedZone"
	typeRecordSet      = "AWS::Route53::RecordSet"
	typeRecordSetGroup = "AWS::Route53::RecordSetGroup"
	typeCidrCollection = "AWS::Route53::CidrCollection"
)

const (
	maxResolve = 20        // functions in functions
	maxSteps   = 1_000_000 // functions of a template
	maxText    = 64 << 10  // of a function
)

func (s *template) typeOf(resource string) string {
	return scalarOf(s.resources.Get(resource).Get("Type"))
}

// template reads the resources of CloudFormation, health checks and zones first, as records refer to them.
func (r *reader) template(t *importer.Tree) {
	r.stack = &template{t.Get("Parameters"), t.Get("Resources"), map[string]bool{}, maxSteps}
	for _, pass := range [][]string{{typeHealthCheck, typeHostedZone, typeCidrCollection}, {typeRecordSet, typeRecordSetGroup}, nil} {
		for i, name := range treeKeys(r.stack.resources) {
			resource := r.stack.resources.Items[i]
			kind := scalarOf(resource.Get("Type"))
			switch known := []string{typeHealthCheck, typeHostedZone, typeCidrCollection, typeRecordSet, typeRecordSetGroup}; {
			case pass != nil && slices.Contains(pass, kind):
				if c := resource.Get("Condition"); c != nil {
					r.report.Add(condition, r.at(c), name, "%s", scalarOf(c))
				}
				r.resource(name, kind, resource.Get("Properties"))
			case pass == nil && !slices.Contains(known, kind):
				feature := otherResource
				if strings.HasPrefix(kind, "AWS::Route53") {
					feature = otherRoute53
				}
				r.report.Add(feature, r.at(resource), name, "%s", kind)
			}
		}
	}
}

func (r *reader) resource(name, kind string, properties *importer.Tree) {
	if properties == nil || properties.Kind != importer.Map {
		r.mistakes.Add(r.at(r.stack.resources.Get(name)), "%s: has no Properties", name)
		return
	}
	switch kind {
	case typeHealthCheck:
		r.healthCheck(properties, name)
	case typeHostedZone:
		r.stackZone(name, properties)
	case typeCidrCollection:
		for _, location := range properties.Get("Locations").Elements() {
			of, ok := r.text(location.Get("LocationName"), name+": LocationName")
			for _, block := range location.Get("CidrList").Elements() {
				if ok {
					r.block(block, name, of)
				}
			}
		}
	case typeRecordSet:
		r.recordSet(properties, r.zoneOf(properties), name)
	case typeRecordSetGroup:
		zone := r.zoneOf(properties)
		for _, set := range properties.Get("RecordSets").Elements() {
			own := r.zoneOf(set)
			if own == "" {
				own = zone
			}
			r.recordSet(set, own, name)
		}
		for i, key := range properties.Keys {
			switch key {
			case "RecordSets", "HostedZoneId", "HostedZoneName":
			case "Comment":
				r.report.Add(comments, r.at(properties.Items[i]), name, "Comment")
			default:
				r.unknown(properties, i, name)
			}
		}
	}
}

func (r *reader) stackZone(name string, properties *importer.Tree) {
	apex, ok := r.domain(properties.Get("Name"), name+": Name")
	if !ok {
		return
	}
	z := hostedZone{id: name, apex: apex, at: r.at(properties)}
	for i, key := range properties.Keys {
		switch key {
		case "Name":
		case "VPCs":
			z.private = true
		case "HostedZoneConfig", "HostedZoneTags", "QueryLoggingConfig", "HostedZoneFeatures":
			r.report.Add(comments, r.at(properties.Items[i]), name, "%s", key)
		default:
			r.unknown(properties, i, name)
		}
	}
	r.in.zones = append(r.in.zones, z)
}

// zoneOf returns the id or apex of the zone that a resource names; empty where it names none that can be told.
func (r *reader) zoneOf(properties *importer.Tree) string {
	if name := properties.Get("HostedZoneName"); name != nil {
		if text, why := r.stack.resolve(name, r, 0); why == "" {
			if apex, ok := domain(text); ok {
				r.in.zones = append(r.in.zones, hostedZone{apex: apex, at: r.at(name)})
				return apex
			}
		}
	}
	if id := properties.Get("HostedZoneId"); id != nil {
		if text, why := r.stack.resolve(id, r, 0); why == "" {
			return text
		}
	}
	return ""
}

// resolve returns the text that a value has, or why only a stack could tell.
func (s *template) resolve(t *importer.Tree, r *reader, depth int) (text, why string) {
	s.steps--
	switch {
	case depth > maxResolve || s.steps < 0:
		return "", "too many functions within functions"
	case t == nil:
		return "", "is missing"
	case t.Kind == importer.Scalar:
		return t.Text, ""
	case t.Kind != importer.Map || len(t.Keys) != 1:
		return "", "want a text"
	}
	argument := t.Items[0]
	switch function := t.Keys[0]; function {
	case "Ref":
		return s.ref(scalarOf(argument), r, depth)
	case "Fn::GetAtt":
		name, attribute, _ := strings.Cut(scalarOf(argument), ".")
		if parts := argument.Elements(); len(parts) == 2 {
			name, attribute = scalarOf(parts[0]), scalarOf(parts[1])
		}
		return s.attribute(name, attribute)
	case "Fn::Sub":
		return s.substitute(argument, r, depth)
	case "Fn::Join":
		return s.join(argument, r, depth)
	default:
		return "", function + " is not followed"
	}
}

func (s *template) ref(name string, r *reader, depth int) (text, why string) {
	if p := s.parameters.Get(name); p != nil {
		value := p.Get("Default")
		if value == nil || value.Kind != importer.Scalar {
			return "", fmt.Sprintf("parameter %s has no default", name)
		}
		if !s.told[name] {
			s.told[name] = true
			r.report.Add(parameter, r.at(value), name, "%s", strict.Quote(value.Text))
		}
		return value.Text, ""
	}
	switch kind := s.typeOf(name); kind {
	case typeHealthCheck, typeHostedZone, typeCidrCollection:
		return name, ""
	case typeRecordSet:
		return s.resolve(s.resources.Get(name).Get("Properties").Get("Name"), r, depth+1)
	case "":
		return "", fmt.Sprintf("%s is nothing in the template", name)
	default:
		return "", fmt.Sprintf("Ref of %s (%s)", name, kind)
	}
}

func (s *template) attribute(name, attribute string) (text, why string) {
	kind := s.typeOf(name)
	switch {
	case kind == typeHealthCheck && attribute == "HealthCheckId", (kind == typeHostedZone || kind == typeCidrCollection) && attribute == "Id":
		return name, ""
	case kind == "":
		return "", fmt.Sprintf("%s is nothing in the template", name)
	}
	return "", fmt.Sprintf("%s of %s (%s)", attribute, name, kind)
}

// substitute is Fn::Sub: ${Name} and ${Name.Attribute} in a text, with names of its own or the template's.
func (s *template) substitute(t *importer.Tree, r *reader, depth int) (text, why string) {
	var own *importer.Tree
	if parts := t.Elements(); len(parts) == 2 {
		t, own = parts[0], parts[1]
	}
	rest := scalarOf(t)
	for {
		before, after, found := strings.Cut(rest, "${")
		text += before
		name, after, closed := strings.Cut(after, "}")
		switch {
		case !found:
			return text, ""
		case !closed:
			return "", "a ${ is never closed"
		}
		rest = after
		var value string
		switch literal, isLiteral := strings.CutPrefix(name, "!"); {
		case isLiteral:
			value = "${" + literal + "}"
		case own.Get(name) != nil:
			value, why = s.resolve(own.Get(name), r, depth+1)
		case strings.Contains(name, "."):
			of, attribute, _ := strings.Cut(name, ".")
			value, why = s.attribute(of, attribute)
		default:
			value, why = s.ref(name, r, depth+1)
		}
		text += value
		switch {
		case why != "":
			return "", why
		case len(text) > maxText:
			return "", "makes too long a text"
		}
	}
}

func (s *template) join(t *importer.Tree, r *reader, depth int) (text, why string) {
	parts := t.Elements()
	if len(parts) != 2 || parts[1].Kind != importer.List {
		return "", "Fn::Join is not of a list"
	}
	var texts []string
	for _, part := range parts[1].Elements() {
		value, why := s.resolve(part, r, depth+1)
		if why != "" {
			return "", why
		}
		texts = append(texts, value)
	}
	if text = strings.Join(texts, scalarOf(parts[0])); len(text) > maxText {
		return "", "makes too long a text"
	}
	return text, ""
}
