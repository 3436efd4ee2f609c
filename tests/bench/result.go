package main

import (
	"slices"
	"strings"
)

// result is what one contender reached at one load: medians of its rounds.
type result struct {
	contender contender
	point     point
	figures
	cpu    map[string]float64 // seconds per 100,000 calls, by process
	loaded int                // most memory of the first broker after a window, in bytes
	failed error              // why there are no figures: calls failed

	rounds []round
}

// reason returns the first line of why a contender failed, or "".
func (r *result) reason() string {
	if r.failed == nil {
		return ""
	}
	first, _, _ := strings.Cut(r.failed.Error(), "\n")
	return first
}

// round is one measurement.
type round struct {
	figures
	cpu map[string]float64
}

func (r *result) settle() {
	over := func(figure func(round) float64) float64 {
		var all []float64
		for _, round := range r.rounds {
			all = append(all, figure(round))
		}
		return median(all)
	}
	r.figures = figures{
		over(func(r round) float64 { return r.CallsPerSecond }),
		over(func(r round) float64 { return r.P50 }),
		over(func(r round) float64 { return r.P99 }),
		over(func(r round) float64 { return r.P999 }),
	}
	r.cpu = map[string]float64{}
	for name := range r.rounds[0].cpu {
		r.cpu[name] = over(func(r round) float64 { return r.cpu[name] })
	}
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// Figures that goals are about.
func callsPerSecond(r *result) float64 { return r.CallsPerSecond }
func p99(r *result) float64            { return r.P99 }
func nodeCPU(r *result) float64        { return r.cpu["node_a"] + r.cpu["node_b"] }

// results finds them.
type results []*result

func (all results) of(p point, contender string) *result {
	for _, r := range all {
		if r.point == p && r.contender.name == contender && r.failed == nil {
			return r
		}
	}
	return nil
}

// ratio returns what one contender reached, in what another did. ok is false if one of them was not measured.
func (all results) ratio(p point, figure func(*result) float64, contender, beside string) (ratio float64, ok bool) {
	a, b := all.of(p, contender), all.of(p, beside)
	if a == nil || b == nil || figure(b) == 0 {
		return 0, false
	}
	return figure(a) / figure(b), true
}
