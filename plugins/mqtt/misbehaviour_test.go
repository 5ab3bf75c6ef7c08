package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	misbehaving "github.com/robustmq/robustmq-connect/tests/scripted"
)

// consumed is a message that the pipeline got.
type consumed struct {
	topic, payload string
	late           time.Duration // when it was consumed, relative to its time of receipt
}

// pipeline takes messages from an input and acknowledges them, as the engine does.
type pipeline struct {
	t  *testing.T
	in *input
	b  *misbehaving.Broker

	mu   sync.Mutex
	got  []consumed
	sent map[string]misbehaving.Message // by payload
}

// misbehave starts an input with short pauses, connected to a broker with these
// options.
func misbehave(t *testing.T, opts misbehaving.Options, yaml string) *pipeline {
	t.Helper()
	b, err := misbehaving.Listen(opts)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	in, _ := started(t, b.URL(), "clean_session: false\nqos: 2\nkeepalive: 1\n"+yaml)
	in.keeper.retries.Limit, in.keeper.rejoins.Limit, in.keeper.refusals.Limit = time.Millisecond, time.Millisecond, time.Millisecond
	p := &pipeline{t: t, in: in, b: b, sent: map[string]misbehaving.Message{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return p
}

func (p *pipeline) run(ctx context.Context) {
	for ctx.Err() == nil {
		batch, ack, err := p.in.ReadBatch(ctx)
		if errors.Is(err, service.ErrNotConnected) {
			_ = p.in.Connect(ctx) // it returns why not, and is called again
			continue
		}
		if err != nil {
			continue
		}
		p.take(batch)
		_ = ack(ctx, nil) // it has no error
	}
}

func (p *pipeline) take(batch service.MessageBatch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range batch {
		payload, _ := m.AsBytes() // a message from the input has bytes
		topic, _ := m.MetaGet("mqtt_topic")
		at, _ := m.MetaGetMut("mqtt_timestamp_ms")
		ms, _ := at.(int64)
		p.got = append(p.got, consumed{topic, string(payload), time.Since(time.UnixMilli(ms))})
	}
}

func (p *pipeline) publish(n int) {
	for range n {
		i := len(p.sent)
		m := misbehaving.Message{Topic: fmt.Sprintf("a/%d", i%2+1), QoS: byte(i%2 + 1), Payload: fmt.Sprintf("%06d", i)}
		p.sent[m.Payload] = m
		p.b.Publish(m)
	}
}

// settle waits until the broker has no message left and a newly published one gets
// through. If the broker loses that one, settle publishes another.
func (p *pipeline) settle() {
	p.t.Helper()
	probe := 0
	require.Eventually(p.t, func() bool {
		switch {
		case p.b.Left() > 0 || !p.b.Subscribed("a/1") || p.b.Waiting() > 0:
			return false
		case probe > 0 && len(p.b.Acked()) >= probe:
			return true
		}
		probe = len(p.b.Acked()) + 2
		p.publish(2)
		return false
	}, patience, time.Millisecond)
}

// once says how often a message may arrive.
type once int

const (
	exactly once = iota // those of QoS 2 once
	anyhow              // those of QoS 2 as often as those of QoS 1
	unsorted
)

// check compares the received messages with those that the broker did not lose.
func (p *pipeline) check(want once) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.b.Problems())
	times, highest := map[string]int{}, map[string]string{}
	for _, m := range p.got {
		require.Equal(p.t, p.sent[m.payload].Topic, m.topic)
		require.Less(p.t, m.late.Abs(), 30*time.Second, "wrong time of receipt:  %s", m.payload)
		if times[m.payload]++; times[m.payload] == 1 && want != unsorted {
			require.Greater(p.t, m.payload, highest[m.topic], "in order")
			highest[m.topic] = m.payload
		}
	}
	for _, l := range p.b.Lost() {
		times[l.Payload]++ // it may be missing
	}
	for payload, m := range p.sent {
		require.Positive(p.t, times[payload], "missing: %s", payload)
		if m.QoS == 2 && want == exactly {
			require.Equal(p.t, 1, times[payload], payload)
		}
	}
	require.NotEmpty(p.t, p.b.Acked())
}

