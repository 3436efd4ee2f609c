// Package testkit holds what the tests of several rooms need. A lint rule keeps it out of production code.
//
// Pipe is a connection in memory that behaves like TCP: writes are buffered up to a bound and block beyond it,
// deadlines hold, either direction ends by itself, and closing with unread input resets the other side. On top of
// that it can be broken on purpose: after a number of bytes, or cut into pieces of any size. It blocks on nothing
// that testing/synctest does not know, so that time may be virtual.
//
// Redis is a real redis-server that a test may kill, start again, and empty.
package testkit
