// Package stats counts calls and says what was counted: now, and over any time that is kept.
//
// # State
//
// A subject is one caller's calls to one method of one module. Its Meter is a handful of atomic counters that the router adds to:
// what entered, what was started, how it finished and how long it took. Everything else happens beside the calls. Once a
// second Run reads what has entered, which makes rates; whenever a minute of the wall clock is full it takes what the counters have
// gained, which makes a rollup; rollups go to a file, and the minutes of an hour make the hour's. The Books have all of it.
//
// A subject without a call for an hour is dropped, unless somebody holds its Meter: the Books see that by a weak pointer,
// so what a holder counts is never lost, however long it was idle. What a dropped subject had counted stays in its method's
// totals. There are at most Options.MaxCallers subjects, of 2.6 KB each in the heap as measured with ten busy buckets of times
// (TestMemoryOfASubject); one that is called more than 5,000 times a second has 1 KB more for each stripe. Calls beyond them are counted in
// buckets that share a name, Other.
//
// # Failure
//
// Counting cannot fail. A disk that is full, locked or broken takes nothing from the calls: the minutes wait in memory, an hour of
// them, those beyond that are dropped and counted, Troubles says so, and writing is tried again every minute. A crash
// loses what was counted since the last write, which is the running minute and, while it is written, the one before. Questions
// about the past that cannot be answered, or would read too much, are refused with what would be right.
package stats
