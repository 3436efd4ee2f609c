//go:build race

package rules

// raceEnabled: what is measured is the detector.
const raceEnabled = true
