package console_test

import (
	"testing"

	"microvm/devices/virtio/virtiotest"
)

// TestClauses has what virtio-v1.2 §5.3 demands of the device, and of the driver
// where the device can tell.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{"5.3.5.1": 1, "5.3.6.1": 2, "5.3.6.2.1": 3, "5.3.6.2.2": 2}, []virtiotest.Clause{
		{Section: "5.3.5.1", Says: "emerg_wr can be written on an unconfigured device", Test: TestEmergencyWrite},
		{Section: "5.3.6.1", Says: "the driver puts nothing readable into a receiveq", Test: TestBrokenRules},
		{Section: "5.3.6.1", Says: "the driver puts nothing writable into a transmitq", Test: TestBrokenRules},
		{Section: "5.3.6.2.1", Says: "no port that exists is added", Test: TestPortsAddedOnce},
		{Section: "5.3.6.2.1", Says: "no port from max_nr_ports on is added", Test: TestPortsAddedOnce},
		{Section: "5.3.6.2.1", Says: "no port is removed that was not added",
			Why: "ports are the configuration's, and none is ever removed"},
		{Section: "5.3.6.2.2", Says: "the driver sends DEVICE_READY; without it there are no ports", Test: TestPortsAddedOnce},
		{Section: "5.3.6.2.2", Says: "the driver answers CONSOLE_PORT by PORT_OPEN; without it the console is closed", Test: TestConsoleOpens},
	})
}