// impatient is for brokers that may not answer a CONNECT or a SUBSCRIBE.
const impatient = "connect_timeout: 300ms\n"

var versions = map[string]string{"MQTT 5": "protocol_version: '5'\n", "MQTT 3.1.1": "protocol_version: 3.1.1\n"}

// A broker with stored messages misbehaves when the session is resumed. The input must
// recover, and must not lose a message.
func TestMisbehaviourOnResume(t *testing.T) {
	for name, test := range map[string]struct {
		how  misbehaving.Behaviour
		want once
	}{
		"everything right":                {},
		"messages with CONNACK":           {how: misbehaving.Behaviour{Together: true}},
		"byte by byte":                    {how: misbehaving.Behaviour{BytewiseUpTo: 1 << 20}},
		"a window of 1":                   {how: misbehaving.Behaviour{Window: 1}},
		"a window of 10":                  {how: misbehaving.Behaviour{Window: 10}},
		"SUBACK early":                    {how: misbehaving.Behaviour{Suback: misbehaving.SubackEarly}},
		"SUBACK late":                     {how: misbehaving.Behaviour{Suback: misbehaving.SubackLate, SubackDelay: 20 * time.Millisecond}},
		"SUBACK never":                    {how: misbehaving.Behaviour{Suback: misbehaving.SubackNever}},
		"SUBACK refuses":                  {how: misbehaving.Behaviour{Suback: misbehaving.SubackRefused}},
		"SUBACK refuses in part":          {how: misbehaving.Behaviour{Suback: misbehaving.SubackRefusedPart}},
		"SUBACK after the first PUBACK":   {how: misbehaving.Behaviour{Suback: misbehaving.SubackAfterAck, Window: 10}},
		"fresh identifiers":               {misbehaving.Behaviour{FreshIdentifiers: true}, anyhow},
		"never DUP":                       {how: misbehaving.Behaviour{Dup: misbehaving.DupNever}},
		"always DUP":                      {how: misbehaving.Behaviour{Dup: misbehaving.DupAlways}},
		"redelivery shuffled":             {misbehaving.Behaviour{Shuffle: rand.Shuffle}, unsorted},
		"session lost":                    {misbehaving.Behaviour{Session: misbehaving.Lost}, anyhow},
		"session lost, SUBACK refuses":    {misbehaving.Behaviour{Session: misbehaving.Lost, Suback: misbehaving.SubackRefused}, anyhow},
		"session lost, SUBACK never":      {misbehaving.Behaviour{Session: misbehaving.Lost, Suback: misbehaving.SubackNever}, anyhow},
		"session lost, cut after CONNACK": {misbehaving.Behaviour{Session: misbehaving.Lost, AfterSent: 5}, anyhow},
		"server unavailable":              {how: misbehaving.Behaviour{Refusal: misbehaving.Unavailable3}},
		"hangs up":                        {misbehaving.Behaviour{Refusal: misbehaving.HungUp}, anyhow},
		"says nothing":                    {misbehaving.Behaviour{Refusal: misbehaving.Silent}, anyhow},
		"CONNACK too short":               {misbehaving.Behaviour{Refusal: misbehaving.Garbled}, anyhow},
		"another packet than CONNACK":     {misbehaving.Behaviour{Refusal: misbehaving.Foreign}, anyhow},
		"mute in the middle of PUBLISH":   {how: misbehaving.Behaviour{End: misbehaving.Mute, AfterSent: 50}},
		"frozen in the middle of PUBACK":  {how: misbehaving.Behaviour{End: misbehaving.Freeze, AfterReceived: 60}},
	} {
		for version, yaml := range versions {
			t.Run(name+", "+version, func(t *testing.T) {
				t.Parallel()
				p := misbehave(t, misbehaving.Options{Script: []misbehaving.Behaviour{{}, test.how}}, impatient+yaml)
				require.Eventually(t, func() bool { return p.b.Subscribed("a/1") }, patience, time.Millisecond)
				p.publish(20)
				p.b.CutNow()
				p.publish(20)
				p.settle()
				p.check(test.want)
			})
		}
	}
}

