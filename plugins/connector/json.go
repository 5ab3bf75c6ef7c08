package connector

import (
	"cmp"
	"encoding/json"
)

// JSON returns c's complete definition, including secrets, in the form that Parse
// reads. It is indented for people.
func (c Connector) JSON() []byte {
	d := definitionJSON{
		Name: c.Name, Type: cmp.Or(c.Type, TypeKafka), ClusterName: c.ClusterName, Tenant: c.Tenant, TopicName: c.TopicID,
		Config: c.Config, Status: c.Status, BrokerID: c.BrokerID,
		CreateTime: c.CreateTime, UpdateTime: c.UpdateTime,
	}
	if f := c.FailureStrategy; f != nil {
		d.FailureStrategy = &strategyJSON{Strategy: f.Strategy, TopicName: f.TopicName, BootstrapServers: f.BootstrapServers}
		if f.Retries() {
			d.FailureStrategy.RetryTotalTimes, d.FailureStrategy.WaitTimeMS = &f.RetryTotalTimes, &f.WaitTimeMS
		}
	}
	// Config was read as JSON, the rest is texts and numbers.
	data, _ := json.MarshalIndent(d, "", "  ")
	return append(data, '\n')
}

type definitionJSON struct {
	Name            string          `json:"connector_name"`
	Type            string          `json:"connector_type"`
	ClusterName     string          `json:"cluster_name,omitempty"`
	Tenant          string          `json:"tenant,omitempty"`
	TopicName       string          `json:"topic_name"`
	Config          json.RawMessage `json:"config"`
	FailureStrategy *strategyJSON   `json:"failure_strategy,omitempty"`
	Status          string          `json:"status,omitempty"`
	BrokerID        string          `json:"broker_id,omitempty"`
	CreateTime      string          `json:"create_time,omitempty"`
	UpdateTime      string          `json:"update_time,omitempty"`
}

type strategyJSON struct {
	Strategy         string `json:"strategy"`
	RetryTotalTimes  *int   `json:"retry_total_times,omitempty"`
	WaitTimeMS       *int   `json:"wait_time_ms,omitempty"`
	TopicName        string `json:"topic_name,omitempty"`
	BootstrapServers string `json:"bootstrap_servers,omitempty"`
}
