package disklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
)

// The file of the position has two slots. One has the position that is durable. The other
// one is written, again and again without a sync, until a sync makes that one durable. So
// one of them is whole whenever the machine stops, and a process that is killed repeats
// nothing that it has written down. The size of the file never changes: it can be written
// when the disk is full. A slot has, in little-endian order: CRC-32C of the rest, number of
// the sync, position.
const (
	positionName = "position"
	slotSize     = 20
	slotEvery    = 512 // a sector each
)

type positionFile struct {
	file  File
	syncs uint64
}

// open reads the position, 1 if there is none.
func (p *positionFile) open(files Files) (position uint64, err error) {
	position = 1
	p.file, err = files.Open(positionName)
	if errors.Is(err, fs.ErrNotExist) {
		if p.file, err = files.Create(positionName); err == nil {
			_, err = p.file.WriteAt(make([]byte, 2*slotEvery), 0)
		}
		if err == nil {
			err = files.Sync()
		}
	}
	if err != nil {
		return 0, fmt.Errorf("opening the position: %w", err)
	}
	for i := range int64(2) {
		b := make([]byte, slotSize)
		if _, err := p.file.ReadAt(b, i*slotEvery); err != nil {
			continue // it is written anew
		}
		syncs := binary.LittleEndian.Uint64(b[4:])
		if crc32.Checksum(b[4:], castagnoli) == binary.LittleEndian.Uint32(b) && syncs >= p.syncs && syncs > 0 {
			p.syncs, position = syncs, binary.LittleEndian.Uint64(b[12:])
		}
	}
	// The process before may have ended between the write and the sync.
	if err := p.file.Sync(); err != nil {
		return 0, fmt.Errorf("syncing the position: %w", err)
	}
	return position, nil
}

// write writes the position, which is not durable yet.
func (p *positionFile) write(position uint64) error {
	b := make([]byte, slotSize)
	binary.LittleEndian.PutUint64(b[4:], p.syncs+1)
	binary.LittleEndian.PutUint64(b[12:], position)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	if _, err := p.file.WriteAt(b, int64((p.syncs+1)%2)*slotEvery); err != nil {
		return fmt.Errorf("writing the position: %w", err)
	}
	return nil
}

// save makes the position durable.
func (p *positionFile) save(position uint64) error {
	if err := p.write(position); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("syncing the position: %w", err)
	}
	p.syncs++
	return nil
}

// SavePosition makes durable what the consumer has finished, so that a start does not
// repeat it.
func (l *Log) SavePosition() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	position := l.finishedBelow()
	if position == l.savedSeq || l.slots.file == nil {
		return nil
	}
	if err := l.slots.save(position); err != nil {
		return err
	}
	l.savedSeq, l.writtenSeq = position, position
	return nil
}

// writePosition writes down what the consumer has finished, so that it is not repeated
// when the process is killed. That costs a system call and no sync. SavePosition reports
// what is wrong with the file.
func (l *Log) writePosition() {
	l.saving.Lock()
	defer l.saving.Unlock()
	position := l.finishedBelow()
	if position == l.writtenSeq || l.slots.file == nil {
		return
	}
	if l.slots.write(position) == nil {
		l.writtenSeq = position
	}
}

func (l *Log) finishedBelow() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}
