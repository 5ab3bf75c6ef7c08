package mqtt

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

// config is the parsed configuration.
type config struct {
	connection
	share *budget.Member // of what all inputs may hold, nil without a bound
	// arrived is called after messages have arrived that are to be acknowledged; nil
	// where nobody asks.
	arrived func()

	topics            []subscription
	noLocal           bool
	retainAsPublished bool
	retainHandling    byte

	maxBatchMessages int
	maxBatchBytes    int
	maxPendingBytes  int
	maxPayloadBytes  int // 0 for no limit
	oversized        string
	stallWarning     time.Duration
	replay           bool // the input retries a rejected message without the broker
}

type subscription struct {
	filter string
	qos    byte
}

func parseConfig(conf *service.ParsedConfig, opts ...Option) (*config, error) {
	p := parser{fields.NewReader(conf)}
	c := &config{
		connection: p.connection(),

		noLocal:           fields.Read(p.Reader, conf.FieldBool, fieldNoLocal),
		retainAsPublished: fields.Read(p.Reader, conf.FieldBool, fieldRetainAsPublished),
		retainHandling:    byte(p.Integer(0, 2, fieldRetainHandling)),

		maxBatchMessages: p.Integer(1, math.MaxInt32, fieldMaxBatchMessages),
		maxBatchBytes:    p.Size(1, math.MaxInt32, fieldMaxBatchBytes),
		maxPendingBytes:  p.Size(1, math.MaxInt32, fieldMaxPendingBytes),
		maxPayloadBytes:  p.Size(0, math.MaxInt32, fieldMaxPayloadBytes),
		oversized:        fields.Read(p.Reader, conf.FieldString, fieldOversized),
		stallWarning:     p.Duration(0, fields.AnyDuration, fieldStallWarning),
		replay:           fields.Read(p.Reader, conf.FieldBool, service.AutoRetryNacksToggleFieldName),
	}
	c.receiveMaximum = uint16(p.Integer(1, math.MaxUint16, fieldReceiveMaximum))
	c.topicAliases = uint16(p.Integer(0, math.MaxUint16, fieldTopicAliases))
	if words := []string{oversizedHold, oversizedFail}; !slices.Contains(words, c.oversized) {
		p.Fail(fmt.Errorf("value %s is unknown; must be one of %s", c.oversized, strings.Join(words, ", ")), fieldOversized)
	}
	p.subscriptions(c)
	for _, option := range opts {
		option(&c.connection)
	}
	return c, p.Err()
}

func (p parser) subscriptions(c *config) {
	topics := fields.Read(p.Reader, p.Conf.FieldStringList, fieldTopics)
	qos := p.Integer(0, 2, fieldQoS)
	single := fields.Read(p.Reader, p.Conf.FieldIntMap, fieldTopicQoS)
	for filter, n := range single {
		if !slices.Contains(topics, filter) {
			p.Fail(fmt.Errorf("%q is not one of %s", filter, fieldTopics), fieldTopicQoS)
		}
		if err := fields.InRange(n, 0, 2); err != nil {
			p.Fail(fmt.Errorf("%q: %w", filter, err), fieldTopicQoS)
		}
	}
	for _, filter := range topics {
		s := subscription{filter: filter, qos: byte(qos)}
		if n, ok := single[filter]; ok {
			s.qos = byte(n)
		}
		if slices.ContainsFunc(c.topics, func(o subscription) bool { return o.filter == filter }) {
			continue
		}
		c.topics = append(c.topics, s)
	}
}

// needsSession reports whether a reconnect must find its session so that no message is
// lost.
func (c *config) needsSession() bool {
	return slices.ContainsFunc(c.topics, func(s subscription) bool { return s.qos > 0 })
}
