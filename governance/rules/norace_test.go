//go:build !race

package rules

// raceEnabled: what is measured is the room.
const raceEnabled = false
