package supervisor

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Passwords and certificates in files are replaced while the service runs. A connection
// that stands is good: the files are read again when a connector connects anew. A stream
// has read them when it was made, so that one which cannot connect is made anew once they
// have changed.

// credentialsEvery is how often the files are looked at. What has changed takes effect
// when it is the same at two looks: a certificate and its key are two files.
const credentialsEvery = 2 * time.Second

// errRenewed ends a stream that is to be made anew.
var errRenewed = errors.New("files of its credentials have changed")

// baseSettings are the MQTT settings of the service as its files have them now.
type baseSettings struct {
	current atomic.Pointer[connector.Settings]

	mu    sync.Mutex
	last  string // what the files gave at the last look
	fault error  // why they cannot be used; they were told
}

// base are the MQTT settings of the service.
func (s *Supervisor) base() connector.Settings { return *s.mqtt.current.Load() }

// rereadBase takes what the files of the service hold, once it is good.
func (s *Supervisor) rereadBase() {
	if s.opts.ReadMQTT == nil {
		return
	}
	settings, err := s.opts.ReadMQTT()
	if err == nil {
		_, err = tlsOf(settings.Get("tls"), &secretFiles{})
	}
	text, _ := json.Marshal(settings) // JSON
	found := string(text)
	if err != nil {
		found = err.Error()
	}
	b := &s.mqtt
	b.mu.Lock()
	defer b.mu.Unlock()
	rests := found == b.last
	b.last = found
	switch {
	case !rests:
	case err == nil:
		b.fault = nil
		if now, _ := json.Marshal(s.base()); !bytes.Equal(now, text) {
			b.current.Store(&settings)
			s.log.Info("The login to the MQTT broker was read again: it is used when a connector connects anew")
		}
	case b.fault == nil || b.fault.Error() != err.Error():
		b.fault = err
		s.log.Error("The login to the MQTT broker cannot be read again: the one from before is used until its files are correct", "error", err)
	}
}

func (b *baseSettings) warning() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault == nil {
		return ""
	}
	return fmt.Sprintf("the login to the MQTT broker cannot be read again, and the one from before is used: %v", b.fault)
}

// watchCredentials looks at the files until the service ends.
func (s *Supervisor) watchCredentials() {
	s.eachBeat(cmp.Or(s.opts.credentialsEvery, credentialsEvery), func() {
		s.rereadBase()
		for _, e := range s.list() {
			s.protect(e, func() {
				for _, one := range s.membersOf(e) {
					s.renew(one)
				}
			})
		}
	})
}

// renew has the stream of a connector made anew which cannot connect, and whose
// credentials are others now.
func (s *Supervisor) renew(e *entry) {
	s.mu.Lock()
	c, r := e.definition.Connector, e.run
	s.mu.Unlock()
	if r == nil {
		return
	}
	r.mu.Lock()
	st := r.stream
	r.mu.Unlock()
	if st == nil || st.credentials == nil || !st.isCutOff() {
		return
	}
	now := s.credentialsOf(c)
	rests := now == st.seen
	st.seen = now
	if rests && now != *st.credentials {
		st.askRenewal()
	}
}

// isCutOff tells whether an end of a stream is not connected.
func (s *stream) isCutOff() bool {
	for _, end := range s.ends() {
		if !end.connected {
			return true
		}
	}
	return false
}

func (s *stream) askRenewal() {
	select {
	case s.renewal <- struct{}{}:
	default: // it is asked for
	}
}

// credentialsOf differs where a connector would connect with other credentials: by its
// definition, by the service's settings, or by what the files hold that it names.
func (s *Supervisor) credentialsOf(c connector.Connector) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, settings := range []connector.Settings{s.effective(c).MQTT, c.Kafka.More} {
		for _, setting := range settings {
			fmt.Fprintf(h, "%s %s\n", setting.Name, setting.Value)
			var v any
			if json.Unmarshal(setting.Value, &v) == nil { // Parse has read it
				s.hashFiles(h, setting.Name, v)
			}
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// hashFiles adds the files that a value names.
func (s *Supervisor) hashFiles(h io.Writer, name string, v any) {
	switch v := v.(type) {
	case string:
		if v == "" || !isFileField(name) {
			return
		}
		text, ok := readBounded(s.files, v)
		fmt.Fprintf(h, "%q %t %d %s\n", v, ok, len(text), text)
	case []any:
		for _, item := range v {
			s.hashFiles(h, name, item)
		}
	case map[string]any:
		for _, inner := range sortedKeys(v) {
			s.hashFiles(h, inner, v[inner])
		}
	}
}
