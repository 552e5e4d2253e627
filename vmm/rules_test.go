package vmm_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the source tree that a compiler does not hold. The test reads
// the source files as text, and needs none of them to build.

const module = "microvm"

// mayImport says which directories of the module the code of a directory, and of
// those below it, may import from; they stand for all below them, except that
// kvm does not stand for kvm/guestmem. The longest directory counts. Any
// directory may import from itself.
//
//	cmd -> vmm -> {boot, devices} -> kvm -> kvm/guestmem
var mayImport = map[string][]string{
	"cmd/vmm":      {"cmd/internal", "vmm", "boot", "devices", "kvm", "kvm/guestmem", "guestinit"},
	"cmd/kvmhost":  {"cmd/internal", "boot", "kvm", "guestinit/modules"}, // its throw-away host loads modules as a guest does
	"cmd/internal": {},
	"vmm":          {"boot", "devices", "kvm", "kvm/guestmem"},
	"boot":         {"kvm", "kvm/guestmem"},
	"devices":      {"kvm/guestmem"},
	"kvm":          {"kvm/guestmem"},
	"kvm/guestmem": {},
	"guestinit":    {"devices/guestport"},
}

// mayUse narrows mayImport: the code of a directory may use of another only what
// the file declares, and only declarations of that kind.
var mayUse = []struct {
	dir, of, file string
	kind          token.Token
	why           string
}{
	{"boot", "kvm", "kvm/regs.go", token.TYPE, "package boot makes no ioctl"},
	{"guestinit", "devices/guestport", "devices/guestport/regs.go", token.CONST, "what runs in the guest shares numbers with the host, not code"},
}

func TestSourceRules(t *testing.T) {
	tree := sourceTree(t)
	if len(tree) < 10 {
		t.Fatalf("only %d source files found", len(tree))
	}
	for _, broken := range check(tree) {
		t.Error(broken)
	}
}

// A file is a source file by its path in the module.
type file struct {
	*ast.File
	path string
}

func (f file) dir() string  { return path.Dir(f.path) }
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

var fset = token.NewFileSet()

// parse returns the file at name, or src if it is not nil.
func parse(name string, src any) (file, error) {
	f, err := parser.ParseFile(fset, filepath.FromSlash(name), src, parser.SkipObjectResolution)
	return file{f, filepath.ToSlash(name)}, err
}

// sourceTree returns all Go files of the module. Tests run in their package's
// directory, so the module is the one above.
func sourceTree(t *testing.T) (tree []file) {
	t.Chdir("..")
	if _, err := os.Stat("go.mod"); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && name != "."
		if d.IsDir() && (hidden || d.Name() == "testdata" || name == "build" || name == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || hidden || path.Ext(name) != ".go" {
			return nil
		}
		f, err := parse(name, nil)
		tree = append(tree, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// check returns what breaks a rule, each with its place.
func check(tree []file) (broken []string) {
	for _, f := range tree {
		report := func(at ast.Node, format string, args ...any) {
			p := fset.Position(at.Pos())
			broken = append(broken, fmt.Sprintf("%s:%d: %s", f.path, p.Line, fmt.Sprintf(format, args...)))
		}
		checkImports(f, report)
		checkUses(tree, f, report)
		if under(f.path, "devices") && !f.isTest() {
			checkCases(f, report)
		}
	}
	return broken
}

type reporter func(at ast.Node, format string, args ...any)

func checkImports(f file, report reporter) {
	home, ok := longest(f.dir())
	if !ok {
		report(f.Name, "no rule for directory %s: see mayImport", f.dir())
		return
	}
	for _, spec := range f.Imports {
		name := importPath(spec)
		if name == "unsafe" && !mayBeUnsafe(f.path) {
			report(spec, "unsafe is imported only by files named *_unsafe.go")
		}
		dir, ours := strings.CutPrefix(name, module+"/")
		if !ours {
			continue
		}
		if target, _ := longest(dir); !allowed(home, dir, target) {
			report(spec, "%s may not import %s", home, dir)
		}
	}
}

func mayBeUnsafe(name string) bool {
	return strings.HasSuffix(name, "_unsafe.go") || strings.HasSuffix(name, "_unsafe_test.go")
}

// longest returns the directory of mayImport whose rule holds for dir: the
// longest that dir is or lies below.
func longest(dir string) (found string, ok bool) {
	for d := range mayImport {
		if under(dir, d) && len(d) > len(found) {
			found, ok = d, true
		}
	}
	return found, ok
}

// allowed reports whether code whose rule is that of home may import dir, whose
// own rule is that of target.
func allowed(home, dir, target string) bool {
	if target == home {
		return true
	}
	return slices.ContainsFunc(mayImport[home], func(d string) bool {
		return under(dir, d) && (d == target || under(d, target))
	})
}

func checkUses(tree []file, f file, report reporter) {
	for _, rule := range mayUse {
		if !under(f.path, rule.dir) {
			continue
		}
		pkg := localName(f, module+"/"+rule.of)
		if pkg == "" {
			continue
		}
		declared := declarations(tree, rule.file, rule.kind)
		ast.Inspect(f.File, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg && !slices.Contains(declared, sel.Sel.Name) {
				report(sel, "%s.%s is no %s of %s: %s", pkg, sel.Sel.Name, rule.kind, rule.file, rule.why)
			}
			return true
		})
	}
}

// localName returns by which name f refers to the package at name, or "".
func localName(f file, name string) string {
	for _, spec := range f.Imports {
		if importPath(spec) == name {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(name)
		}
	}
	return ""
}

// declarations returns the names that the file of that name declares at its top
// level with kind, const or type.
func declarations(tree []file, name string, kind token.Token) (names []string) {
	i := slices.IndexFunc(tree, func(f file) bool { return f.path == name })
	if i < 0 {
		return nil
	}
	for _, d := range tree[i].Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != kind {
			continue
		}
		for _, spec := range gen.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

// checkCases: a device's registers and values have names.
func checkCases(f file, report reporter) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		c, ok := n.(*ast.CaseClause)
		if !ok {
			return true
		}
		for _, e := range c.List {
			ast.Inspect(e, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && strings.HasPrefix(strings.ToLower(lit.Value), "0x") {
					report(lit, "bare %s in a case: name it in regs.go", lit.Value)
				}
				return true
			})
		}
		return true
	})
}

