package demo

import "syscall"

// attributes give a process a group of its own, so that Ctrl-C reaches the demo only, which ends the others in order. It is
// killed when the demo is.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
