package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// sensorTimeout limits each wait of a sensor for the broker.
const sensorTimeout = 5 * time.Second

// sensorFleet publishes readings; each sensor has its own connection.
type sensorFleet struct {
	failed chan error // the first error; nobody has to read it

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startFleet connects the sensors and starts to publish, rate messages a second in
// total.
func startFleet(url string, rate int, tally *demoTally) (*sensorFleet, error) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &sensorFleet{failed: make(chan error, 1), cancel: cancel}
	sensors := make([]*sensor, 0, demoSensors)
	for i := range demoSensors {
		id := fmt.Sprintf("sensor-%02d", i+1)
		client, err := connectSensor(url, id)
		if err != nil {
			for _, s := range sensors {
				s.client.Disconnect(0)
			}
			cancel()
			return nil, err
		}
		sensors = append(sensors, &sensor{id: id, topic: "sensors/" + id + "/data", client: client, tally: tally})
	}
	gap := time.Second / time.Duration(rate)
	start := time.Now()
	for i, s := range sensors {
		f.wg.Go(func() {
			defer s.client.Disconnect(250)
			if err := s.publish(ctx, start.Add(time.Duration(i)*gap), demoSensors*gap); err != nil {
				select {
				case f.failed <- err:
				default:
				}
			}
		})
	}
	return f, nil
}

// stop returns when each sensor has its last acknowledgement and has disconnected. It
// may be called more than once.
func (f *sensorFleet) stop() {
	f.cancel()
	f.wg.Wait()
}

type sensor struct {
	id, topic string
	client    paho.Client
	tally     *demoTally
}

func connectSensor(url, id string) (paho.Client, error) {
	client := paho.NewClient(paho.NewClientOptions().
		AddBroker(url).
		SetClientID("robustmq-demo-" + id).
		SetProtocolVersion(4).
		SetConnectTimeout(sensorTimeout).
		SetAutoReconnect(false))
	if err := settle(client.Connect()); err != nil {
		return nil, fmt.Errorf("connecting %s to %s: %w", id, url, err)
	}
	return client, nil
}

// publish sends a reading each period until the context ends. A sensor that the broker
// delays skips the missed readings instead of sending them in a burst.
func (s *sensor) publish(ctx context.Context, next time.Time, period time.Duration) error {
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for seq := int64(1); ; seq++ {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		// Both channels may have been ready.
		if ctx.Err() != nil {
			return nil
		}
		now := time.Now()
		s.tally.sent(s.topic, seq, now)
		if err := settle(s.client.Publish(s.topic, 1, false, s.reading(seq, now))); err != nil {
			return fmt.Errorf("publishing reading %d to %q: %w", seq, s.topic, err)
		}
		s.tally.acked(s.topic, seq)

		next = next.Add(period)
		if time.Since(next) > time.Second {
			next = time.Now()
		}
		timer.Reset(time.Until(next))
	}
}

// reading simulates a day of weather in ten minutes.
func (s *sensor) reading(seq int64, now time.Time) []byte {
	angle := 2 * math.Pi * float64(now.Unix()%600) / 600
	return fmt.Appendf(nil, `{"temperature":%.1f,"humidity":%.0f,"ts":%d,"seq":%d}`,
		22+6*math.Sin(angle), 55-15*math.Sin(angle), now.UnixMilli(), seq)
}

// settle waits for the broker's answer.
func settle(tok paho.Token) error {
	if !tok.WaitTimeout(sensorTimeout) {
		return errors.New("no answer from the broker within " + sensorTimeout.String())
	}
	return tok.Error()
}
