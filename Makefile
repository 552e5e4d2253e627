# Everything that is built or downloaded goes to bin/ and build/, and to Go's
# own caches. What a target installs on this machine, it says.

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

KERNELS := build/kernels
GO      ?= go

# Programs of ours that are linked statically run in any guest and on any host.
export CGO_ENABLED := 0

# Where this host's own KVM is not real, kvmhost runs a command on an emulated
# host, with this kernel.
KVMHOST := $(CURDIR)/bin/kvmhost
ifneq ($(shell .ci/tools.sh real-kvm && echo real),real)
HOST_KERNEL := $(KERNELS)/generic
KVMHOST     += --kernel $(CURDIR)/$(HOST_KERNEL)/vmlinuz --modules $(CURDIR)/$(HOST_KERNEL)/modules
# There, what more there may be to compare would take too long.
COMPAREFLAGS ?= --arms process,chroot,bwrap,crun,runc,podman,vmm,qemu-microvm
endif

## boot: a shell in a real guest; sets up on the first call what it needs
.PHONY: boot
boot: build tools $(HOST_KERNEL) $(KERNELS)/cloud build/init.cpio
	$(KVMHOST) -- bin/vmm boot --kernel $(KERNELS)/cloud/vmlinuz --initrd build/init.cpio $(BOOTFLAGS)

## test: all tests: unit tests under the race detector, then those with a real KVM
.PHONY: test
test: check unit-test kvm-test

## unit-test: tests under the race detector, with what KVM this host has itself
#
# A skip fails in the packages that need no KVM. In the others a test skips that
# this host's KVM cannot run; kvm-test runs them all.
.PHONY: unit-test
unit-test: tools kernels
	CGO_ENABLED=1 MICROVM_NOSKIP=1 MICROVM_KERNELS='$(CURDIR)/$(KERNELS)/*/boot/vmlinuz-*' \
	MICROVM_HOST_KERNEL=$(CURDIR)/$(KERNELS)/generic \
	$(GO) test -race -timeout 20m $(TESTFLAGS) ./boot/... ./vmm/disk/... ./vmm/network/... ./devices/... ./guestinit/... ./cmd/kvmhost/... ./cmd/internal/... \
		./cmd/vmm/internal/cmdline ./cmd/vmm/internal/config ./cmd/vmm/internal/ctxio \
		./cmd/vmm/internal/host ./cmd/vmm/internal/measure ./cmd/vmm/internal/option ./cmd/vmm/internal/suggest ./cmd/vmm/internal/terminal
	CGO_ENABLED=1 $(GO) test -race -short $(TESTFLAGS) ./kvm/... ./vmm ./cmd/vmm
	CGO_ENABLED=1 $(GO) test -race -short -p 1 $(TESTFLAGS) ./cmd/vmm/internal/compare/... # which count what is left on the host

## kvm-test: tests that need a real KVM, with real guests; a skip fails
#
# Go's limit of time for a package comes first and says where a test hangs; the
# second ends an emulated host that does not end by itself.
.PHONY: kvm-test
kvm-test: build tools kernels initrd rootfs build/payload
	MICROVM_NOSKIP=1 $(GO) test -count=1 -p 1 -timeout 30m \
		-exec 'timeout -k 10 1900 $(KVMHOST) --' $(TESTFLAGS) ./kvm/... ./vmm ./cmd/vmm ./cmd/vmm/internal/probe

## check: formatting and go vet
.PHONY: check
check:
	@sources=$$(git ls-files '*.go'); \
	if [ -z "$$sources" ]; then echo "git knows of no Go files here: is this a clone of the repository?"; exit 1; fi; \
	unformatted=$$(gofmt -l $$sources) || exit; \
	if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	$(GO) vet ./...

## bench: the measurements of docs/benchmarks.md
#
# Those of the small kernel's options only with what make guest-kernel-variants makes.
.PHONY: bench
bench: build tools kernels initrd rootfs build/bench.cpio
	$(GO) test -count=1 -run '^$$' -bench FirstRun -benchtime 1x -v ./cmd/vmm
	$(GO) test -count=1 -timeout 90m -run '^$$' -bench 'Boot|Memory|Exits|Disk|Net|Console|KernelOptions' -benchtime 1x -v -exec '$(KVMHOST) --' ./cmd/vmm

## compare: vmm compare --quick: this monitor beside containers and others, in build/compare
#
# With the small kernel of make guest-kernel, if that is built, which other monitors run
# as well, and with Debian's cloud kernel. COMPARE_EFFORT is what takes the place of
# --quick, such as "--full --time 10m"; COMPAREFLAGS are more flags.
COMPARE_EFFORT  ?= --quick
COMPARE_KERNELS := $(if $(wildcard $(KERNELS)/small/vmlinuz),small) cloud
.PHONY: compare
compare: build tools $(COMPARE_KERNELS:%=$(KERNELS)/%) $(HOST_KERNEL) build/minimal.cpio build/drivers.cpio build/payload
	.ci/tools.sh compare
	@mkdir -p build/compare
	$(KVMHOST) --share $(CURDIR)/build/compare -- bin/vmm compare $(COMPARE_EFFORT) --out build/compare \
		--payload build/payload --initrd build/minimal.cpio --drivers build/drivers.cpio \
		$(foreach k,$(COMPARE_KERNELS),--kernel $k=$(KERNELS)/$k/vmlinuz) $(COMPAREFLAGS)

