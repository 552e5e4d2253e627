package main

import (
	"errors"

	"microvm/cmd/vmm/internal/option"
	"microvm/vmm"
	"microvm/vmm/disk"
)

const diskHelp = "a disk, by `OPTIONS`: path=FILE or just FILE, an image or a block device; ro to read only; " +
	"overlay=tmp to lose at the end what is written, which is in $TMPDIR or /tmp until then; " +
	"id=NAME for its serial number, by default disk0, disk1 and so on; format=raw or qcow2, by default raw; " +
	"cache=writeback, none, writethrough or unsafe, by default writeback; " +
	"engine=auto, io_uring or pool, by default auto: io_uring where it can be had; may be repeated"

// overlayTmp is where an overlay can be: in the directory for temporary files.
const overlayTmp = "tmp"

// addDisk adds the disk that a value of --disk describes.
func (o *bootOptions) addDisk(s *option.Set, text string) error {
	var d vmm.Disk
	var where string
	format, cache, engine := string(disk.FormatAuto), string(disk.CacheWriteback), string(disk.EngineAuto)
	s.Path("path", &d.Path)
	s.Switch("ro", &d.ReadOnly)
	s.Text("id", &d.ID)
	s.Choice("overlay", &where, overlayTmp)
	s.Choice("format", &format, disk.Formats...)
	s.Choice("cache", &cache, disk.Caches...)
	s.Choice("engine", &engine, disk.Engines...)
	if err := s.Parse(text, "path"); err != nil {
		return err
	}
	if d.Path == "" {
		return errors.New("path=FILE is missing")
	}
	d.Overlay = where != ""
	d.Format, d.Cache, d.Engine = disk.Format(format), disk.Cache(cache), disk.EngineKind(engine)
	o.disks = append(o.disks, d)
	return nil
}
