package sim

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/zones"
)

// Publish gives every client what the rules say, worked out for that client alone.
func TestPublishIsObvious(t *testing.T) {
	table := Table()
	rapid.Check(t, func(t *rapid.T) {
		world := drawWorld(t)
		plan, err := world.Compile(table, rtt.New().Orders())
		if err != nil {
			t.Fatal(err)
		}
		in := zones.Inputs{Health: drawHealth(t, plan), Control: drawControl(t, world), Spill: drawSpill(t, world)}
		snapshot := plan.Publish(nil, in, zones.Change{All: true}, epoch)
		for _, pool := range world.Pools {
			for _, client := range Clients() {
				for family := range zones.FamilyNames {
					if differs := disagreement(snapshot, pool.Name, family, client, in.Health, in.Control); differs != "" {
						t.Fatalf("%+v answers %v with %s %s", pool, client, zones.FamilyNames[family], differs)
					}
				}
			}
		}
	})
}
