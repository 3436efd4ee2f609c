// Package admin is what a node shows to its operators: health, metrics, profiles, sessions and the registry, over HTTP on
// a loopback listener of its own. It shows and changes nothing: only GET and HEAD are answered.
//
//	/healthz            200 while the process answers
//	/readyz             200 or 503, with every check by name
//	/metrics            Prometheus
//	/debug/check        200, or 500 with every difference that the rooms find in their books
//	/debug/pprof/       profiles of the process
//	/v1/info            the node
//	/v1/sessions        its sessions, a page of at most 500
//	/v1/registry        the modules that are registered, likewise
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
// as sent by another site is refused, and no answer allows another origin to read it.
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
// request only.
package admin
