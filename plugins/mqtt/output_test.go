package mqtt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/tests/logtext"
)

func parseOut(t *testing.T, yaml string) (*outputConfig, error) {
	t.Helper()
	conf, err := OutputSpec().ParseYAML(yaml, nil)
	require.NoError(t, err)
	return parseOutput(conf)
}

// outputTo returns an output with short pauses.
func outputTo(t *testing.T, url, yaml string) (*output, *logtext.Text) {
	t.Helper()
	c, err := parseOut(t, "urls: ["+url+"]\nclient_id: test\n"+yaml)
	require.NoError(t, err)
	collected := new(logtext.Text)
	out := newOutput(c, service.MockResources(service.MockResourcesOptUseLogger(service.NewLoggerFromSlog(slogTo(collected)))))
	j := out.joiner
	j.retries.First, j.rejoins.First, out.holds.First = time.Millisecond, time.Millisecond, time.Millisecond
	j.retries.Limit, j.rejoins.Limit, out.holds.Limit = time.Millisecond, time.Millisecond, time.Millisecond
	j.permanentWait = 10 * time.Millisecond
	t.Cleanup(func() { require.NoError(t, out.Close(context.Background())) })
	return out, collected
}

// joins connects the output, and returns the broker's end.
func joins(t *testing.T, b *scripted, out *output, present bool, properties ...byte) *peer {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- connectAgain(out) }()
	p := b.accept()
	if out.conf.version == version311 {
		p.welcome(present, false)
	} else {
		p.welcome5(present, false, properties...)
	}
	require.NoError(t, wait(t, done))
	return p
}

// connectAgain calls Connect until it returns nil, as the engine does.
func connectAgain(out *output) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := out.Connect(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func batchFrom(payloads ...string) (batch service.MessageBatch) {
	for _, payload := range payloads {
		batch = append(batch, service.NewMessage([]byte(payload)))
	}
	return batch
}

// writes calls WriteBatch in the background.
func writes(out service.BatchOutput, batch service.MessageBatch) chan error {
	done := make(chan error, 1)
	go func() { done <- out.WriteBatch(context.Background(), batch) }()
	return done
}

// gotPublish is a PUBLISH that a test's broker got.
type gotPublish struct {
	topic, payload string
	qos            byte
	dup, retain    bool
	id             uint16
	properties     *packets5.Properties
}

// publish reads a PUBLISH.
func (p *peer) publish(v5 bool) gotPublish {
	p.t.Helper()
	f := p.read()
	require.Equal(p.t, byte(typePublish), f.first>>4, "want a PUBLISH, got %s", f)
	got := gotPublish{qos: f.first >> 1 & 3, dup: f.first&8 != 0, retain: f.first&1 != 0}
	n := binary.BigEndian.Uint16(f.body)
	rest := f.body[2+n:]
	got.topic = string(f.body[2 : 2+n])
	if got.qos > 0 {
		got.id = binary.BigEndian.Uint16(rest)
		rest = rest[2:]
	}
	if v5 {
		got.properties = &packets5.Properties{}
		r := bytes.NewBuffer(rest)
		require.NoError(p.t, got.properties.Unpack(r, packets5.PUBLISH))
		rest = r.Bytes()
	}
	got.payload = string(rest)
	return got
}

// sees reads PUBLISH packets with these payloads and returns their identifiers.
func (p *peer) sees(v5, dup bool, payloads ...string) (ids []uint16) {
	p.t.Helper()
	for _, payload := range payloads {
		got := p.publish(v5)
		require.Equal(p.t, payload, got.payload)
		require.Equal(p.t, dup, got.dup, payload)
		ids = append(ids, got.id)
	}
	return ids
}

func acks(packetType byte, ids ...uint16) (all []byte) {
	for _, id := range ids {
		all = appendAck(all, packetType, id)
	}
	return all
}

// refusal is a PUBACK or PUBREC of MQTT 5 with a reason code.
func refusal(packetType byte, id uint16, code byte) []byte {
	return packet(packetType<<4, u16(id), []byte{code})
}

// requirePending checks that a call has not returned yet.
func requirePending(t *testing.T, done chan error) {
	t.Helper()
	select {
	case err := <-done:
		require.Fail(t, "WriteBatch returned before the broker had acknowledged all", "%v", err)
	case <-time.After(20 * time.Millisecond):
	}
}

func TestOutputPublishesABatchInOrder(t *testing.T) {
	for _, version := range []string{version5, version311} {
		for qos := range byte(3) {
			t.Run(fmt.Sprintf("MQTT %s QoS %d", version, qos), func(t *testing.T) {
				b := newScripted(t)
				out, _ := outputTo(t, b.url(), fmt.Sprintf("topic: a/b\nqos: %d\nprotocol_version: '%s'", qos, version))
				p := joins(t, b, out, false)
				done := writes(out, batchFrom("0", "1", "2"))
				for i := range 3 {
					got := p.publish(version == version5)
					require.Equal(t, gotPublish{topic: "a/b", payload: strconv.Itoa(i), qos: qos, id: got.id, properties: got.properties}, got)
					require.Equal(t, qos > 0, got.id > 0)
				}
				switch qos {
				case 1:
					p.write(acks(typePuback, 1, 2))
					requirePending(t, done)
					p.write(acks(typePuback, 3))
				case 2:
					for id := range uint16(3) {
						p.write(acks(typePubrec, id+1))
						require.Equal(t, ackOf(typePubrel, id+1), p.read().String())
					}
					p.write(acks(typePubcomp, 1, 2))
					requirePending(t, done)
					p.write(acks(typePubcomp, 3))
				}
				require.NoError(t, wait(t, done))
				leaves(t, out, p)
			})
		}
	}
}

// leaves closes the output, and the broker's end of its connection.
func leaves(t *testing.T, out *output, p *peer) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- out.Close(context.Background()) }()
	p.gone()
	require.NoError(t, wait(t, closed))
}