// With MQTT 5, the input notices a session that has lost its filters.
func TestMisbehaviourSessionWithoutItsFilters(t *testing.T) {
	p := misbehave(t, misbehaving.Options{Script: []misbehaving.Behaviour{{}, {Session: misbehaving.HalfKept}}}, versions["MQTT 5"])
	require.Eventually(t, func() bool { return p.b.Subscribed("a/1") }, patience, time.Millisecond)
	p.publish(20)
	p.b.CutNow()
	p.publish(20)
	p.settle()
	p.check(exactly)
}

// The input connects to a broker that speaks only MQTT 3.1.1, however that broker
// refuses MQTT 5. If it does not answer the CONNECT of MQTT 5, the input cannot know
// whether a session has begun, and repeats messages that it is unsure of.
func TestMisbehaviourRefusesMQTT5(t *testing.T) {
	for name, test := range map[string]struct {
		refusal *misbehaving.Refusal
		want    once
	}{
		"CONNACK of 3.1.1":     {misbehaving.RefusedOld, exactly},
		"CONNACK of 5, code 1": {misbehaving.RefusedMixed, exactly},
		"reason 0x84":          {misbehaving.RefusedVersion, exactly},
		"hangs up":             {misbehaving.HungUp, anyhow},
		"says nothing":         {misbehaving.Silent, anyhow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := misbehave(t, misbehaving.Options{Only311: test.refusal}, impatient)
			p.settle()
			p.publish(20)
			p.b.CutNow()
			p.publish(20)
			p.settle()
			p.check(test.want)
		})
	}
}

// The connection is cut at every byte, in each direction, while messages flow. No
// offset may lose a message or prevent the input from recovering. A message of QoS 2
// arrives once, unless the cut hits the handshake: then it is unknown whose session the
// broker has.
func TestMisbehaviourCutAtEveryByte(t *testing.T) {
	for version, yaml := range versions {
		for name, test := range map[string]struct {
			cut      func(n int) misbehaving.Behaviour
			from, to int
			want     once
		}{
			"sent, CONNACK":     {cutSent, 1, 5, anyhow},
			"sent, then":        {cutSent, 6, 200, exactly},
			"received, CONNECT": {cutReceived, 1, 60, anyhow},
			"received, then":    {cutReceived, 61, 200, exactly},
		} {
			t.Run(version+", "+name, func(t *testing.T) {
				t.Parallel()
				p := misbehave(t, misbehaving.Options{Script: []misbehaving.Behaviour{{}}}, yaml)
				require.Eventually(t, func() bool { return p.b.Subscribed("a/1") }, patience, time.Millisecond)
				for n := test.from; n <= test.to; n++ {
					how := test.cut(n)
					how.Window = 4
					p.b.Extend(how)
				}
				p.b.CutNow()
				require.Eventually(t, func() bool {
					if p.b.Waiting() < 10 {
						p.publish(10) // so that there is something to cut
					}
					made, _ := p.b.Connections()
					return made >= 1+test.to-test.from+1+1 // the last one has no end
				}, 2*patience, time.Millisecond)
				p.settle()
				p.check(test.want)
			})
		}
	}
}

func cutSent(n int) misbehaving.Behaviour { return misbehaving.Behaviour{AfterSent: n} }

func cutReceived(n int) misbehaving.Behaviour { return misbehaving.Behaviour{AfterReceived: n} }
