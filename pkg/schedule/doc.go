// Package schedule says when a reboot may happen: in maintenance windows, and never during a freeze.
//
// A [Window] opens on the days that it names and belongs to the day on which it starts; a window that crosses midnight
// is still the evening's. Any open window suffices, a [Freeze] always closes, and without windows it is always open.
//
// Times are what a clock on the wall shows. When the clocks change:
//
//   - a time that is skipped is taken as the moment of the change;
//   - a window that would lie wholly in the skipped hour begins at the change and is as long as on any other day;
//   - of a time that comes twice the first counts, for the start and for the end of a window, but for the end of a freeze the second.
//
// The length of a recurrence rule is a duration: 5 hours are 5 hours on the clock's longest night as well.
//
// The package is pure: time comes in as an argument, and nothing outside is looked at.
package schedule
