package main

import (
	"context"
	"math"
	"slices"
	"time"
)

// restart kills the API server and starts it again while all wait.
func (f *fleetWork) restart(ctx context.Context) error {
	for _, m := range f.all {
		m.slow(10 * time.Minute)
	}
	f.say("the API server is killed, and started again")
	f.StopAPIServer()
	time.Sleep(5 * time.Second)
	from := time.Now()
	if err := f.StartAPIServer(ctx); err != nil {
		return err
	}
	time.Sleep(time.Minute + 2*time.Second)
	all, err := f.audit.read()
	after := between(all, from, from.Add(time.Minute))
	ours := slices.DeleteFunc(slices.Clone(after), func(r request) bool { return r.node == "" })
	seconds, agents := map[int]int{}, float64(len(f.all))
	for _, r := range ours {
		second := int(r.came.Sub(from) / time.Second)
		seconds[second]++
		f.scale.RestartPeak = max(f.scale.RestartPeak, seconds[second])
	}
	f.scale.RestartKinds = map[string]float64{}
	for k, n := range kinds(ours) {
		f.scale.RestartKinds[k] = math.Round(100*float64(n)/agents) / 100
	}
	f.scale.Restart, f.scale.RestartRefused = round(float64(len(ours))/agents), refused(after)
	f.say("in the minute after that: %.1f requests from each agent, %d in the busiest second, %d refused: %v", f.scale.Restart, f.scale.RestartPeak, f.scale.RestartRefused, kinds(after))
	return err
}
