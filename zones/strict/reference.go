package strict

import (
	"fmt"
	"strings"
)

// A section is the reference of one object.
type section struct {
	path string // "pools.NAME"; empty at the top of a file
	rows []row
}

type row struct{ key, value, byDefault, doc string }

// Reference returns the keys of the object, and of all objects inside it, as Markdown.
func (o Object[T]) Reference() string {
	var b strings.Builder
	for _, s := range o.sections("") {
		if s.path == "" {
			fmt.Fprintf(&b, "## Top of the file\n\n")
		} else {
			fmt.Fprintf(&b, "\n## `%s`\n\n", s.path)
		}
		fmt.Fprintf(&b, "| key | value | default | meaning |\n|---|---|---|---|\n")
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.key, cell(r.value), cell(r.byDefault), cell(r.doc))
		}
	}
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// sections returns the object's own section and then those of the objects inside it.
func (o Object[T]) sections(path string) []section {
	own := section{path: path}
	var inner []section
	within := path
	if within != "" {
		within += "."
	}
	for _, k := range o {
		byDefault := ""
		switch {
		case k.Required:
			byDefault = "*required*"
		case k.Default != "":
			byDefault = "`" + k.Default + "`"
		}
		own.rows = append(own.rows, row{k.Name, k.typeDoc, byDefault, k.Doc})
		inner = append(inner, k.inner(within)...)
	}
	return append([]section{own}, inner...)
}
