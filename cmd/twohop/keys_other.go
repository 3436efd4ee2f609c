//go:build !linux

package main

import "io"

// watchKeys has no keys here: Ctrl-C ends what is watched.
func watchKeys(io.Reader) (keys <-chan byte, restore func()) { return nil, func() {} }

// terminalRows is not known here.
func terminalRows(io.Writer) int { return 0 }
