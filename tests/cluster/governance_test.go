package cluster

import (
	"testing"
)

// Operators steer calls while they run. The stories wait most of their time, and are told side by side.
func TestOperatorsGovern(t *testing.T) {
	stories := map[string]func(t *testing.T, g *governed){
		"off with calls in flight":       offWithCallsInFlight,
		"an older node is no way around": anOlderNodeIsNoWayAround,
		"off outlives all nodes":         offOutlivesAllNodes,
		"off ends by itself":             offEndsByItself,
		"a refused call is explained":    aRefusedCallIsExplained,
		"a bad document is rolled back":  aBadDocumentIsRolledBack,
		"two operators at once":          twoOperatorsAtOnce,
		"huge documents are refused":     hugeDocumentsAreRefused,
		"one caller above its quota":     oneCallerFarAboveItsQuota,
		"a paced limit delays":           aPacedLimitDelays,
		"shadow refuses nothing":         shadowRefusesNothing,
	}
	var all []func()
	for name, tell := range stories {
		all = append(all, func() { t.Run(name, func(t *testing.T) { onEachGoverned(t, abc, tell) }) })
	}
	atOnce(all...)
}
