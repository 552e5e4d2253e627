package qcow2

import (
	"container/list"
	"sync"
)

// cacheSize bounds the clusters that a chain of images keeps in memory, in
// bytes: L2 tables, which cover 128 GiB of disk in clusters of 64 KiB, and
// decompressed clusters, which a guest reads in many small pieces.
const cacheSize = 16 << 20

// A cacheKey is the L1 or L2 entry that a cluster was read by. L2 tables and
// decompressed clusters do not collide: an entry of the latter has
// flagCompressed.
type cacheKey struct {
	image *Image
	entry uint64
}

// A cache keeps the clusters that were used last.
type cache struct {
	mu    sync.Mutex
	max   int64                      // bytes; at least one cluster is kept
	bytes int64                      // guarded by mu, as what follows
	items map[cacheKey]*list.Element // of *cached
	order list.List                  // the one used last in front
}

type cached struct {
	key  cacheKey
	data []byte
}

func newCache(limit int64) *cache {
	return &cache{max: limit, items: map[cacheKey]*list.Element{}}
}

// get returns what is kept under key, or else what load returns, and keeps it.
// No lock is held meanwhile: two callers may load the same.
func (c *cache) get(key cacheKey, load func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	e := c.items[key]
	if e != nil {
		c.order.MoveToFront(e)
	}
	c.mu.Unlock()
	if e != nil {
		return e.Value.(*cached).data, nil
	}
	data, err := load()
	if err != nil {
		return nil, err
	}
	return c.put(key, data), nil
}

// put keeps data under key, and returns what is kept there: data, or what was
// there before.
func (c *cache) put(key cacheKey, data []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[key]; e != nil {
		return e.Value.(*cached).data
	}
	c.items[key] = c.order.PushFront(&cached{key, data})
	c.bytes += int64(len(data))
	for c.bytes > c.max && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
	return data
}

// drop forgets what is kept under key.
func (c *cache) drop(key cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[key]; e != nil {
		c.remove(e)
	}
}

// remove has c.mu held.
func (c *cache) remove(e *list.Element) {
	item := c.order.Remove(e).(*cached)
	delete(c.items, item.key)
	c.bytes -= int64(len(item.data))
}
