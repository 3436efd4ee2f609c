package alarm

import "slices"

// The kinds.
const (
	LimitExceeded      = "limit_exceeded"
	RulesDiffer        = "rules_differ"
	RulesStoreDown     = "rules_store_down"
	RulesStoreOlder    = "rules_store_older"
	RulesNotUnderstood = "rules_not_understood"
	RulesInvalidFile   = "rules_invalid_file"
	RulesFileWaits     = "rules_file_waits"
	RulesCache         = "rules_cache"
	ChecksLifted       = "checks_lifted"
	LinkDown           = "link_down"
	LinkOneWay         = "link_one_way"
	LinkSlow           = "link_slow"
	NodeDead           = "node_dead"
	NodeClone          = "node_clone"
	MembershipDiffers  = "membership_differs"
	RegistryDiffers    = "registry_differs"
	NotAMember         = "not_a_member"
	ModuleAbsent       = "module_absent"
	BaselineDeviation  = "baseline_deviation"
	StatsOverflow      = "stats_overflow"
	StatsDisk          = "stats_disk"
	RestartRequired    = "restart_required"
	ConfigInvalid      = "config_invalid"
	CertificateExpiry  = "certificate_expiry"
	StoreDown          = "store_down"
	DeadCalls          = "dead_calls"
	AuditFailed        = "audit_failed"
	AlarmsOverflow     = "alarms_overflow" // made by this room
)

// Scope says whose condition it is.
type Scope string

// The scopes.
const (
	ScopeMesh Scope = "mesh" // the same from whichever node it is seen
	ScopeNode Scope = "node" // one node's own view, or its own trouble
)

// Kind is what alarms of one kind have in common.
type Kind struct {
	Name     string
	Severity Severity // where the source says none
	Scope    Scope
	Subject  string // what an alarm's Subject names
	Means    string
	Do       string // what an operator does
}

