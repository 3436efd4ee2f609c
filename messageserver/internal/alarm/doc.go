// Package alarm says what an operator must hear: it looks at what the rooms say is the matter, makes one alarm of what is one
// condition, lists it, and brings it to Alertmanager and to a webhook. docs/alarms.md has every kind, and the webhook's format.
//
// # State
//
// Sources say each second what holds. A condition that is said begins an alarm; one that is not said for some seconds ends it,
// so that what comes and goes is one alarm with a Count. An alarm is known by its Fingerprint, which is made of what it is
// about and not of who says it, except where the kind is one node's own view (ScopeNode): three nodes that see the same thing
// have the same alarm, and Merge makes one of their lists. Those that have ended are listed for an hour.
//
// Each receiver has a queue of its own that holds the last state of each alarm, and a goroutine that sends it: a receiver that
// is slow or away holds nobody up, and hears afterwards how things are, not how they came about. Alertmanager takes an alarm
// whose repetition stays away for ended, so it is told again and again while the alarm lasts.
//
// # Failure
//
// What a receiver does not take is sent again with growing pauses, until it does; what it calls malformed is not. Everything is
// bounded: 1,000 alarms that last (a quarter of them kept for critical ones), 1,000 that have ended, 4,096 messages for a
// receiver; what is over is counted, shown in View, and is itself an alarm. A node that ends takes its alarms with it:
// Alertmanager ends them after four times Resend.
package alarm
