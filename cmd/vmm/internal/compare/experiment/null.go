package experiment

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/devices/guestport"
)

// NullArm is the name of the arm that measures the instrument: a process of 34
// bytes of code that writes the mark of the payload's start and ends. What its
// times have, every arm's have: fork, exec, and how late the instrument sees a
// mark and an end.
const NullArm = "null"

// nullCode is x86-64 code: write(3, &stage, 1), exit(0).
var nullCode = []byte{
	0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
	0xbf, 3, 0, 0, 0, // mov edi, 3
	0x48, 0x8d, 0x35, 16, 0, 0, 0, // lea rsi, [rip+16]
	0xba, 1, 0, 0, 0, // mov edx, 1
	0x0f, 0x05, // syscall
	0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
	0x31, 0xff, // xor edi, edi
	0x0f, 0x05, // syscall
	guestport.StageProgram,
}

// A null is the arm, prepared: the path of its program. Of what an arm has to tell
// before, it needs no more than its name and boundaries.
type null string

// newNull writes the arm's program to a file in dir.
func newNull(dir string) (PreparedArm, error) {
	const base = 0x400000
	var program bytes.Buffer
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(elf.EM_X86_64),
		Version: uint32(elf.EV_CURRENT),
	}
	segment := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Align: uint64(os.Getpagesize())}
	header.Ehsize, header.Phentsize, header.Phnum = uint16(binary.Size(header)), uint16(binary.Size(segment)), 1
	header.Phoff = uint64(header.Ehsize)
	code := header.Phoff + uint64(header.Phentsize)
	header.Entry = base + code
	segment.Filesz = code + uint64(len(nullCode))
	segment.Memsz = segment.Filesz
	for _, part := range []any{header, segment, nullCode} {
		if err := binary.Write(&program, binary.LittleEndian, part); err != nil {
			return PreparedArm{}, err
		}
	}
	n := null(filepath.Join(dir, NullArm))
	return PreparedArm{n, n}, os.WriteFile(string(n), program.Bytes(), 0o755)
}

func (null) Name() string    { return NullArm }
func (null) Kind() arm.Kind  { return arm.Process }
func (null) Summary() string { return "the instrument alone" }
func (null) Install() string { return "" }
func (null) Passes() []compare.Boundary {
	return []compare.Boundary{compare.Spawn, compare.Payload, compare.Exit}
}
func (null) Probe(context.Context, *arm.Env) (string, error) { return "", nil }
func (n null) Prepare(context.Context, *arm.Env, string, string) (arm.Prepared, error) {
	return n, nil
}

func (n null) Command(id string, _ []string) (*arm.Command, error) {
	return &arm.Command{ID: id, Argv: []string{string(n)}, Marks: arm.ByteMarks}, nil
}
func (n null) Files() []string           { return []string{string(n)} }
func (null) Close(context.Context) error { return nil }
