package connector

import (
	"encoding/json"
	"strconv"
)

// MaxParallelism is the greatest number of members of a connector. Each of them is a
// client of the broker and of Kafka.
const MaxParallelism = 64

const sharePrefix = "$share/"

// Members is the number of members of a connector, at least 1.
func (c Connector) Members() int { return max(1, c.Parallelism) }

// WithMember returns the definition of one member, from 0.
func (c Connector) WithMember(member int) Connector {
	c.Member = member
	return c
}

// Shared returns what a member runs: a connector of its own that subscribes to the filter
// in a group, under its own client id. The first member has the client id of the
// connector, so that it goes on with the session that the connector had alone. A
// connector with one member is returned as it is.
func (c Connector) Shared(group string) Connector {
	if c.Members() == 1 {
		return c
	}
	c.TopicID = sharePrefix + group + "/" + c.TopicID
	if c.Member > 0 {
		id, _ := json.Marshal(c.MQTT.Text("client_id") + "_member_" + strconv.Itoa(c.Member)) // a string
		c.MQTT = c.MQTT.With(Settings{{Name: "client_id", Value: id}})
	}
	c.Parallelism, c.Member = 1, 0
	return c
}
