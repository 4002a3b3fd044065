package zones

// Schema returns a JSON Schema (draft 2020-12) of a world's YAML files.
func Schema() string {
	return sectionsObject.Schema("https://github.com/meridian-gslb/meridian/deploy/schema/world.schema.json", "Meridian: a YAML file of a world",
		"What all nodes share: regions, checks, pools, controls, gateway and zones. docs/world.md says more of each key.")
}
