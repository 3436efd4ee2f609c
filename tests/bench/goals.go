package main

// goal is a bound of a ratio of two contenders at one load.
type goal struct {
	point     point
	figure    func(r *result) float64
	name      string
	contender string
	beside    string
	least     bool // the ratio is to be at least must
	must, aim float64
}

// goals are the project's own: what a call through the mesh has to reach beside what people could pick instead.
func goals() []goal {
	var all []goal
	for _, row := range []struct {
		point                                          point
		rate1, rateAim1, tail1, rate2, rateAim2, tail2 float64
	}{
		{point{128, 64, 1}, 2.3, 3.0, 0.55, 2.6, 3.5, 0.5},
		{point{128, 64, 8}, 2.0, 2.6, 0.6, 2.3, 3.0, 0.55},
		{point{128, 512, 8}, 2.2, 3.0, 0.55, 2.7, 3.5, 0.5},
		{point{1 << 10, 64, 8}, 2.0, 2.6, 0.6, 2.2, 3.0, 0.6},
		{point{16 << 10, 64, 8}, 1.5, 2.0, 0.85, 1.6, 2.2, 0.8},
		{point{128, 1, 1}, 1.25, 1.4, 0.9, 1.3, 1.5, 0.85},
	} {
		all = append(all,
			goal{row.point, callsPerSecond, "calls/s", twohop1, nats1, true, row.rate1, row.rateAim1},
			goal{row.point, p99, "p99", twohop1, nats1, false, row.tail1, row.tail1},
			goal{row.point, callsPerSecond, "calls/s", twohop2, nats2, true, row.rate2, row.rateAim2},
			goal{row.point, p99, "p99", twohop2, nats2, false, row.tail2, row.tail2},
		)
	}
	return append(all,
		goal{quickPoint, callsPerSecond, "calls/s", typed1, direct, true, 6, 6},
		goal{quickPoint, callsPerSecond, "calls/s", typed2, direct, true, 4, 4},
		goal{quickPoint, nodeCPU, "node CPU per call", twohop1, nats1, false, 0.4, 0.4},
		goal{quickPoint, nodeCPU, "node CPU per call", twohop2, nats2, false, 0.4, 0.4},
	)
}

// Bounds of memory, of one node.
const (
	mostAtRest  = 20 << 20 // bytes
	mostPerIdle = 12 << 10 // bytes per idle connection
)
