// Package deploy holds what a deployment starts from: an example of a world and of its three nodes.
package deploy

import "embed"

// Example is the folder example: the world of the demo in example/world, and a node file for each region beside it.
//
//go:embed example
var Example embed.FS

// Node is the node file of a nameserver in production, with what is usual there.
//
//go:embed node.yaml
var Node []byte
