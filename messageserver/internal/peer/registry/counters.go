package registry

// Counters say what an exchange has done.
type Counters struct {
	HeartbeatsSent, HeartbeatsTaken uint64
	SnapshotsSent, SnapshotsTaken   uint64 // whole ones
	DeltasSent, DeltasTaken         uint64 // whole ones
	PartsSent, PartsTaken           uint64
	ResyncsSent, ResyncsTaken       uint64
	Gaps                            uint64 // something of theirs is missing
	Mismatches                      uint64 // count or digest differ at one version: a defect, or a broken memory
	Stale                           uint64 // frames of theirs that brought nothing new
	Mixed                           uint64 // parts of theirs that did not belong together
	Doubts                          uint64 // stale routes that made this node ask
	Ahead                           uint64 // they hold what this node never said: somebody else spoke in its name
}

// Add adds what another exchange has done.
func (c *Counters) Add(d *Counters) {
	c.HeartbeatsSent += d.HeartbeatsSent
	c.HeartbeatsTaken += d.HeartbeatsTaken
	c.SnapshotsSent += d.SnapshotsSent
	c.SnapshotsTaken += d.SnapshotsTaken
	c.DeltasSent += d.DeltasSent
	c.DeltasTaken += d.DeltasTaken
	c.PartsSent += d.PartsSent
	c.PartsTaken += d.PartsTaken
	c.ResyncsSent += d.ResyncsSent
	c.ResyncsTaken += d.ResyncsTaken
	c.Gaps += d.Gaps
	c.Mismatches += d.Mismatches
	c.Stale += d.Stale
	c.Mixed += d.Mixed
	c.Doubts += d.Doubts
	c.Ahead += d.Ahead
}