## soak: BOOTS (default 100) guests in a row, of 1 to 4 processors
.PHONY: soak
BOOTS ?= 100
soak: build tools kernels initrd
	MICROVM_BOOTS=$(BOOTS) MICROVM_NOSKIP=1 $(GO) test -count=1 -timeout 120m -run TestManyBoots -v -exec '$(KVMHOST) --' ./vmm

## fuzz: each fuzz target for FUZZTIME (default 30s)
.PHONY: fuzz
FUZZTIME ?= 30s
fuzz:
	@for dir in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go); do \
			echo "$$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$dir || exit 1; \
		done; \
	done

## build: bin/vmm and bin/kvmhost
.PHONY: build
build:
	$(GO) build -trimpath -o bin/ ./cmd/vmm ./cmd/kvmhost

## initrd: the guest's initramfs: u-root's commands and shell, our init, virtio modules
.PHONY: initrd
initrd: build/init.cpio build/minimal.cpio build/minimal-386.cpio build/root.cpio

GUEST_KERNELS := $(KERNELS)/cloud $(KERNELS)/generic $(KERNELS)/cloud-6.12
GUESTINIT_SRC := go.mod go.sum $(shell find guestinit devices/guestport -type f)

# The modules in it are of this kernel's version, so that a new kernel makes a
# new archive.
build/init.cpio: $(GUESTINIT_SRC) $(KERNELS)/cloud | build
	@mkdir -p $(@D)
	bin/vmm initrd build --modules-dir $(KERNELS)/cloud/modules -o $@

# The scripts of the benchmarks of disks and networks are in it.
build/bench.cpio: $(GUESTINIT_SRC) $(KERNELS)/cloud $(wildcard cmd/vmm/testdata/bench/*) | build
	@mkdir -p $(@D)
	bin/vmm initrd build --modules-dir $(KERNELS)/cloud/modules --file cmd/vmm/testdata/bench:/bench -o $@

build/minimal.cpio: $(GUESTINIT_SRC) | build
	@mkdir -p $(@D)
	bin/vmm initrd build --minimal -o $@

# What init loads in a guest that is given a disk or a network.
build/drivers.cpio: $(GUESTINIT_SRC) $(KERNELS)/cloud $(KERNELS)/cloud-6.12 | build
	@mkdir -p $(@D)
	bin/vmm initrd build --minimal --modules virtio_mmio,virtio_blk,virtio_net \
		--modules-dir $(KERNELS)/cloud/modules --modules-dir $(KERNELS)/cloud-6.12/modules -o $@

build/minimal-386.cpio: $(GUESTINIT_SRC) | build
	@mkdir -p $(@D)
	bin/vmm initrd build --minimal --arch 386 -o $@

# What comparisons run in guests and elsewhere, built as they build it.
build/payload: $(GUESTINIT_SRC)
	@mkdir -p $(@D)
	$(GO) build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o $@ ./guestinit/payload

# A directory that is a guest's root, in which a file has several names.
build/root.cpio: build/payload $(GUESTINIT_SRC) | build
	rm -rf build/root
	mkdir -p build/root/data/sub
	cp build/payload build/root/
	cp go.mod build/root/data/b
	ln build/root/data/b build/root/data/a
	ln build/root/data/b build/root/data/sub/c
	ln -s ../b build/root/data/sub/link
	bin/vmm initrd build --minimal --rootfs build/root -o $@

## kernels: Debian's kernels for guests, unpacked in build/kernels
.PHONY: kernels
kernels: $(GUEST_KERNELS) $(KERNELS)/i386

$(KERNELS)/%: | tools
	guestinit/kernel/debian.sh $(KERNELS) $*

## guest-kernel: a small kernel for guests, build/kernels/small, built from Debian's sources
#
# Five minutes of two processors. What it needs, other targets do not.
.PHONY: guest-kernel
guest-kernel: $(KERNELS)/small/vmlinuz

$(KERNELS)/small/vmlinuz: guestinit/kernel/build.sh guestinit/kernel/small.config
	.ci/tools.sh guest-kernel
	guestinit/kernel/build.sh $(@D)

## guest-kernel-variants: the small kernel, and VARIANTS of it that differ in a group of options
#
# build/kernels/small-NAME for each guestinit/kernel/variants/NAME.config, by which
# make bench measures what the options cost. All take more than an hour, at a guess.
VARIANTS ?= $(patsubst guestinit/kernel/variants/%.config,%,$(wildcard guestinit/kernel/variants/*.config))
.PHONY: guest-kernel-variants
guest-kernel-variants:
	.ci/tools.sh guest-kernel
	guestinit/kernel/build.sh $(KERNELS)/small $(VARIANTS)

## rootfs: build/debian.img, a disk with a Debian that boots by systemd to a login
.PHONY: rootfs
rootfs: build/debian.img

# With the modules of this kernel.
build/debian.img: guestinit/rootfs/debian.sh $(KERNELS)/cloud | tools
	guestinit/rootfs/debian.sh $@ $(KERNELS)/cloud

## tools: installs Debian packages that are missing here (apt, as root or by sudo)
.PHONY: tools
tools:
	@.ci/tools.sh

## clean: removes bin/ and build/
.PHONY: clean
clean:
	rm -rf bin build

## help: this list
.PHONY: help
help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
