// Package page is what the benchmark measured, and the page of the documentation that shows it.
package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Results is all that one run, or several, measured.
type Results struct {
	// Taken is when, Machine on what, Versions of what.
	Taken    string            `json:"taken"`
	Machine  string            `json:"machine"`
	Load     string            `json:"load"`
	Versions map[string]string `json:"versions"`
	Rows     []Row             `json:"rows"`
	Scales   []Scale           `json:"scales"`
	// Settings is a table of its own.
	Settings []Setting `json:"settings,omitempty"`
}

// NoTarget is the target of a row that only tells.
const NoTarget = "none is set"

// Row is one promise, and what was measured.
type Row struct {
	ID       string `json:"id"`
	What     string `json:"what"`
	Target   string `json:"target"`
	Measured string `json:"measured"`
	Met      bool   `json:"met"`
	// Count is whether it counts something; a time depends on the machine and its load.
	Count bool   `json:"count"`
	Note  string `json:"note,omitempty"`
	Made
}

// Made is when something was measured, and with which commit.
type Made struct {
	Taken  string `json:"taken"`
	Commit string `json:"commit"`
}

// Scale is one number of waiting nodes, and what a reboot cost with it.
type Scale struct {
	Made
	Waiting int `json:"waiting"`
	Reboots int `json:"reboots"`
	// PerReboot are the requests of the node that reboots, from the moment that its slot is free; PerWaiter those of a waiting node
	// for each handover.
	PerReboot float64 `json:"perReboot"`
	PerWaiter float64 `json:"perWaiter"`
	// Whole are those of the node that reboots from its sentinel on, with all that it sent while it waited and all that was refused.
	Whole float64 `json:"whole,omitempty"`
	// Kinds are the requests of the node that reboots, by verb and resource.
	Kinds map[string]float64 `json:"kinds"`
	// Handovers is how many were measured, Unnamed how many of them to nobody by name; HandoverMedian and HandoverP99 are in milliseconds.
	Handovers      int     `json:"handovers"`
	Unnamed        int     `json:"unnamed"`
	HandoverMedian float64 `json:"handoverMedian"`
	HandoverP99    float64 `json:"handoverP99"`
	// IdleRequests are those of all agents beyond the watches of their Nodes in IdleSeconds; WaitRequests those of all that wait
	// while nothing changes, in WaitSeconds, and WaitRenewals the watches that they renewed meanwhile.
	IdleRequests int     `json:"idleRequests"`
	IdleSeconds  float64 `json:"idleSeconds"`
	WaitRequests int     `json:"waitRequests"`
	WaitRenewals int     `json:"waitRenewals"`
	WaitSeconds  float64 `json:"waitSeconds"`
	// FirstCordon is how long after the window opened, in seconds; Writes how many writes each waiting node made from then on,
	// WritesInAll since it was asked for a reboot; Refused how many requests the API server answered with 429 or 5xx from then on, BurstRefused
	// how many before, when the sentinels of all nodes came in the same moment.
	FirstCordon  float64 `json:"firstCordon"`
	Writes       float64 `json:"writes"`
	WritesInAll  float64 `json:"writesInAll"`
	Refused      int     `json:"refused"`
	BurstRefused int     `json:"burstRefused"`
	// Restart is how many requests came in the minute after the API server was started again, for each agent.
	Restart        float64 `json:"restart"`
	RestartRefused int     `json:"restartRefused"`
	// RestartPeak is how many came in the busiest of these seconds, of all agents; RestartKinds what they were, for each agent.
	RestartPeak  int                `json:"restartPeak,omitempty"`
	RestartKinds map[string]float64 `json:"restartKinds,omitempty"`
}

// Setting is one way to set the Go runtime's memory, and what an idle agent needs with it.
type Setting struct {
	Env string `json:"env"`
	// RSS and Anon, in KiB, are of an agent whose metrics nobody reads; ScrapedRSS and ScrapedAnon of the same one after some scrapes. CPU, from its
	// start to its end, is in milliseconds.
	RSS         int   `json:"rss"`
	Anon        int   `json:"anon"`
	ScrapedRSS  int   `json:"scrapedRSS"`
	ScrapedAnon int   `json:"scrapedAnon"`
	CPU         int64 `json:"cpu"`
	Made
}

// Made is when this run measures, and with which commit.
func (r *Results) Made() Made { return Made{Taken: r.Taken, Commit: r.Versions["rebootd"]} }

// Read reads what was measured.
func Read(file string) (*Results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r.Judge()
	return r, nil
}

// WriteOver writes it into a file, whose other rows and fleets stay.
func (r *Results) WriteOver(file string) error {
	all, err := Read(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		all = &Results{}
	case err != nil:
		return err
	}
	all.Taken, all.Machine, all.Load, all.Versions = r.Taken, r.Machine, r.Load, r.Versions
	for _, row := range r.Rows {
		all.Put(row)
	}
	for _, s := range r.Scales {
		all.PutScale(s)
	}
	if len(r.Settings) > 0 {
		all.Settings = r.Settings
	}
	all.Judge()
	return all.Write(file)
}

// Write writes it.
func (r *Results) Write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
