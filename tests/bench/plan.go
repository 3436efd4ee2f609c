package main

import "fmt"

// point is one load.
type point struct {
	payload  int // bytes
	inFlight int // calls, over all connections
	conns    int
}

func (p point) String() string {
	size := fmt.Sprintf("%dB", p.payload)
	if p.payload >= 1<<10 {
		size = fmt.Sprintf("%dKiB", p.payload>>10)
	}
	return fmt.Sprintf("%s-%dx%d", size, p.inFlight, p.conns)
}

// quickPoint is what every change is measured at.
var quickPoint = point{128, 64, 1}

// points returns all loads, the quick one first.
func points() []point {
	all := []point{quickPoint}
	for _, payload := range []int{128, 1 << 10, 16 << 10} {
		for _, conns := range []int{1, 8} {
			for _, inFlight := range []int{1, 64, 512} {
				p := point{payload, inFlight, conns}
				if p != quickPoint && inFlight >= conns {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// contender is one way to carry calls.
type contender struct {
	name string
	hops int    // brokers on the way
	peer string // which client library the caller uses
	rig  string // whose processes it needs
}

// Names of contenders.
const (
	twohop1, twohop2 = "twohop-1", "twohop-2"
	pooled1, pooled2 = "pooled-1", "pooled-2"
	typed1, typed2   = "typed-1", "typed-2"
	nats1, nats2     = "nats-1", "nats-2"
	floor1, floor2   = "floor-1", "floor-2"
	direct           = "grpc"
)

var contenders = []contender{
	{twohop1, 1, "twohop", "twohop-1"},
	{nats1, 1, "nats", "nats-1"},
	{pooled1, 1, "pooled", "twohop-1"},
	{typed1, 1, "typed", "twohop-1"},
	{direct, 0, "grpc", "grpc"},
	{twohop2, 2, "twohop", "twohop-2"},
	{nats2, 2, "nats", "nats-2"},
	{pooled2, 2, "pooled", "twohop-2"},
	{typed2, 2, "typed", "twohop-2"},
	{floor1, 1, "floor", "floor-1"},
	{floor2, 2, "floor", "floor-2"},
}
