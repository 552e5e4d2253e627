package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"microvm/boot"
	"microvm/devices/guestport"
	"microvm/vmm"
)

// A fakeMachine is a machine whose guest does what its kind says.
type fakeMachine struct {
	kind   string
	config vmm.Config
	sizes  chan [2]uint16 // of the terminal, columns and rows
}

// lives counts the fake machines of this process.
var lives int

func newFakeMachine(kind string, c vmm.Config) (machine, error) {
	if kind == "no machine" {
		return nil, errors.New("no machine today")
	}
	if kind == "slow" { // to build: it takes for ever
		if _, err := c.Console.Out.Write(context.Background(), []byte(announcement)); err != nil {
			return nil, err
		}
		select {}
	}
	if c.Trace != nil && c.Trace.Event != nil {
		c.Trace.Event(vmm.Event{Name: vmm.EventLoaded})
	}
	lives++
	return &fakeMachine{kind, c, make(chan [2]uint16, 16)}, nil
}

// announcement is what every fake guest writes first.
const announcement = "fake guest\n"

func (m *fakeMachine) Run(ctx context.Context) (vmm.Outcome, error) {
	if m.kind == "config" {
		m.config.Trace = nil
		m.config.Console.In, m.config.Console.Out, m.config.Console = nil, nil, vmm.Console{Kind: m.config.Console.Kind, Out: m.config.Console.Out,
			Terminal: m.config.Console.Terminal, Columns: m.config.Console.Columns, Rows: m.config.Console.Rows}
	}
	if m.config.Console.Kind != vmm.ConsoleOff {
		if _, err := m.config.Console.Out.Write(ctx, []byte(announcement)); err != nil {
			return vmm.Outcome{End: vmm.EndFailure}, err
		}
	}
	return m.life(ctx)
}

func (m *fakeMachine) life(ctx context.Context) (vmm.Outcome, error) {
	kind, argument, _ := strings.Cut(m.kind, " ")
	switch kind {
	case "status":
		n, err := strconv.ParseUint(argument, 10, 8)
		return vmm.Outcome{End: vmm.EndPoweredOff, Status: uint8(n)}, err
	case "end":
		return vmm.Outcome{End: vmm.End(argument)}, nil
	case "dies":
		return vmm.Outcome{End: vmm.EndTripleFault, Detail: "a fault", Diagnosis: &vmm.Diagnosis{CPU: 1, Cause: "a test", Report: []string{"rip 1"}}}, nil
	case "fails":
		return vmm.Outcome{End: vmm.EndFailure, Detail: "no more"}, errors.New("no more")
	case "reboots": // so often, then powers off
		if n, err := strconv.Atoi(argument); err != nil || lives <= n {
			return vmm.Outcome{End: vmm.EndRebooted}, err
		}
	case "echo":
		return m.echo(ctx)
	case "resizes":
		return m.sayResizes(ctx)
	case "hangs":
		<-ctx.Done()
		return stopped(ctx), nil
	case "stuck":
		select {}
	case "floods":
		for {
			if _, err := m.config.Console.Out.Write(ctx, []byte(strings.Repeat("flood\n", 1000))); err != nil {
				return vmm.Outcome{End: vmm.EndFailure}, fmt.Errorf("console: %w", err)
			}
		}
	case "panics":
		go panic("a test of a panic")
		select {}
	case "config":
		c := m.config
		text, err := json.Marshal(map[string]any{
			"kernel": c.Kernel, "initrd": c.Initrd, "cmdline": c.Cmdline, "entry": c.Entry, "memory": c.Memory, "cpus": c.CPUs,
			"cache": c.CacheDir, "terminal": c.Console.Terminal, "columns": c.Console.Columns, "rows": c.Console.Rows, "timed": c.TimeExits, "console": c.Console.Kind,
		})
		if err == nil {
			_, err = c.Console.Out.Write(ctx, text)
		}
		return vmm.Outcome{End: vmm.EndPoweredOff}, err
	}
	return vmm.Outcome{End: vmm.EndPoweredOff}, nil
}

func stopped(ctx context.Context) vmm.Outcome {
	return vmm.Outcome{End: vmm.EndStopped, Detail: context.Cause(ctx).Error()}
}

// echo writes what it reads until the end of input.
func (m *fakeMachine) echo(ctx context.Context) (vmm.Outcome, error) {
	buf := make([]byte, 64)
	for {
		n, err := m.config.Console.In.Read(ctx, buf)
		switch {
		case ctx.Err() != nil:
			return stopped(ctx), nil
		case err == io.EOF:
			return vmm.Outcome{End: vmm.EndPoweredOff}, nil
		case err != nil:
			return vmm.Outcome{End: vmm.EndFailure}, err
		}
		if _, err := m.config.Console.Out.Write(ctx, buf[:n]); err != nil {
			return vmm.Outcome{End: vmm.EndFailure}, err
		}
	}
}

func (m *fakeMachine) Stats() vmm.Stats {
	cacheError := ""
	if m.kind == "no cache" {
		cacheError = "the disk is full\nindeed"
	}
	return vmm.Stats{
		Exits:    []vmm.ExitCount{{Reason: "KVM_EXIT_IO", Count: 3, Handled: 3 * time.Microsecond}},
		Accesses: []vmm.Access{{Device: "com1", Space: vmm.SpacePort, Addr: 0x3f8, Write: true, Count: 3, Bytes: 3}},
		Timeline: []vmm.Event{
			{Name: vmm.EventFirstRun, At: time.Millisecond},
			{Name: vmm.EventMark, Stage: guestport.StageInit, At: time.Second, Exits: 2},
			{Name: vmm.EventMark, Stage: 7, At: time.Second, Exits: 3},
		},
		GuestRAM: m.config.Memory, CPUs: m.config.CPUs,
		Boot: vmm.BootStats{Entry: boot.EntryELF, CacheError: cacheError, Phases: []boot.Phase{{Name: "read", Took: time.Millisecond}}},
	}
}

func (m *fakeMachine) Resize(columns, rows uint16) { m.sizes <- [2]uint16{columns, rows} }

// sayResizes writes each size that the terminal has.
func (m *fakeMachine) sayResizes(ctx context.Context) (vmm.Outcome, error) {
	for {
		select {
		case size := <-m.sizes:
			if _, err := m.config.Console.Out.Write(ctx, fmt.Appendf(nil, "size %d %d\n", size[0], size[1])); err != nil {
				return vmm.Outcome{End: vmm.EndFailure}, err
			}
		case <-ctx.Done():
			return stopped(ctx), nil
		}
	}
}

func (m *fakeMachine) Close() error { return nil }
