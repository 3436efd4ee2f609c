package demo

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// listen lets the first signal end the story, and the second one kill all processes. SIGPIPE says that nobody reads what is
// printed, or that a caller is gone: a reason to end, not to hurry.
func (s *story) listen(stop func()) (end func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		asked := false
		for {
			select {
			case one := <-signals:
				stop()
				if asked && one != syscall.SIGPIPE {
					signal.Stop(signals) // a third one ends the demo itself
					s.report(errors.New("a second signal ended it at once"))
					s.family.close()
				}
				asked = asked || one != syscall.SIGPIPE
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
