package model

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/robustmq/robustmq-connect/tests/scripted"
)

// plan is the part of a seed's scenario that does not change while it runs.
type plan struct {
	version   string
	only311   *scripted.Refusal
	topics    []string // their number is the QoS of their messages
	window    int
	receive   int
	batch     int
	pending   string
	envelope  bool
	strategy  string
	linger    string
	parts     int32
	sites     int // brokers
	filters   string
	steps     int
	bytewise  bool
	dup       scripted.Dup
	fresh     bool // identifiers
	shuffled  bool
	losses    bool // of sessions
	halfKept  bool
	subacks   bool
	refusals  bool
	restarts  bool
	faults    bool // of Kafka
	latency   bool
	replay    bool // by the input, of what is rejected
	rejects   bool // Kafka refuses records without a strategy
	keepAlive time.Duration
}

func pick[T any](r *rand.Rand, options ...T) T { return options[r.IntN(len(options))] }

// chance returns true in percent of 100 cases.
func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// newPlan makes the plan. Decisions that were added later use more, so that existing
// seeds keep their scenario.
func newPlan(r, more *rand.Rand) plan {
	p := plan{
		version:   pick(r, "auto", "5", "3.1.1"),
		window:    pick(r, 1, 10, 65535),
		receive:   pick(r, 1, 20, 65535),
		batch:     pick(r, 1, 7, 8192),
		pending:   pick(r, "16MiB", "16MiB", "2KiB"),
		envelope:  chance(r, 50),
		strategy:  pick(r, "failure_strategy: block", ""),
		linger:    pick(r, "0s", "0s", "3ms"),
		parts:     pick(r, int32(1), 3),
		sites:     pick(r, 1, 1, 1, 2),
		filters:   pick(r, `"m/#"`, `"m/0/#", "m/1/#", "m/2/#"`),
		steps:     1 + r.IntN(12),
		bytewise:  chance(r, 20),
		dup:       pick(r, scripted.DupRight, scripted.DupRight, scripted.DupNever, scripted.DupAlways),
		fresh:     chance(r, 20),
		shuffled:  chance(r, 10),
		losses:    chance(r, 30),
		subacks:   chance(r, 50),
		refusals:  chance(r, 40),
		restarts:  chance(r, 25),
		faults:    chance(r, 70),
		latency:   chance(r, 50),
		keepAlive: 5 * time.Second,
	}
	for i := range 1 + r.IntN(4) {
		p.topics = append(p.topics, fmt.Sprintf("m/%d/%d", pick(r, 0, 1, 1, 1, 2, 2), i))
	}
	if p.version == "auto" && chance(r, 60) {
		p.only311 = pick(r, scripted.RefusedOld, scripted.RefusedMixed, scripted.RefusedVersion, scripted.HungUp, scripted.Silent)
	}
	// With MQTT 3.1.1 a client cannot detect that a session has lost its filters.
	p.halfKept = p.version == "5" && chance(r, 20)
	p.rejects = p.strategy == "" && chance(more, 60)
	p.replay = !p.rejects || chance(more, 60)
	return p
}

func (p plan) String() string {
	only311 := "nothing"
	if p.only311 != nil {
		only311 = fmt.Sprintf("%x, held %t", p.only311.Answer, p.only311.Hold)
	}
	p.only311 = nil
	type bare plan
	return fmt.Sprintf("MQTT 5 gets %s; %+v", only311, bare(p))
}

// input and output return the configurations.
func (p *plan) input(sites []*site) string {
	var urls []string
	for _, s := range sites {
		urls = append(urls, "tcp://"+s.link.address)
	}
	return fmt.Sprintf(`mqtt:
  urls: [%s]
  topics: [%s]
  qos: 2
  client_id: model
  clean_session: false
  protocol_version: "%s"
  keepalive: %d
  connect_timeout: 3s
  receive_maximum: %d
  max_batch_messages: %d
  max_pending_bytes: %s
  auto_replay_nacks: %t
`, strings.Join(urls, ", "), p.filters, p.version, int(p.keepAlive.Seconds()), p.receive, p.batch, p.pending, p.replay)
}

func (p *plan) output(kafka *link) string {
	lines := []string{
		"kafka_franz:",
		"  seed_brokers: [\"" + kafka.address + "\"]",
		"  topic: " + kafkaTopic,
		"  key: ${! @mqtt_topic }",
		"  compression: none",
		"  timeout: 1s",
		"  request_timeout_overhead: 1s",
		"  linger: " + p.linger,
		"  metadata: { include_patterns: [mqtt_timestamp_ms] }",
		fmt.Sprintf("  envelope: { enabled: %t }", p.envelope),
	}
	if p.strategy != "" {
		lines = append(lines, "  "+p.strategy)
	}
	return strings.Join(lines, "\n") + "\n"
}

// behaviour returns how the broker handles one connection.
func (p *plan) behaviour(r *rand.Rand) scripted.Behaviour {
	b := scripted.Behaviour{Window: p.window, Dup: p.dup, Together: chance(r, 30)}
	if p.bytewise {
		b.BytewiseUpTo = r.IntN(500)
	}
	if p.refusals && chance(r, 20) {
		b.Refusal = pick(r, scripted.HungUp, scripted.Silent, scripted.Garbled, scripted.Foreign, p.unavailable())
		return b
	}
	if p.losses && chance(r, 40) {
		b.Session = scripted.Lost
	} else if p.halfKept && chance(r, 40) {
		b.Session = scripted.HalfKept
	}
	if p.subacks {
		b.Suback = pick(r, scripted.SubackPrompt, scripted.SubackEarly, scripted.SubackLate, scripted.SubackNever, scripted.SubackRefused, scripted.SubackRefusedPart, scripted.SubackAfterAck)
		b.SubackDelay = duration(r, 5*time.Second)
	}
	b.FreshIdentifiers = p.fresh && chance(r, 50)
	if p.shuffled && chance(r, 50) {
		shuffle := rand.New(rand.NewPCG(r.Uint64(), 0))
		b.Shuffle = shuffle.Shuffle
	}
	if chance(r, 60) {
		b.End = pick(r, scripted.Cut, scripted.Cut, scripted.Cut, scripted.Cut, scripted.Mute, scripted.Freeze)
		switch r.IntN(3) {
		case 0:
			b.AfterSent = 1 + r.IntN(400)
		case 1:
			b.AfterReceived = 1 + r.IntN(150)
		case 2:
			b.After = 1 + duration(r, 3*time.Second)
			if p.version == "5" && chance(r, 30) {
				b.Farewell = []byte{0xe0, 1, 0x8b} // the server shuts down
			}
		}
	}
	return b
}

func (p *plan) unavailable() *scripted.Refusal {
	if p.version == "5" || p.version == "auto" && p.only311 == nil {
		return scripted.Unavailable5
	}
	return scripted.Unavailable3
}

// duration returns mostly short durations.
func duration(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(float64(most) * r.Float64() * r.Float64() * r.Float64())
}

// passing are answers to a produce request after which the client retries by itself;
// refusals are those for which the output holds the batch.
var (
	passing = []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend,
		kerr.LeaderNotAvailable, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition,
	}
	refusals = []*kerr.Error{kerr.CorruptMessage, kerr.TopicAuthorizationFailed, kerr.InvalidRecord, kerr.PolicyViolation, kerr.MessageTooLarge}
)
