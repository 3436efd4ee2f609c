// Package admin is what a node shows to its operators, and how they govern: health, metrics, profiles, sessions, the registry, the
// mesh, rules, statistics, alarms and audit, over HTTP on a loopback listener of its own. Changes are PUT and POST; everything
// else answers GET and HEAD only. docs/openapi.yaml describes each endpoint, and a test compares.
//
//	/healthz            200 while the process answers
//	/readyz             200 or 503, with every check by name
//	/metrics            Prometheus
//	/debug/check        200, or 500 with every difference that the rooms find in their books
//	/debug/pprof/       profiles of the process
//	/v1/info            the node
//	/v1/sessions        its sessions, a page of at most 500
//	/v1/registry        the modules that are registered, likewise; with ?scope=mesh what every node says that it serves
//	/v1/load            how busy the node is; with ?scope=mesh every node
//	/v1/mesh            the members, and how the links to them are; with ?scope=mesh also which list each of them has
//	/v1/members         the list of members; PUT writes every node's
//	/v1/links           every node's end of every link
//	/v1/troubles        what this node's operators must hear of its links
//	/v1/rules           the document of rules and what each rule did; PUT replaces it everywhere. Below it: validate, history,
//	                    versions, diff, rollback, explain, refused
//	/v1/switches        POST: off, on, or limit, as one rule; the answer says who is hit
//	/v1/stats           what was counted of calls, now or in the past. Below it: callers, handlers, export
//	/v1/alarms          what an operator must hear
//	/v1/audit           who changed what through this node
//	/v1/quota           how limits of the whole mesh are divided
//
// # The mesh
//
// What is asked of the whole mesh is asked of every member at once, by a call of module _node over the link to it, and of no
// node through another one. Each node answers with what NodeMethods has, which is what it would show itself. One that is not
// linked, or does not answer within two seconds, is in the answer with the reason; the answer is 200 all the same, because
// what the other nodes say is true.
//
// PUT /v1/members brings a whole list and, in If-Match, the hash of the list that it was made from. Every node that stays
// and is linked is asked first whether it would take the list, and which one it has: if one objects, none gets it. Then every node
// of the old and of the new list is told, each compares, checks and writes it whole or not at all, in one step, and the
// answer says of each how it went. Of the nodes that stay the first by name is told before the others, so that two changes
// meet there, and one of them ends before anybody has taken it. Nodes that leave are told while they are linked, then this
// node takes the list, then the rest is told. Nodes that have different lists find that out by themselves, and say so as a
// trouble.
//
// # Changes of rules
//
// A change names the version that it was made from (If-Match), or is an edit of whatever is newest (switches). The room
// rulestore checks it, has it recorded, and stores it; a change that cannot be recorded is not made. When it is in force here,
// every node is asked by _node.RulesStanding to answer as soon as it is in force there and all server sessions that it concerns
// have acknowledged it, after a second at the latest. A node that waits looks every 5 ms. The answer says how long each of them took,
// seen from here: with the way of the answer, so that the truth is a little less.
//
// # State
//
// New opens the listener, Serve answers until Close. Nothing is kept between requests: each one reads what the other
// rooms hold at that moment, through Sources, so that a call pays nothing for being counted here.
//
// # Who may ask
//
// Whoever can connect to the machine's loopback. A web page in a browser on that machine can, too; therefore the Host
// header must be one of this listener's own names (a page that let its name point here has another), what a browser marks
// as sent by another site is refused, and no answer allows another origin to read it. A change must be JSON or YAML by its
// Content-Type, which a form cannot send.
//
// GET /v1/rules has the text as it was written, with the secrets of its rules: nobody could edit it without them. Nothing else
// shows them, and no log does.
//
// # Ready
//
// A node is not ready when it does not listen, drains, or finds a difference in its books that is still there when it looks
// again. A module that a session needs and that nobody serves is a warning and leaves the node ready: taking the
// node out of service would not bring the module, and it would take the other modules with it.
//
// # Failure
//
// Everything that is not an answer is a JSON object with "error" and what would be right. A panic in a handler ends its
// request only. A change that was accepted goes on when who asked for it has gone. Where the store does not say whether it took a
// change, the answer is 503 and says that it is not known.
package admin
