package report

// The experiments and metrics that claims rest on and that have no names of
// their own yet.
const (
	diskName    = "disk"
	diskBytes   = "bytes"
	requestName = "request"
	workName    = "work"
	kernelName  = "kernel"
)
