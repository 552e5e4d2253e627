// Package compare measures what a payload costs in a virtual machine, in a
// container and in a plain process, on one host, by one set of boundaries.
//
//	arm/         the ways to run a payload, a file each
//	experiment/  what is measured, a file each: runs arms, records samples
//	session/     a run: its directory, its inputs, and how it goes on
//	report/      samples -> tables, plots, a verdict for each claim
//
// An experiment asks arms for commands, starts them, and records a [Sample] for
// each value, in a file that only grows: what is done stays done, and a report
// is made of that file and nothing else.
//
// The payload is a program of ours, the same file in each arm (see
// guestinit/payload). It says when it begins and ends: in a container by the
// host's monotonic clock, which it shares, in a guest by a write to an I/O port,
// which the monitor's user sees at once. So no boundary depends on how fast a
// console or a pipe is.
package compare
