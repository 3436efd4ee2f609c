package router

import (
	"errors"
	"fmt"
)

// ConsistencyCheck compares what the router counts with what it holds. It may be called while calls are under way; what it
// can only say of a quiet router it says when there are none.
func (r *Router) ConsistencyCheck() error {
	var errs []error
	calls, kept := r.InFlight()
	if calls < 0 || kept < 0 {
		errs = append(errs, fmt.Errorf("router: %d calls in flight and %d bytes kept, must not be negative", calls, kept))
	}
	t := r.table.Load()
	for name, m := range t.modules {
		if len(m.byPick) != len(m.entries) || len(m.byName) != len(m.entries) {
			errs = append(errs, fmt.Errorf("router: module %s has %d instances, %d by name and %d by picker", name, len(m.entries), len(m.byName), len(m.byPick)))
		}
		if len(m.entries) == 0 {
			errs = append(errs, fmt.Errorf("router: module %s is registered and has no instance", name))
		}
		for _, e := range m.entries {
			if n := e.pick.Outstanding(); n < 0 {
				errs = append(errs, fmt.Errorf("router: instance %s/%s has %d attempts outstanding", name, e.Instance, n))
			}
		}
	}
	if armed := r.wheel.len(); calls == 0 && armed != 0 {
		if again, _ := r.InFlight(); again == 0 {
			errs = append(errs, fmt.Errorf("router: no call is in flight, and %d timers are armed", armed))
		}
	}
	return errors.Join(errs...)
}
