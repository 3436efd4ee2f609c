package alarm

import "time"

// View is what is to be seen of Alarms, besides the alarms.
type View struct {
	Lasting   int        `json:"lasting"`
	Ended     int        `json:"ended"`
	Overflow  uint64     `json:"overflow"` // conditions that had no room, counted at each look
	Receivers []Receiver `json:"receivers"`
}

// ReceiverState says how a receiver answers.
type ReceiverState string

// The states.
const (
	Unused ReceiverState = "unused" // there was nothing to send
	Up     ReceiverState = "up"     // it took what was sent last
	Down   ReceiverState = "down"   // it did not
)

// Receiver is one that alarms are sent to.
type Receiver struct {
	Kind        ReceiverKind  `json:"kind"`
	Address     string        `json:"address"` // scheme, host and port only: the rest may be secret
	State       ReceiverState `json:"state"`
	Since       time.Time     `json:"since"`
	LastError   string        `json:"last_error,omitempty"`
	LastErrorAt time.Time     `json:"last_error_at,omitzero"`
	Waiting     int           `json:"waiting"` // messages
	Sent        uint64        `json:"sent"`    // messages that it took
	Failed      uint64        `json:"failed"`  // requests that it did not take
	Dropped     uint64        `json:"dropped"` // messages that had no place to wait, or that it calls malformed
	Left        uint64        `json:"left"`    // ends that another node will say
}

// View returns counts, and the state of each receiver.
func (a *Alarms) View() View {
	v := View{Receivers: make([]Receiver, 0, len(a.receivers))}
	a.mu.Lock()
	v.Lasting, v.Ended, v.Overflow = len(a.lasting), len(a.ended), a.overflow
	a.mu.Unlock()
	for _, r := range a.receivers {
		r.mu.Lock()
		one := r.view
		one.Waiting = len(r.waiting)
		r.mu.Unlock()
		v.Receivers = append(v.Receivers, one)
	}
	return v
}
