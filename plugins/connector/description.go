package connector

import (
	"encoding/json"
	"strings"
)

// JSON is c's complete description, secrets included, as Parse takes it. It
// comes indented, for people read it too.
func (c Connector) JSON() []byte {
	d := description{
		Name: c.Name, Type: "kafka", ClusterName: c.ClusterName, Tenant: c.Tenant, TopicName: c.TopicID,
		Config: c.Config, Status: c.Status, BrokerID: c.BrokerID,
		CreateTime: c.CreateTime, UpdateTime: c.UpdateTime,
	}
	if f := c.FailureStrategy; f != nil {
		d.FailureStrategy = &strategyDescription{Strategy: f.Strategy, TopicName: f.TopicName, BootstrapServers: f.BootstrapServers}
		if f.Retries() {
			d.FailureStrategy.RetryTotalTimes, d.FailureStrategy.WaitTimeMS = &f.RetryTotalTimes, &f.WaitTimeMS
		}
	}
	// Config was read as JSON, the rest is texts and numbers.
	data, _ := json.MarshalIndent(d, "", "  ")
	return append(data, '\n')
}

type description struct {
	Name            string               `json:"connector_name"`
	Type            string               `json:"connector_type"`
	ClusterName     string               `json:"cluster_name,omitempty"`
	Tenant          string               `json:"tenant,omitempty"`
	TopicName       string               `json:"topic_name"`
	Config          json.RawMessage      `json:"config"`
	FailureStrategy *strategyDescription `json:"failure_strategy,omitempty"`
	Status          string               `json:"status,omitempty"`
	BrokerID        string               `json:"broker_id,omitempty"`
	CreateTime      string               `json:"create_time,omitempty"`
	UpdateTime      string               `json:"update_time,omitempty"`
}

type strategyDescription struct {
	Strategy         string `json:"strategy"`
	RetryTotalTimes  *int   `json:"retry_total_times,omitempty"`
	WaitTimeMS       *int   `json:"wait_time_ms,omitempty"`
	TopicName        string `json:"topic_name,omitempty"`
	BootstrapServers string `json:"bootstrap_servers,omitempty"`
}

// ClientID is the MQTT client identifier of a connector that names none. It
// tells tenants and connectors apart and stays the same over a restart.
func ClientID(prefix, tenant, name string) string {
	parts := []string{prefix}
	for _, part := range []string{tenant, name} {
		plain := Label(part)
		if len(part) < 65 && isPlain(part) {
			plain = part
		}
		parts = append(parts, plain)
	}
	return strings.Join(parts, "_")
}

// isPlain tells whether every broker's access rules and logs can hold s.
func isPlain(s string) bool {
	for _, r := range s {
		legal := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
		if !legal {
			return false
		}
	}
	return s != ""
}
