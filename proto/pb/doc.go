// Package pb is the generated Go of the messages in proto/*.proto (scripts/gen): headers of calls, headers of control
// frames, and what nodes say to each other. PROTOCOL.md says what they mean.
package pb
