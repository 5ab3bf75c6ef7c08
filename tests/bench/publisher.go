package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// publisher sends a load through a real broker, with QoS 1. The window is its
// own; the one towards the subscriber is the broker's.
type publisher struct {
	load      load
	brokerURL string
	subscribe chan struct{}
	conn      net.Conn
	reader    *bufio.Reader
	started   bool
	ended     chan struct{}
}

var errNoBroker = errors.New("MQTT_URL is not set to tcp://host:port; run make bench, which starts mosquitto")

func startPublisher(l load, brokerURL string) (*publisher, error) {
	address, ok := strings.CutPrefix(brokerURL, "tcp://")
	if !ok {
		return nil, errNoBroker
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting the publisher: %w", err)
	}
	p := &publisher{
		load: l, brokerURL: brokerURL, subscribe: make(chan struct{}),
		conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), ended: make(chan struct{}),
	}
	// CONNECT of MQTT 3.1.1 with a clean session and without keep alive.
	_, err = conn.Write([]byte{0x10, 21, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 9, 'p', 'u', 'b', 'l', 'i', 's', 'h', 'e', 'r'})
	if err == nil {
		_, err = io.ReadFull(p.reader, make([]byte, 4))
	}
	if err != nil {
		_ = conn.Close() // the error that counts is the first
		return nil, fmt.Errorf("connecting the publisher: %w", err)
	}
	// A broker does not tell a publisher who has subscribed.
	time.AfterFunc(2*time.Second, func() { close(p.subscribe) })
	return p, nil
}

func (p *publisher) url() string            { return p.brokerURL }
func (p *publisher) ready() <-chan struct{} { return p.subscribe }

func (p *publisher) flood() {
	p.started = true
	go func() {
		defer close(p.ended)
		_ = p.send() // what did not arrive is missed in Kafka
	}()
}

func (p *publisher) close() {
	_ = p.conn.Close() // it ends send
	if p.started {
		<-p.ended
	}
}

func (p *publisher) send() error {
	window := make(chan struct{}, p.load.window)
	var acks sync.WaitGroup
	defer acks.Wait()
	acks.Go(func() {
		for range p.load.messages {
			if _, err := p.reader.Discard(4); err != nil {
				return
			}
			<-window
		}
	})
	w := bufio.NewWriterSize(p.conn, 16<<10)
	packets := p.load.packets(4)
	start := time.Now()
	for n := range p.load.messages {
		if p.load.rate > 0 {
			if wait := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(p.load.rate))); wait > 0 {
				if err := w.Flush(); err != nil {
					return err
				}
				time.Sleep(wait)
			}
		}
		select {
		case window <- struct{}{}:
		default:
			if err := w.Flush(); err != nil {
				return err
			}
			window <- struct{}{}
		}
		packet := packets[n%len(packets)]
		binary.BigEndian.PutUint16(packet.bytes[packet.id:], uint16(n%65535)+1)
		if _, err := w.Write(packet.bytes); err != nil {
			return err
		}
	}
	return w.Flush()
}
