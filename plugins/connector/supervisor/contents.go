package supervisor

import (
	"sync"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// contents remember what the store held when it was read last, so that it is read again
// only after a change.
type contents struct {
	store store.Store

	mu    sync.Mutex
	last  *indexed
	until <-chan struct{} // closed when last is old
	// queued are names about which something is to be done; each channel is closed when
	// that shows.
	queued map[string]chan struct{}
}

// indexed are the contents of a store by name.
type indexed struct {
	all         store.Contents
	definitions map[string]store.Definition
	unreadable  map[string]store.Unreadable
}

// load returns the contents of now.
func (c *contents) load() (*indexed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil {
		select {
		case <-c.until:
		default:
			return c.last, nil
		}
	}
	until := c.store.Changed() // before they are read, so that no change is missed
	all, err := c.store.Load()
	if err != nil {
		return nil, err
	}
	one := &indexed{all: all, definitions: map[string]store.Definition{}, unreadable: map[string]store.Unreadable{}}
	for _, d := range all.Definitions {
		one.definitions[d.Connector.Name] = d
	}
	for _, u := range all.Unreadable {
		one.unreadable[u.Name] = u
	}
	c.last, c.until = one, until
	return one, nil
}

func (c *contents) read() (store.Contents, error) {
	one, err := c.load()
	if err != nil {
		return store.Contents{}, err
	}
	return one.all, nil
}

// queue returns the channel of a name, and whether nobody else is about to do something
// about it. Whoever is has not read the store for it yet.
func (c *contents) queue(name string) (shown chan struct{}, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if shown, queued := c.queued[name]; queued {
		return shown, false
	}
	if c.queued == nil {
		c.queued = map[string]chan struct{}{}
	}
	shown = make(chan struct{})
	c.queued[name] = shown
	return shown, true
}

func (c *contents) unqueue(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.queued, name)
}
