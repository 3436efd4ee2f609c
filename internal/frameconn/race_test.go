//go:build race

package frameconn

const raceEnabled = true
