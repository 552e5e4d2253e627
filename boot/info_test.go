package boot

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// withConfig is linuxELF with a configuration in it, over the end of a chunk of
// the search.
func withConfig(t *testing.T, config string, before int) tinyELF {
	t.Helper()
	e := linuxELF()
	data := bytes.Repeat([]byte{1}, before)
	data = append(data, configStart...)
	data = append(data, gzipped(t, []byte(config))...)
	data = append(data, configEnd...)
	e.segments[1].data, e.segments[1].memSize = data, 0
	return e
}

func TestInfo(t *testing.T) {
	const config = "CONFIG_X86_64=y\n"
	elf := withConfig(t, config, 100).image(t)
	z := linuxBz(gzipped(t, elf))
	info, err := open(t, z.image(t)).Info()
	if err != nil {
		t.Fatal(err)
	}
	b := info.BzImage
	if info.Format != "bzImage" || info.Arch != "x86-64" || info.Version != z.version || info.Config != config || info.CmdlineLimit != 2047 {
		t.Errorf("%+v", info)
	}
	if !slices.Equal(info.Entries, []Entry{EntryELF, EntryPVH, EntryLinux64, EntryLinux32}) || info.Auto != EntryELF {
		t.Errorf("entries %v, auto %s", info.Entries, info.Auto)
	}
	if b.Protocol != "2.15" || b.Compression != "gzip" || b.Checksum != "good" || b.UncompressedSize != uint64(len(elf)) ||
		!b.Relocatable || !slices.Equal(b.LoadFlags, []string{"LOADED_HIGH"}) || !slices.Equal(b.XLoadFlags, []string{"XLF_KERNEL_64"}) ||
		b.PayloadOffset != (bzSetupSects+1)*sectorSize+bzPayloadOffset || b.PayloadSize != uint64(len(z.payload)) {
		t.Errorf("%+v", b)
	}
	if info.ELF == nil || info.ELF.Bits != 64 || info.ELF.PVHEntry != 4*mib+0x20 || !info.ELF.Linux || len(info.ELF.Segments) != 2 ||
		info.ELF.Segments[0].Flags != "RX" {
		t.Errorf("%+v", info.ELF)
	}
	text, err := json.Marshal(info)
	if err != nil || !strings.Contains(string(text), `"xload_flags":["XLF_KERNEL_64"]`) || !strings.Contains(string(text), `"auto":"elf"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// What cannot be decompressed can still be described.
func TestInfoOfAnUnknownPayload(t *testing.T) {
	z := linuxBz([]byte("\xee\xee is what it begins with"))
	z.header.XLoadFlags = 0
	info, err := open(t, z.image(t)).Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.ELF != nil || !strings.Contains(info.ELFProblem, "no known compression") || info.Arch != "i386" ||
		!slices.Equal(info.Entries, []Entry{EntryLinux32}) || info.MemoryNeeded != 6*mib {
		t.Errorf("%+v", info)
	}
	if text, err := json.Marshal(info); err != nil || !strings.Contains(string(text), `"xload_flags":[]`) {
		t.Errorf("%s, %v", text, err)
	}
	z.header.PayloadLength = 0
	info, err = open(t, z.image(t)).Info()
	if err != nil || info.ELFProblem == "" || info.Auto != EntryLinux32 || info.Refusal != "" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestInfoOfAnELF(t *testing.T) {
	info, err := open(t, linuxELF32().image(t)).Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Format != "ELF" || info.Arch != "i386" || info.Version != "6.1.0-tiny" || info.Config != "" || info.BzImage != nil ||
		!slices.Equal(info.Entries, []Entry{EntryELF}) || info.MemoryNeeded != 4*mib+12*pageSize {
		t.Errorf("%+v", info)
	}
}

func TestChecksumInfo(t *testing.T) {
	for _, tt := range []struct {
		noSum         bool
		version, want string
	}{{false, "6.1", "good"}, {true, "6.1", "wrong"}, {true, "7.0", "none or wrong"}} {
		z := linuxBz(gzipped(t, linuxELF().image(t)))
		z.noSum, z.version = tt.noSum, tt.version
		info, err := open(t, z.image(t)).Info()
		if err != nil || info.BzImage.Checksum != tt.want || (info.Refusal != "") != (tt.want == "wrong") {
			t.Errorf("%+v: %+v, refusal %q, %v", tt, info.BzImage, info.Refusal, err)
		}
	}
}

func TestFindConfig(t *testing.T) {
	for _, before := range []int{0, searchChunk - 4, searchChunk, searchChunk + 1} {
		info, err := open(t, withConfig(t, "CONFIG_A=y\n", before).image(t)).Info()
		if err != nil || info.Config != "CONFIG_A=y\n" {
			t.Errorf("behind %d bytes: %q, %v", before, info.Config, err)
		}
	}
	cut := withConfig(t, "CONFIG_A=y\n", 0)
	cut.segments[1].data = cut.segments[1].data[:len(cut.segments[1].data)-len(configEnd)]
	long := withConfig(t, strings.Repeat("x", maxConfig+1), 0)
	for name, e := range map[string]tinyELF{"no end": cut, "too long": long} {
		if _, err := open(t, e.image(t)).Info(); err == nil || !strings.Contains(err.Error(), "configuration") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
