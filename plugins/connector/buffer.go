package connector

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// fieldBuffer is the field of a config that keeps messages on disk until Kafka has them.
const fieldBuffer = "disk_buffer"

// bufferFields are the fields of disk_buffer that a config may have. Whoever runs the
// connector chooses the directory.
var bufferFields = []string{"max_bytes", "max_age", "on_full", "sync", "sync_interval"}

func checkBuffer(v *value) error {
	if v.open != '{' {
		return &InvalidError{fieldBuffer, "it must be an object, {} for the defaults, with some of " + strings.Join(bufferFields, ", ")}
	}
	for i, name := range v.names {
		switch {
		case name == "path":
			return &InvalidError{fieldBuffer + ".path", "the service chooses the directory, below its --buffer-dir: remove it"}
		case !slices.Contains(bufferFields, name):
			return &InvalidError{fieldBuffer + "." + name, "is unknown: the fields are " + strings.Join(bufferFields, ", ")}
		case v.items[i].open != 0:
			return &InvalidError{fieldBuffer + "." + name, "it must be a text, or a number"}
		}
	}
	return nil
}

// HasBuffer reports whether the connector keeps messages on disk.
func (c Connector) HasBuffer() bool { return c.MQTT.Get(fieldBuffer) != nil }

// defaultBufferBytes is the size of a buffer that gives none.
const defaultBufferBytes = 1 << 30

// CheckBuffer refuses a disk buffer that may be larger than most bytes. A value that is no
// size is left to lint.
func (c Connector) CheckBuffer(most uint64) error {
	given, size := c.bufferBytes()
	if size > most {
		return &InvalidError{"config." + fieldBuffer + ".max_bytes", fmt.Sprintf("%q is more than the service's --max-buffer-bytes, %s: give less, or nothing", given, humanize.IBytes(most))}
	}
	return nil
}

// bufferBytes returns max_bytes as it is given, and as bytes, 0 if it is no size.
func (c Connector) bufferBytes() (given string, size uint64) {
	var buffer struct {
		MaxBytes json.RawMessage `json:"max_bytes"`
	}
	_ = json.Unmarshal(c.MQTT.Get(fieldBuffer), &buffer) // Parse has read it
	if json.Unmarshal(buffer.MaxBytes, &given) != nil {
		given = string(buffer.MaxBytes) // a number
	}
	size, err := humanize.ParseBytes(given)
	if err != nil {
		return given, 0
	}
	return given, size
}

// WithBuffer returns c with its disk buffer in a directory and no larger than most bytes.
func (c Connector) WithBuffer(path string, most uint64) Connector {
	extra := map[string]any{"path": path}
	switch given, size := c.bufferBytes(); {
	case given == "":
		extra["max_bytes"] = strconv.FormatUint(min(defaultBufferBytes, most), 10)
	case size > most: // it was accepted with another --max-buffer-bytes
		extra["max_bytes"] = strconv.FormatUint(most, 10)
	}
	return c.bufferWith(extra)
}

func (c Connector) bufferWith(extra map[string]any) Connector {
	given := map[string]json.RawMessage{}
	_ = json.Unmarshal(c.MQTT.Get(fieldBuffer), &given) // Parse has read it
	buffer := map[string]any{}
	for name, value := range given {
		buffer[name] = value
		var n json.Number
		if len(value) > 0 && value[0] != '"' && json.Unmarshal(value, &n) == nil && n != "" {
			buffer[name] = n.String() // the buffer takes texts only
		}
	}
	maps.Copy(buffer, extra)
	raw, _ := json.Marshal(buffer) // it was JSON
	c.MQTT = c.MQTT.With(Settings{{Name: fieldBuffer, Value: raw}})
	return c
}

// exportedBuffers is where a pipeline of its own keeps the buffers of connectors.
const exportedBuffers = "${BUFFER_DIR:buffers}/"

// withBufferPath returns the MQTT settings of a pipeline, in which a disk buffer must have
// a directory.
func (c Connector) withBufferPath() Settings {
	var buffer map[string]any
	if json.Unmarshal(c.MQTT.Get(fieldBuffer), &buffer) != nil || buffer["path"] != nil {
		return c.MQTT
	}
	return c.bufferWith(map[string]any{"path": exportedBuffers + BufferName(DefaultTenant, c.Name)}).MQTT
}

// WithoutBuffer returns c without a disk buffer.
func (c Connector) WithoutBuffer() Connector {
	c.MQTT = c.MQTT.Without(fieldBuffer)
	return c
}

// BufferName is the name of the directory of a connector's disk buffer. It is a plain word
// whatever the connector's name holds, and differs between tenants and connectors, also
// where a file system does not distinguish upper and lower case.
func BufferName(tenant, name string) string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	sum := sha256.Sum256([]byte(tenant + "\x00" + name))
	return fmt.Sprintf("%.40s_%x", readable, sum[:12])
}
