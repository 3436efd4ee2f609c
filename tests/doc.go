// Package tests holds what crosses rooms: the map of the house, the rules for docs and generated files, and below it
// the stories of a whole mesh.
package tests
