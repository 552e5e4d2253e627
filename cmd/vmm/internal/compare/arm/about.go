package arm

import "microvm/cmd/vmm/internal/compare"

// An about is what an arm says of itself on any host.
type about struct {
	name    string
	kind    Kind
	summary string
	install string
	passes  []compare.Boundary
}

func (a about) Name() string               { return a.name }
func (a about) Kind() Kind                 { return a.kind }
func (a about) Summary() string            { return a.summary }
func (a about) Install() string            { return a.install }
func (a about) Passes() []compare.Boundary { return a.passes }

// What arms show.
var (
	// A payload on the host's kernel tells of itself.
	hostPasses = []compare.Boundary{compare.Spawn, compare.Payload, compare.PayloadEnd, compare.Exit}
	// A guest tells of itself where its monitor has a port for that.
	guestPasses = []compare.Boundary{compare.Spawn, compare.Init, compare.Payload, compare.PayloadEnd, compare.Exit}
	// Otherwise there is what any process shows.
	outerPasses = []compare.Boundary{compare.Spawn, compare.Exit}
)
