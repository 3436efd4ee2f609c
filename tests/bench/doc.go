// Command bench measures calls through twohop beside what people could pick instead, in one run on one machine. scripts/bench
// builds and starts it; docs/performance.md has the method and the figures.
//
// # What runs
//
// Everything is a process of its own, as deployed: the brokers (twohop's and NATS' own programs, with their defaults but for names and
// addresses), two instances of a service, each with one connection to one broker so that two hops are two, and a caller that is
// started anew for each measurement. The roles of service, caller and relay are this program, started by itself:
//
//	caller ──► broker ──────────────► service 1, service 2     one hop
//	caller ──► broker a ──► broker b ──► service 1, service 2  two hops
//
//	twohop, nats  the client library as users use it: a request of raw bytes, answered with the same bytes by a handler of
//	              which one runs at a time. Ours is rpcserver.Inline, on the goroutine that reads the connection; NATS hands
//	              the requests of a subscription to a goroutine of their own, and keeps reading while a handler waits
//	pooled        the same with twohop's default, a pool of workers: handlers run beside each other
//	typed, grpc   the same as a protobuf message with one field of bytes; handlers run beside each other in both
//	floor         a relay of frames that knows nothing but an id, with inline services: what no product can beat
//
// # What is measured
//
// A closed loop: so many calls in flight, spread over so many connections of one caller process. Contenders take turns, in an
// order that chance decides for each round, so that a bad second of the machine hits one round of each; a figure is the median of
// its rounds. Ratios are of medians, within one run. Processor time is what the system charged to each process between the beginning and the
// end of the window.
package main
