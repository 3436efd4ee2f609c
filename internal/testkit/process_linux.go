package testkit

import "syscall"

// dieWithParent has a child killed when the test's process ends without a cleanup, as after a timeout.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
