package kafka

import (
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// When a batch is answered, the output keeps nothing of it, whatever happened to its
// records: a single reference would keep the whole batch in memory.
func TestOutputKeepsNothingOfABatch(t *testing.T) {
	for name, lines := range map[string][]string{
		"no strategy":      nil,
		"no fault":         block("max_message_bytes: 100KiB"),
		"discard":          {discard},
		"dead letters":     {deadLetter},
		"in parallel":      {"max_in_flight: 2"},
		"envelope":         {discard, "envelope: { enabled: true }"},
		"without acks all": {discard, "idempotent_write: false", "acks: leader"},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
			if name != "no fault" {
				setLimit(t, c, "t", "20000")
			}
			o := started(t, c.ListenAddrs(), append(lines, "compression: none", "key: ${! @key }")...)
			var payloads []weak.Pointer[byte]
			write := func() {
				batch := messages(0, 100)
				for i, msg := range batch {
					size := 1000
					if i == 50 {
						size = 30000
					}
					payload := []byte(strings.Repeat("x", size))
					payloads = append(payloads, weak.Make(&payload[0]))
					msg.SetBytes(payload)
					msg.MetaSetMut("key", "k")
				}
				err := o.WriteBatch(t.Context(), batch)
				if name == "no strategy" || name == "in parallel" {
					var failed *service.BatchError
					require.ErrorAs(t, err, &failed)
					require.Equal(t, 1, failed.IndexedErrors())
				} else {
					require.NoError(t, err)
				}
			}
			write()
			require.Eventually(t, func() bool {
				runtime.GC()
				kept := 0
				for _, payload := range payloads {
					if payload.Value() != nil {
						kept++
					}
				}
				return kept == 0
			}, patience, 10*time.Millisecond)
		})
	}
}
