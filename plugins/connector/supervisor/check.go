package supervisor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// checkTimeout is how long one end may take to answer.
const checkTimeout = 15 * time.Second

// Validate implements connector.Manager.
func (s *Supervisor) Validate(c connector.Connector) ([]string, error) {
	_, notes, err := s.judge(c)
	return notes, err
}

// judge returns c with its stored secrets, and the result of validate.
func (s *Supervisor) judge(c connector.Connector) (connector.Connector, []string, error) {
	stored := connector.Connector{}
	if e := s.find(c.Name); e != nil {
		stored = e.stored(s).Connector
	} else if err := connector.CheckName(c.Name); err != nil {
		return c, nil, err
	}
	c, err := connector.KeepSecrets(c, stored)
	if err != nil {
		return c, nil, err
	}
	_, notes, err := s.validate(c)
	return c, notes, err
}

// Check implements connector.Manager. It connects to the MQTT broker with its own
// client id: with the connector's, a running connector would be disconnected. Nobody
// else can have that client id, so the check removes its session.
func (s *Supervisor) Check(ctx context.Context, c connector.Connector) ([]connector.Probe, error) {
	c, _, err := s.judge(c)
	if err != nil {
		return nil, err
	}
	name := s.opts.ClientIDPrefix + "_check_" + rand.Text()
	id, _ := json.Marshal(name) // a string
	members, filter := c.Members(), c.TopicID
	c = s.effective(c).WithoutBuffer()
	if members > 1 {
		c.TopicID = "$share/" + name + "/" + filter // in the group of the members, it would take messages
	}
	c.MQTT = c.MQTT.With(connector.Settings{{Name: "client_id", Value: id}})
	probes := []connector.Probe{{End: "mqtt"}, {End: "kafka"}}
	if c.IsSource() {
		slices.Reverse(probes)
	} else {
		c.MQTT = c.MQTT.With(connector.Settings{{Name: "clean_session", Value: json.RawMessage("true")}})
	}

	document, _ := connector.Pipeline(c)
	var pipeline struct{ Input, Output map[string]any }
	if err := yaml.Unmarshal(document, &pipeline); err != nil {
		return nil, fmt.Errorf("reading the pipeline of %q: %w", c.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	hide := hiding(c.MQTT, c.Kafka.More)
	var both sync.WaitGroup
	for i, add := range []func(*service.ResourceBuilder) error{
		func(b *service.ResourceBuilder) error { return addYAML(b.AddInputYAML, pipeline.Input) },
		func(b *service.ResourceBuilder) error { return addYAML(b.AddOutputYAML, pipeline.Output) },
	} {
		guard := crash.New(func(err *crash.Error) {
			s.log.Error("A panic in a check: report it with this stack", "connector", c.Name, "error", hide.Replace(err.Error()), "stack", string(err.Stack))
		})
		both.Go(func() {
			defer guard.Catch("a check", func(err error) { probes[i].Error = hide.Replace(err.Error()) })
			if err := s.probe(ctx, add); err != nil {
				probes[i].Error = hide.Replace(err.Error())
			}
		})
	}
	both.Wait()
	if members > 1 && probes[0].Error == "" {
		probes[0].Note = sharedNote
	}
	return probes, nil
}

// sharedNote is said when a broker has taken a shared subscription.
const sharedNote = "mqtt: the broker takes shared subscriptions, which parallelism needs; " +
	"one that speaks only MQTT 3.1.1 cannot tell, and may take $share for a topic like any other: see its documentation"

func addYAML(add func(string) error, component map[string]any) error {
	component["label"] = "check"
	text, err := yaml.Marshal(component)
	if err != nil {
		return err
	}
	return add(string(text))
}

// probe connects one component and closes it.
func (s *Supervisor) probe(ctx context.Context, add func(*service.ResourceBuilder) error) error {
	err := testConnections(ctx, s.env, add)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer within %s: %w", checkTimeout, err)
	}
	return err
}

// testConnections constructs components of a definition that was linted, tests their
// connections and closes them. They are resources, because a stream that only tests its
// connections cannot be closed.
func testConnections(ctx context.Context, env *service.Environment, add func(*service.ResourceBuilder) error) error {
	b := env.NewResourceBuilder()
	b.DisableLinting()
	b.SetEnvVarLookupFunc(func(context.Context, string) (string, bool) { return "", false })
	if err := add(b); err != nil {
		return err
	}
	resources, closeAll, err := b.BuildSuspended()
	if err != nil {
		return err
	}
	defer func() {
		// What never started does not end by itself.
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = closeAll(ctx) // the result is known already
	}()
	results, err := resources.ConnectionTest(ctx)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}
