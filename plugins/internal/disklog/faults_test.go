package disklog

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

// disk is a directory in memory. It may fail, and it may stop like a machine: then what
// was not synced is there in parts, in any order.
type disk struct {
	choose  func(n int) int // from 0 to n-1
	names   map[string]*content
	durable map[string]*content // the names after the last Sync of the directory
	fail    func(op string) error
	short   bool // a write that fails has written a part
}

type content struct {
	now     []byte
	durable []byte
	writes  []write // since the last sync
}

type write struct {
	at   int64
	data []byte
	cut  bool // the size is set to at
}

func newDisk(choose func(int) int) *disk {
	return &disk{choose: choose, names: map[string]*content{}, durable: map[string]*content{}, fail: func(string) error { return nil }}
}

// stop returns what is on the disk after the machine has stopped.
func (d *disk) stop() *disk {
	after := newDisk(d.choose)
	for name, c := range d.durable {
		if _, ok := d.names[name]; ok || d.choose(2) == 0 { // else it is removed
			after.names[name] = c
		}
	}
	for name, c := range d.names {
		if _, ok := d.durable[name]; !ok && d.choose(2) == 0 {
			after.names[name] = c
		}
	}
	for name, c := range after.names {
		after.names[name] = c.stop(d.choose)
	}
	after.durable = maps.Clone(after.names)
	return after
}

// sector is what a disk writes as one.
const sector = 512

func (c *content) stop(choose func(int) int) *content {
	b := slices.Clone(c.durable)
	for _, w := range c.writes {
		if w.cut {
			if choose(2) == 0 && int64(len(b)) > w.at {
				b = b[:w.at]
			}
			continue
		}
		for from := 0; from < len(w.data); {
			to := min(len(w.data), from+sector-int(w.at+int64(from))%sector)
			if choose(3) > 0 {
				b = put(b, w.data[from:to], w.at+int64(from))
			}
			from = to
		}
	}
	return &content{now: b, durable: slices.Clone(b)}
}

func put(b, data []byte, at int64) []byte {
	if grow := int(at) + len(data) - len(b); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[at:], data)
	return b
}

func (d *disk) List() ([]string, error) {
	return slices.Sorted(maps.Keys(d.names)), d.fail("list")
}

func (d *disk) Create(name string) (File, error) {
	if err := d.fail("create"); err != nil {
		return nil, err
	}
	c := d.names[name]
	if c == nil {
		c = &content{}
		d.names[name] = c
	} else {
		c.now, c.writes = nil, append(c.writes, write{cut: true})
	}
	return &diskFile{d, c}, nil
}

func (d *disk) Open(name string) (File, error) {
	if err := d.fail("open"); err != nil {
		return nil, err
	}
	c := d.names[name]
	if c == nil {
		return nil, fs.ErrNotExist
	}
	return &diskFile{d, c}, nil
}

func (d *disk) Rename(from, to string) error {
	if err := d.fail("rename"); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *disk) Remove(name string) error {
	if err := d.fail("remove"); err != nil {
		return err
	}
	delete(d.names, name)
	return nil
}

func (d *disk) Sync() error {
	if err := d.fail("sync directory"); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	return nil
}

func (d *disk) Close() error { return nil }

type diskFile struct {
	disk *disk
	c    *content
}

func (f *diskFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.disk.fail("read"); err != nil {
		return 0, err
	}
	if at >= int64(len(f.c.now)) && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, f.c.now[min(at, int64(len(f.c.now))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	err := f.disk.fail("write")
	if err != nil {
		if !f.disk.short {
			return 0, err
		}
		p = p[:f.disk.choose(len(p)+1)]
	}
	f.c.now = put(f.c.now, p, at)
	f.c.writes = append(f.c.writes, write{at: at, data: slices.Clone(p)})
	return len(p), err
}

func (f *diskFile) Truncate(size int64) error {
	if err := f.disk.fail("truncate"); err != nil {
		return err
	}
	if int64(len(f.c.now)) > size {
		f.c.now = f.c.now[:size]
	}
	f.c.writes = append(f.c.writes, write{at: size, cut: true})
	return nil
}

// Sync that fails loses what was not written yet, and the next one says nothing of it,
// as with Linux.
func (f *diskFile) Sync() error {
	if err := f.disk.fail("sync"); err != nil {
		kept := f.c.stop(f.disk.choose)
		f.c.durable, f.c.writes = kept.durable, nil
		return err
	}
	f.c.durable, f.c.writes = slices.Clone(f.c.now), nil
	return nil
}

func (f *diskFile) Size() (int64, error) { return int64(len(f.c.now)), f.disk.fail("size") }

func (f *diskFile) Close() error { return nil }

var errDisk = errors.Join(errors.New("writing"), syscall.EIO)
