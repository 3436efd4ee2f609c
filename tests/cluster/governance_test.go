package cluster

import (
	"testing"
)

// told is a story about three nodes that operators govern.
type told struct {
	name string
	tell func(t *testing.T, g *governed)
}

// Operators steer calls while they run. The stories that wait most of their time are told side by side, and beside them the others,
// one after the other: they look at how soon something is in force.
func TestOperatorsGovern(t *testing.T) {
	onEach := func(s told) { t.Run(s.name, func(t *testing.T) { onEachGoverned(t, abc, s.tell) }) }
	all := []func(){
		func() { t.Run("redis keeps the rules", redisKeepsTheRules) },
		func() { t.Run("a file of rules is damaged", aFileOfRulesIsDamaged) },
		func() {
			for _, s := range []told{
				{"off with calls in flight", offWithCallsInFlight},
				{"a refused call is explained", aRefusedCallIsExplained},
				{"a bad document is rolled back", aBadDocumentIsRolledBack},
				{"two operators at once", twoOperatorsAtOnce},
				{"huge documents are refused", hugeDocumentsAreRefused},
				{"shadow refuses nothing", shadowRefusesNothing},
				{"a paced limit delays", aPacedLimitDelays},
				{"statistics add up", statisticsAddUp},
				{"a rule cuts times", aRuleCutsTimes},
				{"a rule chooses the balancer", aRuleChoosesTheBalancer},
				{"a rule caps attempts", aRuleCapsAttempts},
				{"a rule says what is late", aRuleSaysWhatIsLate},
			} {
				onEach(s)
			}
		},
	}
	for _, s := range []told{
		{"an older node is no way around", anOlderNodeIsNoWayAround},
		{"off outlives all nodes", offOutlivesAllNodes},
		{"off ends by itself", offEndsByItself},
		{"one caller above its quota", oneCallerFarAboveItsQuota},
		{"a node that was away", aNodeThatWasAwayHasTheRules},
		{"the keeper is away", theKeeperIsAway},
	} {
		all = append(all, func() { onEach(s) })
	}
	atOnce(all...)
}
