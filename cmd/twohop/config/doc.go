// Package config makes the options of a node from a YAML file, the environment and flags, each laid over the one before.
//
// The keys are the yaml tags of messageserver.Options: session.max_in_flight in the file is the variable
// TWOHOP_SESSION_MAX_IN_FLIGHT. A secret's key has two more, of which one is used: secret_file names a file that others
// cannot read, and secret_env a variable. Paths in the file (keys that end in _file and _dir) are relative to the file, those
// in variables and flags to the working directory.
//
// # State
//
// There is none: Load reads everything once and returns a Config, which knows of each value where it came from.
//
// # Failure
//
// Load lists every problem at once, each with its place: file:line:column, variable or flag. A key or variable that is not
// known is a problem, and so is a key that stands twice: what somebody wrote has an effect, or is an error. Texts of problems
// never hold a secret.
package config