func importPath(spec *ast.ImportSpec) string {
	name, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
	return name
}

// under reports whether name is dir or lies below it.
func under(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// TestSourceRulesCatch breaks each rule once.
func TestSourceRulesCatch(t *testing.T) {
	const (
		regs      = "package kvm; type Regs struct{}; const RunSize = 1"
		guestport = "package guestport; const RegStage = 0"
	)
	for _, tc := range []struct {
		path, src string
		want      string // part of the complaint, "" if it breaks none
	}{
		{"cmd/vmm/main.go", `package main; import _ "microvm/vmm"`, ""},
		{"cmd/vmm/main.go", `package main; import _ "microvm/cmd/vmm/internal/report"`, ""},
		{"cmd/vmm/main.go", `package main; import _ "microvm/cmd/kvmhost/internal/qemu"`, "cmd/vmm may not import cmd/kvmhost/internal/qemu"},
		{"vmm/machine.go", `package vmm; import _ "microvm/devices/serial"`, ""},
		{"vmm/machine.go", `package vmm; import _ "microvm/cmd/vmm"`, "vmm may not import cmd/vmm"},
		{"boot/elf.go", `package boot; import "microvm/kvm/guestmem"; var _ guestmem.Addr`, ""},
		{"boot/elf.go", `package boot; import "microvm/kvm"; var _ kvm.Regs`, ""},
		{"boot/elf.go", `package boot; import "microvm/kvm"; const n = kvm.RunSize`, "kvm.RunSize is no type of kvm/regs.go"},
		{"boot/elf.go", `package boot; import k "microvm/kvm"; var vm, _ = k.Open()`, "k.Open is no type of kvm/regs.go"},
		{"boot/acpi/dsdt.go", `package acpi; import _ "microvm/devices/guestport"`, "boot may not import devices/guestport"},
		{"devices/serial/device.go", `package serial; import _ "microvm/devices"`, ""},
		{"devices/serial/device.go", `package serial; import _ "microvm/kvm/guestmem"`, ""},
		{"devices/serial/device_test.go", `package serial; import _ "microvm/kvm"`, "devices may not import kvm"},
		{"devices/serial/device.go", `package serial; import _ "microvm/boot"`, "devices may not import boot"},
		{"kvm/vm.go", `package kvm; import _ "microvm/kvm/guestmem"`, ""},
		{"kvm/vm.go", `package kvm; import _ "microvm/devices"`, "kvm may not import devices"},
		{"kvm/guestmem/memory.go", `package guestmem; import _ "microvm/kvm"`, "kvm/guestmem may not import kvm"},
		{"guestinit/init.go", `package guestinit; import p "microvm/devices/guestport"; const n = p.RegStage`, ""},
		{"guestinit/init.go", `package guestinit; import p "microvm/devices/guestport"; var d = p.New()`, "p.New is no const"},
		{"guestinit/init.go", `package guestinit; import _ "microvm/devices"`, "guestinit may not import devices"},
		{"guestinit/init.go", `package guestinit; import _ "microvm/devices/serial"`, "guestinit may not import devices/serial"},
		{"extra/extra.go", `package extra`, "no rule for directory extra"},
		{"kvm/ioctl_unsafe.go", `package kvm; import _ "unsafe"`, ""},
		{"kvm/abi_unsafe_test.go", `package kvm; import _ "unsafe"`, ""},
		{"kvm/ioctl.go", `package kvm; import _ "unsafe"`, "unsafe is imported only by"},
		{"devices/cmos/device.go", `package cmos; func f(n int) { switch n { case reg, 10: } }`, ""},
		{"devices/cmos/device.go", `package cmos; func f(n int) { switch n { case reg, 0x0a: } }`, "bare 0x0a in a case"},
		{"devices/cmos/device.go", `package cmos; func f(n int) { switch { case n == 0XF: } }`, "bare 0XF in a case"},
		{"devices/cmos/device_test.go", `package cmos; func f(n int) { switch n { case 0x0a: } }`, ""},
	} {
		f, err := parse(tc.path, tc.src)
		if err != nil {
			t.Fatal(err)
		}
		tree := []file{f, mustParse(t, "kvm/regs.go", regs), mustParse(t, "devices/guestport/regs.go", guestport)}
		got := strings.Join(check(tree), "\n")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s with %s: complaint %q, want %q", tc.path, tc.src, got, tc.want)
		}
	}
}

func mustParse(t *testing.T, name, src string) file {
	f, err := parse(name, src)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
