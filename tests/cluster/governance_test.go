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
		"a node that was away":           aNodeThatWasAwayHasTheRules,
		"the keeper is away":             theKeeperIsAway,
		"statistics add up":              statisticsAddUp,
		"a rule cuts times":              aRuleCutsTimes,
		"a rule chooses the balancer":    aRuleChoosesTheBalancer,
		"a rule caps attempts":           aRuleCapsAttempts,
		"a rule says what is late":       aRuleSaysWhatIsLate,
	}
	all := []func(){
		func() { t.Run("redis keeps the rules", redisKeepsTheRules) },
		func() { t.Run("a file of rules is damaged", aFileOfRulesIsDamaged) },
	}
	for name, tell := range stories {
		all = append(all, func() { t.Run(name, func(t *testing.T) { onEachGoverned(t, abc, tell) }) })
	}
	atOnce(all...)
}
