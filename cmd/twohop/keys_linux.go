package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// watchKeys lets keys through without Enter while a terminal is watched; signals stay the terminal's. Restore puts it back.
// A stream that is no terminal has no keys.
func watchKeys(in io.Reader) (keys <-chan byte, restore func()) {
	file, ok := in.(*os.File)
	if !ok || !isTerminal(file) {
		return nil, func() {}
	}
	fd := int(file.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, func() {}
	}
	single := *before
	single.Lflag &^= unix.ICANON | unix.ECHO
	single.Cc[unix.VMIN], single.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &single); err != nil {
		return nil, func() {}
	}
	pressed := make(chan byte)
	go func() { // ends with the process: a read of a terminal cannot be taken back
		one := make([]byte, 1)
		for {
			if n, err := file.Read(one); err != nil || n == 0 {
				return
			}
			pressed <- one[0]
		}
	}()
	return pressed, func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) } // it was the terminal's own
}

// terminalRows returns how many lines a terminal has, 0 for a stream that is none.
func terminalRows(out io.Writer) int {
	file, ok := out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
