package disklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
)

// The file of the position has two slots, which are written in turn, so that one of
// them is whole whenever the machine stops. Its size never changes: it can be written
// when the disk is full. A slot has, in little-endian order: CRC-32C of the rest,
// number of the write, position.
const (
	positionName = "position"
	slotSize     = 20
	slotEvery    = 512 // a sector each
)

type positionFile struct {
	file   File
	writes uint64
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
		writes := binary.LittleEndian.Uint64(b[4:])
		if crc32.Checksum(b[4:], castagnoli) == binary.LittleEndian.Uint32(b) && writes >= p.writes && writes > 0 {
			p.writes, position = writes, binary.LittleEndian.Uint64(b[12:])
		}
	}
	return position, nil
}

func (p *positionFile) save(position uint64) error {
	b := make([]byte, slotSize)
	binary.LittleEndian.PutUint64(b[4:], p.writes+1)
	binary.LittleEndian.PutUint64(b[12:], position)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	if _, err := p.file.WriteAt(b, int64((p.writes+1)%2)*slotEvery); err != nil {
		return fmt.Errorf("writing the position: %w", err)
	}
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("syncing the position: %w", err)
	}
	p.writes++
	return nil
}

// SavePosition makes durable what the consumer has finished, so that a start does not
// repeat it.
func (l *Log) SavePosition() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	position := l.position
	l.mu.Unlock()
	if position == l.savedSeq || l.slots.file == nil {
		return nil
	}
	if err := l.slots.save(position); err != nil {
		return err
	}
	l.savedSeq = position
	return nil
}
