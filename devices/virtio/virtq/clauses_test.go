package virtq_test

import (
	"testing"

	"microvm/devices/virtio/virtiotest"
	"microvm/devices/virtio/virtq"
)

// TestPackedClauses is TestClauses for packed virtqueues.
func TestPackedClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{"2.8.12": 2, "2.8.15": 3, "2.8.17": 2, "2.8.18": 1, "2.8.19": 4}, []virtiotest.Clause{
		{Section: "2.8.12", Says: "descriptors are processed in the ring's order", Test: TestPackedRounds},
		{Section: "2.8.12", Says: "used descriptors are written in the order of completion", Test: TestPackedRounds},
		{Section: "2.8.15", Says: "a readable buffer is not written", Test: TestPackedIndirect},
		{Section: "2.8.15", Says: "no descriptor is used before it is available", Test: TestPackedRefuses},
		{Section: "2.8.15", Says: "no descriptor is changed after it is marked used", Test: TestPackedRounds},
		{Section: "2.8.17", Says: "a list is no longer than the queue", Test: TestPackedRefuses},
		{Section: "2.8.17", Says: "writable buffers come after readable ones", Test: TestPackedRefuses},
		{Section: "2.8.18", Says: "a list's descriptors are used in their order", Test: TestPackedIndirect},
		{Section: "2.8.19", Says: "no indirect descriptor without the feature", Test: TestPackedWithoutIndirect},
		{Section: "2.8.19", Says: "no indirect descriptor in an indirect table", Test: TestPackedIndirect},
		{Section: "2.8.19", Says: "an indirect table is no longer than the queue", Test: TestPackedRefuses},
		{Section: "2.8.19", Says: "no indirect descriptor in a list", Test: TestPackedRefuses},
	})
}

// TestClauses has what virtio-v1.2 demands of a device that works on split
// virtqueues, and of the driver where the device can tell. IN_ORDER is not
// offered, so its demands hold for nobody.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{
		"2.7.1": 1, "2.7.4.1": 1, "2.7.4.2": 1, "2.7.5.1": 2, "2.7.5.2": 1, "2.7.5.3.1": 4, "2.7.5.3.2": 2,
		"2.7.6.1": 1, "2.7.7.2": 4, "2.7.8.1": 2, "2.7.10.2": 3,
	}, []virtiotest.Clause{
		{Section: "2.7.1", Says: "the parts are aligned", Test: TestNewRefuses},
		{Section: "2.7.4.1", Says: "any arrangement of descriptors is good", Test: TestPop},
		{Section: "2.7.4.2", Says: "writable buffers come after readable ones", Test: TestPopRefuses},
		{Section: "2.7.5.1", Says: "a readable buffer is not written", Test: TestPop},
		{Section: "2.7.5.1", Says: "no descriptor is written", Test: TestDescriptorsStayAsTheyAre},
		{Section: "2.7.5.2", Says: "a chain has less than 2^32 bytes, and no loop", Test: TestPopSum},
		{Section: "2.7.5.3.1", Says: "no indirect descriptor without the feature", Test: TestPopWithoutIndirect},
		{Section: "2.7.5.3.1", Says: "no indirect descriptor in an indirect table", Test: TestPopRefuses},
		{Section: "2.7.5.3.1", Says: "a chain is no longer than the queue", Test: TestPopRefuses},
		{Section: "2.7.5.3.1", Says: "an indirect descriptor has no next one", Test: TestPopRefuses},
		{Section: "2.7.5.3.2", Says: "the write-only flag of an indirect descriptor is ignored", Test: TestPop},
		{Section: "2.7.5.3.2", Says: "an indirect descriptor may come after direct ones", Test: TestPop},
		{Section: "2.7.6.1", Says: "the available index never goes back", Test: TestPopRefuses},
		{Section: "2.7.7.2", Says: "without EVENT_IDX used_event is ignored", Test: TestInterruptSuppressed},
		{Section: "2.7.7.2", Says: "without EVENT_IDX an interrupt is sent if flags is 0", Test: TestInterruptSuppressed},
		{Section: "2.7.7.2", Says: "with EVENT_IDX flags is ignored", Test: TestInterruptByEventIdx},
		{Section: "2.7.7.2", Says: "with EVENT_IDX an interrupt is sent at used_event", Test: TestInterruptByEventIdx},
		{Section: "2.7.8.1", Says: "len is there before the index", Test: TestPushAndPublish},
		{Section: "2.7.8.1", Says: "len bytes are there before the index", Test: TestPushAndPublish},
		{Section: "2.7.10.2", Says: "without EVENT_IDX flags is 0 or 1", Test: TestNotify},
		{Section: "2.7.10.2", Says: "with EVENT_IDX flags is 0", Test: TestNotifyByEventIdx},
		{Section: "2.7.10.2", Says: "a notification without a chain does no harm", Test: TestNotify},
	})
}

func TestDescriptorsStayAsTheyAre(t *testing.T) {
	r := newRing(t, virtq.Config{Indirect: true})
	r.put(descAt, desc{indirectAt, 32, indirect, 0})
	r.put(indirectAt, desc{dataAt, 8, next, 1}, desc{dataAt + 8, 8, write, 0})
	table, inner := string(r.bytes(descAt, 16*size)), string(r.bytes(indirectAt, 32))
	said := string(r.bytes(dataAt, 8))
	r.avail(0)
	var c virtq.Chain
	if ok, err := r.Pop(&c); !ok || err != nil {
		t.Fatal(ok, err)
	}
	c.Writer.Write(make([]byte, 8))
	r.Push(&c, 8)
	r.Publish()
	if string(r.bytes(descAt, 16*size)) != table || string(r.bytes(indirectAt, 32)) != inner {
		t.Error("a descriptor was written")
	}
	if string(r.bytes(dataAt, 8)) != said {
		t.Error("a readable buffer was written")
	}
}
