package boot

import (
	"encoding/binary"
	"fmt"
)

// Offsets in a bzImage, the same in the zero page (x86-boot "The Real-Mode
// Kernel Header", "struct boot_params").
const (
	setupHeaderOffset = 0x1f1 // the setup header's first byte
	jumpOffset        = 0x201 // operand of the short jump over the header: it ends at 0x202 + this byte
	jumpEnd           = 0x202
	setupHeaderLimit  = 0x290 // no header passes this: the zero page has other fields there
)

// Magic numbers of the setup header.
const (
	bootFlagMagic = 0xaa55
	headerMagic   = 0x53726448 // "HdrS"
)

// A setupHeader is the setup header as it lies in memory (x86-boot "Details of
// Header Fields"); the comment is the offset from the image's start.
type setupHeader struct {
	SetupSects          uint8  // 0x1f1: 512-byte sectors of real-mode code, less the first
	RootFlags           uint16 // 0x1f2
	SysSize             uint32 // 0x1f4: protected-mode code in 16 bytes
	RAMSize             uint16 // 0x1f8
	VidMode             uint16 // 0x1fa
	RootDev             uint16 // 0x1fc
	BootFlag            uint16 // 0x1fe: 0xaa55
	Jump                uint16 // 0x200
	Header              uint32 // 0x202: "HdrS"
	Version             uint16 // 0x206: boot protocol, major in the high byte
	RealModeSwitch      uint32 // 0x208
	StartSysSeg         uint16 // 0x20c
	KernelVersion       uint16 // 0x20e: offset of the version string, less 0x200
	TypeOfLoader        uint8  // 0x210: who loads; 0xff has no number of its own
	LoadFlags           uint8  // 0x211
	SetupMoveSize       uint16 // 0x212
	Code32Start         uint32 // 0x214: where the protected-mode code is loaded
	RamdiskImage        uint32 // 0x218: initrd's address
	RamdiskSize         uint32 // 0x21c
	BootsectKludge      uint32 // 0x220
	HeapEndPtr          uint16 // 0x224
	ExtLoaderVer        uint8  // 0x226
	ExtLoaderType       uint8  // 0x227
	CmdLinePtr          uint32 // 0x228
	InitrdAddrMax       uint32 // 0x22c: highest address of an initrd's byte
	KernelAlignment     uint32 // 0x230
	RelocatableKernel   uint8  // 0x234
	MinAlignment        uint8  // 0x235
	XLoadFlags          uint16 // 0x236
	CmdlineSize         uint32 // 0x238: longest command line without its NUL
	HardwareSubarch     uint32 // 0x23c: 0 is a PC
	HardwareSubarchData uint64 // 0x240
	PayloadOffset       uint32 // 0x248: from the start of the protected-mode code
	PayloadLength       uint32 // 0x24c
	SetupData           uint64 // 0x250
	PrefAddress         uint64 // 0x258: where the kernel prefers to run
	InitSize            uint32 // 0x260: memory that it needs from there on until it reads the memory map
	HandoverOffset      uint32 // 0x264
	KernelInfoOffset    uint32 // 0x268
}

// setupHeaderSize is the size in bytes of all fields that we know.
const setupHeaderSize = 0x26c - setupHeaderOffset

// LoadFlags (x86-boot loadflags).
const (
	loadedHigh   = 1 << 0 // the protected-mode code is for 1 MiB and above
	kaslrFlag    = 1 << 1 // between the kernel's own parts
	quietFlag    = 1 << 5
	keepSegments = 1 << 6 // obsolete
	canUseHeap   = 1 << 7
)

// XLoadFlags (x86-boot xloadflags).
const (
	xlfKernel64          = 1 << 0 // there is a 64-bit entry at 0x200
	xlfCanBeAbove4G      = 1 << 1
	xlfEFIHandover32     = 1 << 2
	xlfEFIHandover64     = 1 << 3
	xlfEFIKexec          = 1 << 4
	xlf5Level            = 1 << 5 // can use 5-level paging
	xlf5LevelEnabled     = 1 << 6
	linux64EntryOffset   = 0x200 // of startup_64 in the protected-mode code
	loaderUndefined      = 0xff  // type_of_loader without an assigned number
	minProtocol          = 0x20c // 2.12: the first with xloadflags
	ourProtocol          = 0x20f // 2.15: what the fields above are of
	sectorSize           = 512
	sectsIfZero          = 4 // "if this field contains 0, the real value is 4"
	paragraph            = 16
	defaultInitrdAddrMax = 0x7fffffff // what every 64-bit kernel's header says
	defaultCmdlineSize   = 2047       // Linux' COMMAND_LINE_SIZE on x86, less the NUL
)

// decodeSetupHeader reads the setup header of an image that begins with b. What
// the image's header is too old to have is zero.
//
// Preconditions: b has setupHeaderLimit bytes.
func decodeSetupHeader(b []byte) setupHeader {
	var known [setupHeaderSize]byte
	end := min(jumpEnd+int(b[jumpOffset]), setupHeaderOffset+setupHeaderSize)
	copy(known[:], b[setupHeaderOffset:end])
	var h setupHeader
	// It cannot fail: the sizes are the same.
	_, _ = binary.Decode(known[:], binary.LittleEndian, &h)
	return h
}

// protocol shows a boot protocol version, such as 2.15.
func protocol(version uint16) string {
	return fmt.Sprintf("%d.%02d", version>>8, version&0xff)
}

// flagNames names the bits of v that are set, by number where there is no name.
func flagNames(v uint, names map[uint]string) []string {
	set := []string{} // an empty list in JSON, not null
	for i := range 16 {
		bit := uint(1) << i
		if v&bit == 0 {
			continue
		}
		name, ok := names[bit]
		if !ok {
			name = fmt.Sprintf("bit %d", i)
		}
		set = append(set, name)
	}
	return set
}

var loadFlagNames = map[uint]string{
	loadedHigh: "LOADED_HIGH", kaslrFlag: "KASLR_FLAG", quietFlag: "QUIET_FLAG",
	keepSegments: "KEEP_SEGMENTS", canUseHeap: "CAN_USE_HEAP",
}

var xLoadFlagNames = map[uint]string{
	xlfKernel64: "XLF_KERNEL_64", xlfCanBeAbove4G: "XLF_CAN_BE_LOADED_ABOVE_4G",
	xlfEFIHandover32: "XLF_EFI_HANDOVER_32", xlfEFIHandover64: "XLF_EFI_HANDOVER_64",
	xlfEFIKexec: "XLF_EFI_KEXEC", xlf5Level: "XLF_5LEVEL", xlf5LevelEnabled: "XLF_5LEVEL_ENABLED",
}
