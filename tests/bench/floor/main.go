// Command floor does what the work itself needs and nothing else: it reads
// PUBLISH packets from a raw socket, writes the envelope, produces to Kafka, and
// acknowledges what Kafka has. It is what a bridge is measured against.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

func main() {
	url := flag.String("mqtt", "", "the MQTT source, as tcp://host:port")
	brokers := flag.String("kafka", "", "the Kafka brokers")
	topic := flag.String("topic", "", "the Kafka topic")
	flag.Parse()
	if err := run(strings.TrimPrefix(*url, "tcp://"), *brokers, *topic); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(address, brokers, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(100_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	// CONNECT of MQTT 3.1.1 with a clean session, then SUBSCRIBE to # with QoS 1.
	for _, p := range [][]byte{
		{0x10, 17, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5, 'f', 'l', 'o', 'o', 'r'},
		{0x82, 6, 0, 1, 0, 1, '#', 1},
	} {
		if _, err := conn.Write(p); err != nil {
			return err
		}
		answer := make([]byte, 2)
		if _, err := io.ReadFull(r, answer); err != nil {
			return err
		}
		if _, err := r.Discard(int(answer[1])); err != nil {
			return err
		}
	}
	return forward(conn, r, client)
}

// forward moves whatever has arrived as one batch, while the next one arrives.
func forward(conn net.Conn, r *bufio.Reader, client *kgo.Client) error {
	batches := make(chan batch, 1)
	failed := make(chan error, 1)
	go func() { failed <- produce(conn, client, batches) }()
	for {
		b, err := readBatch(r)
		if err != nil {
			close(batches)
			if sendErr := <-failed; sendErr != nil {
				return sendErr
			}
			return nil // the source is done with us
		}
		batches <- b
	}
}

type batch struct {
	records []*kgo.Record
	acks    []byte
}

func readBatch(r *bufio.Reader) (batch, error) {
	var b batch
	now := time.Now().Unix()
	for len(b.records) == 0 || r.Buffered() > 4 && len(b.records) < 4096 {
		if _, err := r.ReadByte(); err != nil {
			return b, err
		}
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return b, err
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return b, err
		}
		topicSize := int(binary.BigEndian.Uint16(body))
		topic := string(body[2 : 2+topicSize])
		id := body[2+topicSize : 4+topicSize]
		e := envelope.Envelope{
			Topic: topic, QoS: 1, Payload: body[4+topicSize:], Timestamp: now,
			MessageID: binary.BigEndian.Uint16(id), Key: topic,
		}
		b.records = append(b.records, &kgo.Record{Key: body[2 : 2+topicSize], Value: envelope.AppendEncode(nil, &e, false)})
		b.acks = append(b.acks, 0x40, 2, id[0], id[1])
	}
	return b, nil
}

func produce(conn net.Conn, client *kgo.Client, batches <-chan batch) error {
	for b := range batches {
		if err := client.ProduceSync(context.Background(), b.records...).FirstErr(); err != nil {
			return err
		}
		if _, err := conn.Write(b.acks); err != nil {
			return nil // the source is done with us
		}
	}
	return nil
}
