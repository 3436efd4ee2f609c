//go:build !race

package rpcserver_test

const raceEnabled = false