// kinds is docs/alarms.md's table; a test compares them.
var kinds = []Kind{
	{LimitExceeded, Warning, ScopeMesh, "the rule",
		"More calls come than a limit allows. It refuses them, or lets them through if it only alarms.",
		"See in the statistics who calls, then raise the limit, or talk to the caller's owner."},
	{RulesDiffer, Critical, ScopeMesh, "the node, or the mesh",
		"A node has had other rules for some seconds than one that reaches it, or there are two documents under one version.",
		"Where a node is behind, look whether it reaches the store and the other nodes. Of two documents under one version apply the right one again: it becomes a new version on all nodes."},
	{RulesStoreDown, Critical, ScopeMesh, "the store",
		"The store of the rules is not reached. Rules stay in force and cannot be changed.",
		"Bring the store back. To change rules meanwhile there is no way: what is not stored and audited does not hold."},
	{RulesStoreOlder, Critical, ScopeMesh, "the store",
		"The store came back with older rules than the nodes have; the newer ones were written to it.",
		"Find out why the store lost writes: a restored backup, a replica that was promoted, no fsync."},
	{RulesNotUnderstood, Critical, ScopeNode, "the mesh",
		"The node cannot read the newest rules, which another version of twohop wrote. The rules before them stay in force there.",
		"Bring all nodes to one version, or take out of the rules what the text names."},
	{RulesInvalidFile, Warning, ScopeNode, "the file",
		"The file of rules has a problem. The rules before it stay in force.",
		"Correct what the text names, with its line."},
	{RulesFileWaits, Warning, ScopeNode, "the file",
		"The file of rules has changed and is right, and could not be put in force yet. It is tried again.",
		"The text says why: mostly the store, or the audit log, is not there."},
	{RulesCache, Warning, ScopeNode, "the file",
		"The node cannot keep its copy of the rules on disk. Started without the store, it would have old rules or none.",
		"Look at space and rights of the data folder."},
	{ChecksLifted, Warning, ScopeMesh, "the rule, or the mesh",
		"An operator has switched checks off for a time.",
		"Nothing, if it is meant; else remove the rule. The audit log says who it was."},
	{LinkDown, Critical, ScopeNode, "the other node",
		"The link to a node is down for more than 2 s. Its instances get no calls from here.",
		"Look at the other node's process, then at the network between the two. The text has the last error."},
	{LinkOneWay, Critical, ScopeNode, "the other node",
		"The link to a node carries frames in one direction only.",
		"Look at firewalls and routes between the two nodes: packets pass one way."},
	{LinkSlow, Warning, ScopeNode, "the other node",
		"A node answers heartbeats slowly.",
		"Look at the load of both nodes, and at loss and latency of the network between them."},
	{NodeDead, Critical, ScopeMesh, "the node",
		"No node that is heard reaches a member.",
		"Start it again, or remove it from the members if it is gone for good."},
	{NodeClone, Critical, ScopeMesh, "the node",
		"Another process has brought the name of a node that runs; it was refused.",
		"Stop the process at the address in the text, or give it a name and a number of its own."},
	{MembershipDiffers, Critical, ScopeNode, "the other node",
		"Two nodes have different lists of members.",
		"Give both the same list (`twohop mesh ls` on each)."},
	{RegistryDiffers, Warning, ScopeNode, "the other node",
		"Two nodes had different registries at the same version. It is repaired already, and should not happen.",
		"If it comes again, keep both nodes' logs and report it as a bug."},
	{NotAMember, Critical, ScopeNode, "this node",
		"The node runs and is not in the list of members: it gets no calls from others.",
		"Add it to the members, or stop it."},
	{ModuleAbsent, Critical, ScopeMesh, "the module",
		"A module that is needed has no instance.",
		"Start it. If it runs, look at its log for why it does not log in."},
	{BaselineDeviation, Warning, ScopeMesh, "module.method",
		"Calls, failures or latency are far from what they were of late, and at this time yesterday.",
		"See what has changed there: a release, a caller, a dependency."},
	{StatsOverflow, Warning, ScopeNode, "this node",
		"There are more modules, methods and callers than are counted apart; the rest is counted as one.",
		"Look for names that are made up per call, or raise the bound."},
	{StatsDisk, Warning, ScopeNode, "this node",
		"Statistics are not written to disk. They are kept in memory, and lost with the process.",
		"Look at space and rights of the data folder."},
	{RestartRequired, Warning, ScopeNode, "the file",
		"The file that the node was configured by has changed. A node reads it when it starts.",
		"Restart the node when it suits, or put the file back. The text names what differs."},
	{ConfigInvalid, Warning, ScopeNode, "the file",
		"The file that the node was configured by has changed, and the node would not start with it.",
		"Correct what the text names; `twohop messageserver --check-config` says the same."},
	{CertificateExpiry, Warning, ScopeNode, "the certificate",
		"A certificate ends soon. After that, new connections are refused.",
		"Renew it; a running node reads the new file by itself."},
	{StoreDown, Critical, ScopeMesh, "the store",
		"The store of reachable calls is not reached. They are refused with STORE_UNAVAILABLE; other calls do not notice.",
		"Bring the store back. What was accepted is in it, and is delivered then."},
	{DeadCalls, Warning, ScopeMesh, "the module",
		"Reachable calls were given up, or the place for them runs out.",
		"Read their reasons, repair the module, then requeue or purge them."},
	{AuditFailed, Critical, ScopeNode, "this node",
		"Changes by operators cannot be recorded, and are refused for that; or what became of one could not be.",
		"Look at space and rights of the data folder, and at the file in the text."},
	{AlarmsOverflow, Warning, ScopeNode, "this node",
		"More alarms hold at once than are kept; the rest is not shown and not sent.",
		"Repair what the alarms that are shown have in common."},
}

// Kinds returns all kinds.
func Kinds() []Kind { return slices.Clone(kinds) }

// kindOf returns a kind. What no table has is the node's own view, and a warning.
func kindOf(name string) Kind {
	if i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return kinds[i]
	}
	return Kind{Name: name, Severity: Warning, Scope: ScopeNode}
}
